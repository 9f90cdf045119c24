package flowhash

import (
	"encoding/csv"
	"net/netip"
	"os"
	"strconv"
	"testing"
)

//go:generate sh -c "clang-16 -std=c11 -Wall -Wextra -Werror -O1 -o testdata/vectors testdata/vectors.c && ./testdata/vectors >testdata/vectors.csv && rm testdata/vectors"

// row is one line of testdata/vectors.csv, by column name.
type row struct {
	t      *testing.T
	line   int
	fields map[string]string
}

func readVectors(t *testing.T) []row {
	t.Helper()
	file, err := os.Open("testdata/vectors.csv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	records, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	for i, record := range records[1:] {
		r := row{t: t, line: i + 2, fields: map[string]string{}}
		for column, name := range records[0] {
			r.fields[name] = record[column]
		}
		rows = append(rows, r)
	}
	return rows
}

// number reads a column; ok is false where it is empty.
func (r row) number(column string) (n uint32, ok bool) {
	r.t.Helper()
	if r.fields[column] == "" {
		return 0, false
	}
	v, err := strconv.ParseUint(r.fields[column], 0, 32)
	if err != nil {
		r.t.Fatalf("line %d: %s: %v", r.line, column, err)
	}
	return uint32(v), true
}

func (r row) must(column string) uint32 {
	r.t.Helper()
	n, ok := r.number(column)
	if !ok {
		r.t.Fatalf("line %d: %s is empty", r.line, column)
	}
	return n
}

func (r row) hasher() Hasher {
	r.t.Helper()
	mode, err := ParseMode(r.fields["mode"])
	if err != nil {
		r.t.Fatalf("line %d: %v", r.line, err)
	}
	prefix, _ := r.number("prefix")
	return Hasher{Mode: mode, Prefix4: uint8(prefix), Prefix6: uint8(prefix), Seed: r.must("seed")}
}

// The vectors come from another implementation in another language, which
// works on bytes; see testdata/vectors.c.
func TestVectors(t *testing.T) {
	rows := readVectors(t)
	if len(rows) < 300 {
		t.Fatalf("only %d vectors", len(rows))
	}
	clusterip := 0
	for _, r := range rows {
		h := r.hasher()
		src := netip.MustParseAddr(r.fields["source"])
		sport, dport := uint16(r.must("source_port")), uint16(r.must("destination_port"))
		if got, want := h.Hash(src, sport, dport), r.must("hash"); got != want {
			t.Errorf("line %d: %s %s %d %d seed %d: hash %#08x, want %#08x",
				r.line, h.Mode, src, sport, dport, h.Seed, got, want)
		}
		for _, n := range []uint32{2, 3, 16, 4096, 65536} {
			h.Buckets = n
			want := r.must("bucket_of_" + strconv.Itoa(int(n)))
			if got := h.Bucket(src, sport, dport); got != want {
				t.Errorf("line %d: bucket %d of %d, want %d", r.line, got, n, want)
			}
			if node, ok := r.number("clusterip_node_of_" + strconv.Itoa(int(n))); ok {
				clusterip++
				if got := h.Bucket(src, sport, dport) + 1; got != node {
					t.Errorf("line %d: CLUSTERIP node %d of %d, want %d", r.line, got, n, node)
				}
			}
		}
	}
	if clusterip < 300 {
		t.Errorf("only %d of the vectors are CLUSTERIP's", clusterip)
	}
}
