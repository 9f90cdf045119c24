package assign

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// equal makes n nodes of weight 100 with names that differ from seed to seed.
func equal(n, seed int) []Node {
	nodes := make([]Node, n)
	for i := range nodes {
		nodes[i] = Node{Name: fmt.Sprintf("node-%d-%03d", seed, i), Weight: 100}
	}
	return nodes
}

// owners names the owner of every bucket, "" for none.
func owners(table []int16, nodes []Node) []string {
	names := make([]string, len(table))
	for bucket, i := range table {
		if i != None {
			names[bucket] = nodes[i].Name
		}
	}
	return names
}

func counts(table []int16, nodes []Node) []int {
	count := make([]int, len(nodes))
	for _, i := range table {
		if i != None {
			count[i]++
		}
	}
	return count
}

func TestTableInWords(t *testing.T) {
	tests := []struct {
		sentence string
		buckets  uint32
		nodes    []Node
		pins     []Pin
		want     []int // buckets per node; nil: nobody owns any
	}{
		{"no nodes own nothing", 16, nil, nil, nil},
		{"one node owns all", 16, []Node{{"a", 7}}, nil, []int{16}},
		{"no buckets are no trouble", 0, []Node{{"a", 7}}, nil, []int{0}},
		{"equal nodes share evenly", 4096, []Node{{"a", 5}, {"b", 5}}, nil, []int{2048, 2048}},
		{"weights share exactly", 4096, []Node{{"a", 100}, {"b", 100}, {"c", 200}}, nil, []int{1024, 1024, 2048}},
		{"only relations count", 4096, []Node{{"a", 1}, {"b", 1}, {"c", 2}}, nil, []int{1024, 1024, 2048}},
		{"weight 0 owns nothing", 4096, []Node{{"a", 0}, {"b", 1}, {"c", 3}}, nil, []int{0, 1024, 3072}},
		{"unless all have weight 0", 4096, []Node{{"a", 0}, {"b", 0}}, nil, []int{2048, 2048}},
		{"more than the greatest weight is the greatest", 4096, []Node{{"a", 1000}, {"b", 1 << 31}}, nil, []int{2048, 2048}},
		{"the smallest share is rounded, not promised", 2, []Node{{"a", 1}, {"b", 1000}, {"c", 1000}}, nil, []int{0, 1, 1}},
		{"a pin counts within the quota", 4, []Node{{"a", 1}, {"b", 1}}, []Pin{{3, "a"}}, []int{2, 2}},
		{"a node keeps more pins than its share, the others share the rest", 8,
			[]Node{{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}},
			[]Pin{{0, "a"}, {1, "a"}, {2, "a"}, {3, "a"}, {4, "a"}}, []int{5, 1, 1, 1}},
		{"also when that shows a second such node", 12,
			[]Node{{"a", 1}, {"b", 1}, {"c", 1}},
			[]Pin{{0, "a"}, {1, "a"}, {2, "a"}, {3, "a"}, {4, "a"}, {5, "b"}, {6, "b"}, {7, "b"}, {8, "b"}}, []int{5, 4, 3}},
		{"all may be pinned to one", 2, []Node{{"a", 1}, {"b", 1}}, []Pin{{0, "b"}, {1, "b"}}, []int{0, 2}},
		{"a pin to a drained node waits", 4, []Node{{"a", 0}, {"b", 1}}, []Pin{{0, "a"}}, []int{0, 4}},
		{"a pin holds when everybody is drained", 2, []Node{{"a", 0}, {"b", 0}}, []Pin{{0, "b"}, {1, "b"}}, []int{0, 2}},
		{"pins to strangers and beyond the table do nothing", 4, []Node{{"a", 1}, {"b", 1}},
			[]Pin{{0, "x"}, {4, "a"}, {1 << 31, "a"}}, []int{2, 2}},
	}
	for _, tt := range tests {
		table := Table("web", tt.buckets, tt.nodes, tt.pins)
		if len(table) != int(tt.buckets) {
			t.Errorf("%s: %d entries for %d buckets", tt.sentence, len(table), tt.buckets)
		}
		if tt.want == nil && slices.ContainsFunc(table, func(i int16) bool { return i != None }) {
			t.Errorf("%s: %v", tt.sentence, table)
		}
		if got := counts(table, tt.nodes); tt.want != nil && !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.sentence, got, tt.want)
		}
	}
}

