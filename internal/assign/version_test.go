package assign

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// Nodes of different versions share one cluster and must find the same table.
// A change of these results is a change of the protocol: it needs a new name
// in newCandidates' hash, agreed between the nodes, not a new expectation here.
func TestTablesOfEarlierVersions(t *testing.T) {
	mixed := equal(20, 5)
	for i := range mixed {
		mixed[i].Weight = uint32(i * 50)
	}
	tests := []struct {
		sentence string
		pool     string
		buckets  uint32
		nodes    []Node
		pins     []Pin
		want     string
	}{
		{"a small table, in full", "web", 16, []Node{{"node-a", 100}, {"node-b", 100}, {"node-c", 100}}, nil, "1 2 0 1 1 0 0 2 2 0 1 0 2 1 2 1"},
		{"with weights and a pin", "web", 16, []Node{{"node-a", 100}, {"node-b", 300}}, []Pin{{0, "node-a"}}, "0 1 1 1 1 1 0 1 1 1 1 1 1 1 0 0"},
		{"a usual one", "web", 4096, equal(8, 0), nil, "c868906e87900288"},
		{"a mixed one", "mail", 4096, mixed, []Pin{{7, mixed[3].Name}}, "e6766ae7edcaa9e6"},
		{"the greatest", "web", 65536, equal(64, 1), nil, "06bc51fb0dd8b030"},
	}
	for _, tt := range tests {
		table := Table(tt.pool, tt.buckets, tt.nodes, tt.pins)
		got := strings.Trim(fmt.Sprint(table), "[]")
		if tt.buckets > 16 {
			sum := sha256.Sum256([]byte(strings.Join(owners(table, tt.nodes), "\n")))
			got = hex.EncodeToString(sum[:8])
		}
		if got != tt.want {
			t.Errorf("%s: %s, was %s", tt.sentence, got, tt.want)
		}
	}
}
