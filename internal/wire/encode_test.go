package wire

import (
	"bytes"
	"encoding/hex"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rota-cluster/rota/internal/ownership"
)

var update = flag.Bool("update", false, "write the golden files anew: only when the format is meant to change")

// TestFormatStaysAsItIs compares with files that nodes of earlier days would
// have sent. A new field may lengthen them; nothing else may change them
// without a new Version.
func TestFormatStaysAsItIs(t *testing.T) {
	rows := []struct {
		name string
		beat *ownership.Beat
	}{
		{"first", &ownership.Beat{From: selfRef, Seq: 1, Host: 7, Pools: []ownership.PoolBeat{{Name: "web", Fingerprint: 9, Weight: 100}}}},
		{"full", fullBeat()},
		{"three-nodes", plainBeat(3)},
	}
	for _, row := range rows {
		body := appendBeat(nil, row.beat)
		golden(t, row.name+".body", body)
		parts := mustSeal(t, mustSealer(t, selfRef), row.beat, row.beat.Seq)
		sealed := golden(t, row.name+".sealed", bytes.Join(parts, nil))
		if len(parts) != 1 {
			t.Fatalf("%s: %d parts", row.name, len(parts))
		}
		got, reason := mustOpener(t).Open(sealed)
		if reason != ReasonAccepted || !reflect.DeepEqual(got, normal(row.beat)) {
			t.Errorf("%s: the file opens as %v\n%+v", row.name, reason, got)
		}
	}
}

// golden compares with a file of hexadecimal lines and returns its content.
func golden(t *testing.T, name string, got []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", "golden", name+".hex")
	if *update {
		var text strings.Builder
		for rest := got; len(rest) > 0; rest = rest[min(32, len(rest)):] {
			text.WriteString(hex.EncodeToString(rest[:min(32, len(rest))]) + "\n")
		}
		if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: the format has changed\ngot  %x\nwant %x", path, got, want)
	}
	return want
}

// TestOlderNodeReadsPastNewFields puts fields of a later day at the beginning
// and the end of every message.
func TestOlderNodeReadsPastNewFields(t *testing.T) {
	beat := fullBeat()
	var withFuture func(msg []byte, messages map[byte]map[byte]any) []byte
	future := appendText(appendText(nil, 255, strings.Repeat("later ", 50)), 254, "x")
	withFuture = func(msg []byte, messages map[byte]map[byte]any) []byte {
		out := bytes.Clone(future)
		for len(msg) > 0 {
			f, rest, err := nextField(msg)
			if err != nil {
				t.Fatal(err)
			}
			msg = rest
			value := f.value
			if inner, ok := messages[f.tag]; ok {
				deeper := make(map[byte]map[byte]any)
				for tag, m := range inner {
					deeper[tag], _ = m.(map[byte]any)
				}
				value = withFuture(value, deeper)
			}
			out = appendText(out, f.tag, string(value))
		}
		return append(out, future...)
	}
	leaf := map[byte]any{}
	body := withFuture(appendBeat(nil, beat), map[byte]map[byte]any{
		beatView: {viewMember: leaf, viewPins: leaf}, beatPool: leaf, beatEcho: leaf, beatPins: {newsOrder: leaf}, beatOrder: leaf, beatAnswer: leaf,
	})
	got, err := readBeat(body, beat.From, beat.Seq, new(memory))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, normal(beat)) {
		t.Errorf("got %+v", got)
	}
}