func TestPinsAreObeyed(t *testing.T) {
	nodes := []Node{{"a", 1}, {"b", 2}, {"c", 3}}
	pins := []Pin{{7, "c"}, {8, "a"}, {9, "b"}, {9, "c"}, {100, "a"}}
	table := Table("web", 128, nodes, pins)
	got := owners(table, nodes)
	for bucket, want := range map[int]string{7: "c", 8: "a", 9: "b", 100: "a"} {
		if got[bucket] != want {
			t.Errorf("bucket %d went to %s, is pinned to %s", bucket, got[bucket], want)
		}
	}
}

// randomCase is a pool with any nodes, weights and pins.
func randomCase(r *rand.Rand) (buckets uint32, nodes []Node, pins []Pin) {
	buckets = []uint32{2, 3, 16, 251, 1024, 4096}[r.IntN(6)]
	nodes = equal(1+r.IntN(64), r.IntN(1000))
	for i := range nodes {
		switch r.IntN(4) {
		case 0:
			nodes[i].Weight = uint32(r.IntN(3))
		case 1:
			nodes[i].Weight = uint32(r.IntN(MaxWeight + 1))
		}
	}
	for range r.IntN(int(buckets)) * r.IntN(2) {
		pins = append(pins, Pin{Bucket: r.Uint32N(buckets), Node: nodes[r.IntN(len(nodes))].Name})
	}
	return buckets, nodes, pins
}

func TestEveryTableIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		buckets, nodes, pins := randomCase(r)
		table := Table("web", buckets, nodes, pins)
		if slices.Contains(table, None) {
			t.Fatalf("%d buckets, %v: one without an owner", buckets, nodes)
		}
		if len(pins) > 0 {
			continue
		}
		weights, sum := make([]int, len(nodes)), 0
		for i, n := range nodes {
			weights[i] = int(n.Weight)
			sum += int(n.Weight)
		}
		for i, count := range counts(table, nodes) {
			if sum == 0 {
				break
			}
			share := int(buckets) * weights[i]
			if count*sum <= share-sum || count*sum >= share+sum {
				t.Fatalf("%d buckets, %v: %s owns %d, its share is %d/%d", buckets, nodes, nodes[i].Name, count, share, sum)
			}
		}
	}
}

func TestSameViewSameTable(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		buckets, nodes, pins := randomCase(r)
		if !slices.Equal(Table("web", buckets, nodes, pins), Table("web", buckets, nodes, pins)) {
			t.Fatalf("%d buckets, %v: two tables", buckets, nodes)
		}
		shuffled := slices.Clone(nodes)
		r.Shuffle(len(nodes), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		a := owners(Table("web", buckets, nodes, pins), nodes)
		b := owners(Table("web", buckets, shuffled, pins), shuffled)
		if !slices.Equal(a, b) {
			t.Fatalf("%d buckets, %v: the order of the nodes shows", buckets, nodes)
		}
	}
}

func TestPoolsDiffer(t *testing.T) {
	nodes := equal(8, 0)
	a, b := Table("web", 4096, nodes, nil), Table("mail", 4096, nodes, nil)
	same := 0
	for i := range a {
		if a[i] == b[i] {
			same++
		}
	}
	if same < 400 || same > 640 { // an eighth is 512
		t.Errorf("two pools agree in %d of 4096 buckets", same)
	}
	// With three nodes one gets 1366 of 4096 and two get 1365.
	firsts := map[int]int{}
	for pool := range 60 {
		firsts[slices.Index(counts(Table(fmt.Sprint(pool), 4096, nodes[:3], nil), nodes[:3]), 1366)]++
	}
	for i := range 3 {
		if firsts[i] < 5 {
			t.Errorf("node %d gets the odd bucket in %d of 60 pools", i, firsts[i])
		}
	}
}
