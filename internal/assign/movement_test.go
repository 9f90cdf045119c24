package assign

import (
	"slices"
	"testing"
)

// moved counts the buckets whose owner differs, and how many had to: what the
// losers lost.
func moved(before, after []string) (moves, needed int) {
	balance := map[string]int{}
	for i := range before {
		balance[before[i]]++
		balance[after[i]]--
		if before[i] != after[i] {
			moves++
		}
	}
	for _, lost := range balance {
		needed += max(lost, 0)
	}
	return moves, needed
}

// What a change costs, in 1/10000 of the buckets over 20 clusters. The bounds
// hold what was measured and a little more; needed is what exact shares demand.
func TestMovement(t *testing.T) {
	leave := func(nodes []Node) []Node { return nodes[:len(nodes)-1] }
	drain := func(nodes []Node) []Node { nodes[len(nodes)/2].Weight = 0; return nodes }
	halve := func(nodes []Node) []Node { nodes[len(nodes)/2].Weight /= 2; return nodes }
	tests := []struct {
		sentence string
		n        int
		buckets  uint32
		weights  []uint32 // in turn
		change   func([]Node) []Node
		most     int // moved, of 10000
	}{
		{"one of 2 leaves", 2, 4096, []uint32{100}, leave, 5000},
		{"one of 3 leaves", 3, 4096, []uint32{100}, leave, 3400},
		{"one of 8 leaves", 8, 4093, []uint32{100}, leave, 1340},
		{"one of 32 leaves", 32, 4093, []uint32{100}, leave, 440},
		{"one of 64 leaves", 64, 4093, []uint32{100}, leave, 300},
		{"one of 64 leaves a great table", 64, 65536, []uint32{100}, leave, 190},
		{"one of 8 drains", 8, 4096, []uint32{100}, drain, 1340},
		{"one of 8 is halved", 8, 4096, []uint32{100}, halve, 670},
		{"one of 8 unequal ones leaves", 8, 4096, []uint32{50, 100, 200}, leave, 1260},
		{"one of 32 unequal ones is halved", 32, 4096, []uint32{50, 100, 200}, halve, 245},
	}
	for _, tt := range tests {
		const seeds = 20
		moves, needed := 0, 0
		for seed := range seeds {
			nodes := equal(tt.n, seed)
			for i := range nodes {
				nodes[i].Weight = tt.weights[i%len(tt.weights)]
			}
			changed := tt.change(slices.Clone(nodes))
			before := owners(Table("web", tt.buckets, nodes, nil), nodes)
			after := owners(Table("web", tt.buckets, changed, nil), changed)
			m, n := moved(before, after)
			moves, needed = moves+m, needed+n
		}
		all := seeds * int(tt.buckets)
		t.Logf("%-34s moved %5.2f %%, needed %5.2f %%", tt.sentence, 100*float64(moves)/float64(all), 100*float64(needed)/float64(all))
		if moves*10000 > tt.most*all {
			t.Errorf("%s: %d of %d buckets moved, needed %d", tt.sentence, moves, all, needed)
		}
	}
}

// A join is a leave looked at from the other side; a pin moves one bucket and
// what makes room for it.
func TestAPinMovesLittle(t *testing.T) {
	nodes := equal(8, 0)
	before := owners(Table("web", 4096, nodes, nil), nodes)
	worst, sum := 0, 0
	for bucket := uint32(0); bucket < 4096; bucket += 64 {
		after := owners(Table("web", 4096, nodes, []Pin{{bucket, nodes[3].Name}}), nodes)
		moves, _ := moved(before, after)
		worst, sum = max(worst, moves), sum+moves
	}
	if worst > 12 || sum > 64*6 {
		t.Errorf("one pin moves %d buckets on average, %d at worst", sum/64, worst)
	}
	t.Logf("one pin moves %.1f buckets on average, %d at worst", float64(sum)/64, worst)
}

// Nobody's neighbours move when a node of weight 0 comes or goes.
func TestIdleNodesMoveNothing(t *testing.T) {
	nodes := equal(6, 0)
	idle := append(slices.Clone(nodes), Node{Name: "zzz"})
	a := owners(Table("web", 4096, nodes, nil), nodes)
	b := owners(Table("web", 4096, idle, nil), idle)
	if !slices.Equal(a, b) {
		t.Error("a node of weight 0 changes the table")
	}
}
