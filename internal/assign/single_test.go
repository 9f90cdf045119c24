package assign

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSingleInWords(t *testing.T) {
	for _, tt := range []struct {
		sentence string
		nodes    []Node
		active   string
		want     string // whose all buckets are
	}{
		{"no nodes own nothing", nil, "a", ""},
		{"the active node has all", []Node{{"a", 100}, {"b", 1}, {"c", 1000}}, "b", "b"},
		{"weights do not share", []Node{{"a", 1}, {"b", 1000}}, "a", "a"},
		{"an active node of weight 0 does not serve", []Node{{"a", 0}, {"b", 0}, {"c", 5}, {"d", 5}}, "b", "c"},
		{"an active node that is not there does not serve", []Node{{"a", 0}, {"b", 5}, {"c", 5}}, "x", "b"},
		{"without an active node the first with weight serves", []Node{{"a", 0}, {"b", 5}, {"c", 5}}, "", "b"},
		{"if all have weight 0 the active node serves", []Node{{"a", 0}, {"b", 0}, {"c", 0}}, "b", "b"},
		{"if all have weight 0 and nobody is active the first serves", []Node{{"a", 0}, {"b", 0}}, "", "a"},
	} {
		table := Single(16, tt.nodes, tt.active)
		if len(table) != 16 {
			t.Errorf("%s: %d entries for 16 buckets", tt.sentence, len(table))
		}
		for bucket, owner := range owners(table, tt.nodes) {
			if owner != tt.want {
				t.Fatalf("%s: bucket %d is %q's, want %q", tt.sentence, bucket, owner, tt.want)
			}
		}
	}
}

// Whatever the weights, one node has all buckets, and it has a weight if anybody has;
// in what order the nodes are named shows only if nobody is active.
func TestSingleIsWhole(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		buckets, nodes, _ := randomCase(r)
		active := nodes[r.IntN(len(nodes))]
		table := Single(buckets, nodes, active.Name)
		if table[0] == None || slices.ContainsFunc(table, func(i int16) bool { return i != table[0] }) {
			t.Fatalf("%v: not one node's: %v", nodes, table)
		}
		owner := nodes[table[0]]
		idle := !slices.ContainsFunc(nodes, func(n Node) bool { return n.Weight > 0 })
		if (active.Weight > 0 || idle) && owner != active {
			t.Fatalf("%v: %s has all, and %s is active", nodes, owner.Name, active.Name)
		}
		if owner.Weight == 0 && !idle {
			t.Fatalf("%v: %s has all and weighs nothing", nodes, owner.Name)
		}
		slices.Reverse(nodes)
		if again := Single(buckets, nodes, owner.Name); nodes[again[0]] != owner {
			t.Fatalf("%v: the order of the nodes shows", nodes)
		}
	}
}

func BenchmarkSingle(b *testing.B) {
	for _, buckets := range []uint32{4096, 65536} {
		nodes := equal(64, 0)
		b.Run(fmt.Sprintf("nodes=64/buckets=%d", buckets), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Single(buckets, nodes, nodes[63].Name)
			}
		})
	}
}