func TestMalformedBodies(t *testing.T) {
	text := func(tag byte, s string) []byte { return appendText(nil, tag, s) }
	in := func(tag byte, fields ...[]byte) []byte { return appendText(nil, tag, string(bytes.Join(fields, nil))) }
	times := func(n int, b []byte) []byte { return bytes.Repeat(b, n) }
	view := func(fields ...[]byte) []byte {
		return in(beatView, append([][]byte{appendUint(nil, viewNumber, 1), text(viewProposer, "a")}, fields...)...)
	}
	member := in(viewMember, text(memberName, "a"), text(memberWeights, "\x00\x01"))
	pool := text(viewPool, "web")
	pins := func(set string) []byte {
		return in(viewPins, text(pinsNode, "a"), text(pinsBuckets, set))
	}
	pinned := in(newsOrder, text(pinPool, "a"), text(pinWriter, "a"), appendUint(nil, pinCounter, 1), text(pinBuckets, "\x02\x00\x05"))
	rows := []struct {
		name string
		body []byte
		ok   bool
	}{
		{"nothing", nil, true},
		{"an unknown field", text(200, "x"), true},
		{"an unknown field cut off", []byte{200, 5, 1}, false},
		{"a field of a tag alone", []byte{200}, false},
		{"a length without end", []byte{200, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1}, false},
		{"a length beyond all memory", []byte{200, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, false},
		{"an integer of nine bytes", text(beatHost, "123456789"), false},
		{"a stage of a later day", appendUint(nil, beatStage, 17), false},
		{"a flag of a later day", appendUint(nil, beatFlags, 1<<20|1), true},
		{"a lease that is negative", appendUint(nil, beatLease, 1<<63), false},
		{"a view of one, of a version that named no pools", view(member), true},
		{"a view of one with a pool", view(pool, member), true},
		{"a view that names a pool twice", view(pool, pool, in(viewMember, text(memberName, "a"), text(memberWeights, "\x00\x01\x00\x01"))), false},
		{"a member without a weight", view(pool, in(viewMember, text(memberName, "a"))), false},
		{"a pin in no pool", view(member, pins("\x02\x00\x05")), false},
		{"a view without members", view(), false},
		{"a view of 65", view(times(65, member)), false},
		{"a view without a number", in(beatView, text(viewProposer, "a")), false},
		{"a member without a name", view(in(viewMember)), false},
		{"a member with half a weight", view(in(viewMember, text(memberName, "a"), text(memberWeights, "123"))), false},
		{"a member with 65 weights in no pool", view(in(viewMember, text(memberName, "a"), text(memberWeights, string(make([]byte, 130))))), false},
		{"pins", view(pool, member, pins("\x02\x00\x05")), true},
		{"pins of an empty set", view(pool, member, pins("")), true},
		{"one bucket pinned twice", view(pool, member, pins("\x02\x00\x05"), pins("\x02\x04\x01")), false},
		{"more pins than buckets", view(pool, member, pins("\x02\x00\x80\x80\x04"), in(viewPins, appendUint(nil, pinsPool, 1), text(pinsNode, "a"), text(pinsBuckets, "\x02\x00\x01"))), false},
		{"a pin beyond the pools", view(pool, member, in(viewPins, appendUint(nil, pinsPool, 80), text(pinsNode, "a"), text(pinsBuckets, "\x02\x00\x01"))), false},
		{"an order of a kind of a later day", in(beatOrder, text(orderTo, "a"), appendUint(nil, orderID, 1), appendUint(nil, orderKind, 200)), true},
		{"an order without a number", in(beatOrder, text(orderTo, "a"), appendUint(nil, orderKind, 1)), false},
		{"65 answers", times(65, in(beatAnswer, text(answerTo, "a"), appendUint(nil, answerID, 1))), false},
		{"news of pins", in(beatPins, pinned), true},
		{"513 orders about pins", in(beatPins, times(513, pinned)), false},
		{"orders about too many buckets", in(beatPins, times(3, in(newsOrder, text(pinPool, "a"), text(pinWriter, "a"), appendUint(nil, pinCounter, 1), text(pinBuckets, "\x02\x00\x80\x80\x04")))), false},
		{"an order about pins without a version", in(beatPins, in(newsOrder, text(pinPool, "a"), text(pinWriter, "a"), text(pinBuckets, "\x02\x00\x05"))), false},
		{"65 pools", times(65, in(beatPool, text(poolName, "a"))), false},
		{"one pool twice", times(2, in(beatPool, text(poolName, "a"))), false},
		{"a pool without a name", in(beatPool, appendUint(nil, poolWeight, 1)), false},
		{"a weight of 1001", in(beatPool, text(poolName, "a"), appendUint(nil, poolWeight, 1001)), false},
		{"65 echoes", times(65, in(beatEcho, text(echoName, "a"))), false},
		{"an echo of a name too long", in(beatEcho, text(echoName, strings.Repeat("a", MaxName+1))), false},
		{"a thousand lines for people", times(1000, text(beatHealth, "x\n")), true},
	}
	for _, row := range rows {
		b, err := readBeat(row.body, selfRef, 1, new(memory))
		if (err == nil) != row.ok || (b != nil) != row.ok {
			t.Errorf("%s: %+v, %v", row.name, b, err)
		}
	}
}

func TestSetsOfBuckets(t *testing.T) {
	set := func(room uint32, buckets ...uint32) ownership.Bitmap {
		m := ownership.NewBitmap(room)
		for _, b := range buckets {
			m.Set(b)
		}
		return m
	}
	run := func(first, end uint32) ownership.Bitmap {
		m := ownership.NewBitmap(end)
		for b := first; b < end; b++ {
			m.Set(b)
		}
		return m
	}
	rng := rand.New(rand.NewPCG(3, 4))
	random := func(of int) ownership.Bitmap {
		m := ownership.NewBitmap(4096)
		for b := range uint32(4096) {
			if rng.IntN(of) == 0 {
				m.Set(b)
			}
		}
		return m
	}
	rows := []struct {
		name string
		set  ownership.Bitmap
		most int // bytes, tag and length included
	}{
		{"no set", nil, 0},
		{"an empty set with room", set(4096), 0},
		{"bucket 0", set(4096, 0), 5},
		{"bucket 63", set(64, 63), 5},
		{"bucket 64", set(65, 64), 5},
		{"bucket 65535", set(65536, 65535), 7},
		{"every bucket of 4096", run(0, 4096), 6},
		{"every bucket of 65536", run(0, 65536), 7},
		{"a run over words", run(60, 200), 7},
		{"one of three", random(3), 516},
		{"one of sixteen", random(16), 516},
		{"one of 64", random(64), 200},
		{"every second of 65536", func() ownership.Bitmap {
			m := ownership.NewBitmap(65536)
			for i := range m {
				m[i] = 0x5555555555555555
			}
			return m
		}(), 8197},
	}
	for _, row := range rows {
		b := appendBuckets([]byte("before"), 9, row.set)[len("before"):]
		if len(b) > row.most {
			t.Errorf("%s: %d bytes, more than %d", row.name, len(b), row.most)
		}
		if len(b) == 0 {
			if !row.set.Empty() {
				t.Errorf("%s: left out", row.name)
			}
			continue
		}
		f, rest, err := nextField(b)
		if err != nil || len(rest) > 0 {
			t.Fatalf("%s: %v, %d bytes left", row.name, err, len(rest))
		}
		got, err := readBuckets(f.value)
		if err != nil || !got.Equal(row.set) {
			t.Errorf("%s: got %v, %v", row.name, got, err)
		}
	}
	for _, bad := range []string{
		"", "\x00", "\x03\x01", "\x01", "\x01\x00", "\x01\x01\x00", "\x01" + strings.Repeat("\x01", 8193),
		"\x02", "\x02\x00", "\x02\x00\x00", "\x02\x00\x01\x00\x01", "\x02\x00\x81\x80\x04", "\x02\x80\x80\x04\x01",
		"\x02\x80", "\x02\x00\x80", "\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01", "\x02\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
	} {
		if m, err := readBuckets([]byte(bad)); err == nil {
			t.Errorf("%x was read as %v", bad, m)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	var m memory
	for i := range 3 * maxNames {
		m.name([]byte{byte(i), byte(i >> 8), byte(i >> 16), 'x'})
	}
	if len(m.names) > maxNames {
		t.Errorf("%d names", len(m.names))
	}
	m.name(make([]byte, MaxName+1))
	for name := range m.names {
		if len(name) > MaxName {
			t.Errorf("kept a name of %d bytes", len(name))
		}
	}
}

// The sets of the largest cluster are read once: what each node claims, and what lingers, in each of all pools.
func TestMemoryHoldsALargeCluster(t *testing.T) {
	const each = maxBuckets / ownership.MaxPools
	random := rand.New(rand.NewPCG(1, 2))
	var fields [][]byte
	for range 2 * ownership.MaxNodes * ownership.MaxPools {
		set := ownership.NewBitmap(each)
		for i := range set {
			set[i] = random.Uint64()
		}
		f, _, err := nextField(appendBuckets(nil, 1, set))
		if err != nil {
			t.Fatal(err)
		}
		fields = append(fields, f.value)
	}
	var m memory
	first := make([]ownership.Bitmap, len(fields))
	for round := range 3 {
		for i, raw := range fields {
			set, err := m.buckets(raw)
			if err != nil {
				t.Fatal(err)
			}
			if round == 0 {
				first[i] = set
			} else if &set[0] != &first[i][0] {
				t.Fatalf("round %d: set %d of %d is read anew", round, i, len(fields))
			}
		}
	}
}

// However many sets come, and however large they are, what is kept is bounded.
func TestMemoryOfSetsIsBounded(t *testing.T) {
	for _, row := range []struct{ sets, buckets uint32 }{{2*maxSets + 1, 64}, {2000, maxBuckets}} {
		var m memory
		kept := 0
		for i := range row.sets {
			set := ownership.NewBitmap(row.buckets)
			set[0] = uint64(i)
			set[len(set)-1] |= 1 << 63
			f, _, err := nextField(appendBuckets(nil, 1, set))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.buckets(f.value); err != nil {
				t.Fatal(err)
			}
			kept = max(kept, len(m.sets))
			if len(m.sets) > maxSets || m.setSize > maxSetBytes {
				t.Fatalf("%d sets of %d bytes", len(m.sets), m.setSize)
			}
		}
		bytes := 0
		for raw, set := range m.sets {
			bytes += len(raw) + 8*len(set)
		}
		if bytes != m.setSize || kept < 100 || kept == int(row.sets) {
			t.Errorf("%d bytes, counted as %d; of %d sets %d were kept", bytes, m.setSize, row.sets, kept)
		}
	}
}
