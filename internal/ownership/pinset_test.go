package ownership

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// order makes an order in the set, as the node of that name would.
func (s *pinSet) order(name string, node string, buckets ...uint32) []PinOrder {
	orders := s.give(Ref{Name: name, Incarnation: 1}, "web", node, buckets, 1000)
	for i := range orders {
		s.merge(&orders[i])
	}
	s.arrange()
	return orders
}

func (s *pinSet) hear(other *pinSet) (lost []LostPins) {
	for i := range other.orders {
		_, l := s.merge(&other.orders[i])
		lost = append(lost, l...)
	}
	s.arrange()
	return lost
}

// meaning is what a set says, whatever way it came.
func (s *pinSet) meaning() map[string]string {
	m := map[string]string{}
	for pool, words := range s.words {
		for b, w := range words {
			if w != nil {
				m[fmt.Sprint(pool, b)] = fmt.Sprint(w.node, w.version, w.over)
			}
		}
	}
	return m
}

// TestPinsConverge: nodes that order at random and hear each other at random, in
// pieces, twice and in any order, come to say the same.
func TestPinsConverge(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		sets := []*pinSet{newPinSet(nil), newPinSet(nil), newPinSet(nil)}
		for range 60 {
			i := rng.IntN(len(sets))
			switch rng.IntN(4) {
			case 0:
				first := uint32(rng.IntN(20))
				sets[i].order(string(rune('a'+i)), []string{"", "a", "b", "c"}[rng.IntN(4)], first, first+1, first+2+uint32(rng.IntN(5)))
			case 1: // a restart
				sets[i] = newPinSet(sets[i].orders)
			default:
				from := sets[rng.IntN(len(sets))]
				for _, o := range from.orders {
					if rng.IntN(3) > 0 {
						sets[i].merge(&o)
					}
				}
				sets[i].arrange()
			}
		}
		for range 2 {
			for i := range sets {
				for j := range sets {
					sets[i].hear(sets[j])
				}
			}
		}
		for _, s := range sets[1:] {
			if s.digest != sets[0].digest || !reflect.DeepEqual(s.meaning(), sets[0].meaning()) {
				t.Fatalf("seed %d: %v\nand %v", seed, sets[0].meaning(), s.meaning())
			}
			if s.hear(sets[0]); s.counter != sets[0].counter {
				t.Fatalf("seed %d: counters %d and %d", seed, s.counter, sets[0].counter)
			}
		}
	}
}

func TestTheDigestTellsSetsApart(t *testing.T) {
	seen := map[uint64]string{0: "nothing"}
	for _, node := range []string{"", "a", "b", "ab"} {
		for bucket := range uint32(300) {
			for counter := range uint64(10) {
				s := newPinSet([]PinOrder{{Pool: "web", Node: node, Version: PinVersion{counter + 1, Ref{"a", 1}}, Buckets: []uint32{bucket}}})
				this := fmt.Sprint(node, bucket, counter)
				if other, ok := seen[s.digest]; ok {
					t.Fatalf("%s has the digest of %s", this, other)
				}
				seen[s.digest] = this
			}
		}
	}
}

// TestLostPins: of two orders that did not know of each other one is lost, and
// said to be so on every node that hears of both; never of two that follow.
func TestLostPins(t *testing.T) {
	a, b, c := newPinSet(nil), newPinSet(nil), newPinSet(nil)
	a.order("a", "a", 1, 2, 3)
	for _, s := range []*pinSet{b, c} {
		if lost := s.hear(a); lost != nil {
			t.Fatalf("lost %v to the first order", lost)
		}
	}
	b.order("b", "b", 2, 3, 4)
	if lost := a.hear(b); lost != nil || a.pinnedTo("web", 2) != "b" || a.pinnedTo("web", 1) != "a" {
		t.Fatalf("an order that knew of the one before it: lost %v", lost)
	}
	// c was away: it knows of the first order only.
	a.order("a", "", 2)
	if lost := c.hear(a); lost != nil || c.pinnedTo("web", 2) != "" {
		t.Fatalf("orders that followed one another while it was away: lost %v", lost)
	}

	// Apart, all three speak about 2 to 4.
	a.order("a", "a", 2, 3)
	b.order("b", "b", 9)
	b.order("b", "c", 3, 4)
	b.order("b", "b", 4)
	aThen := newPinSet(a.orders)
	for _, c := range []struct {
		name        string
		hears, from *pinSet
	}{{"the loser", a, b}, {"the winner", b, aThen}} {
		lost := c.hears.hear(c.from)
		if len(lost) != 1 || !slices.Equal(lost[0].Lost.Buckets, []uint32{3}) || lost[0].Lost.Node != "a" || lost[0].Won.Node != "c" {
			t.Errorf("%s: lost %+v", c.name, lost)
		}
		if again := c.hears.hear(c.from); again != nil {
			t.Errorf("%s: told again: %+v", c.name, again)
		}
		if len(c.hears.lost) != 1 {
			t.Errorf("%s remembers %+v", c.name, c.hears.lost)
		}
	}
	if a.digest != b.digest {
		t.Fatalf("%v and %v", a.meaning(), b.meaning())
	}
	want := "buckets 3 were pinned to a (by order at a, 1970-01-01 00:00:01 UTC) and, neither knowing of the other, " +
		"to c (by order at b, 1970-01-01 00:00:01 UTC): the latter holds"
	if text := a.lost[0].Text(); text != want {
		t.Errorf("told as %q", text)
	}
	// Somebody settles it.
	a.order("a", "b", 3)
	b.hear(a)
	if len(a.lost)+len(b.lost) != 0 {
		t.Errorf("settled, and still remembered: %v, %v", a.lost, b.lost)
	}
}

// TestManyOrdersAreToldInPieces, newest first, each piece within its room.
func TestManyOrdersAreToldInPieces(t *testing.T) {
	a, b := newPinSet(nil), newPinSet(nil)
	for i := range uint32(1000) {
		a.order("a", "node-b", 7*i, 7*i+3)
	}
	first := a.tell()
	if first[0].Buckets[0] != 999*7 {
		t.Errorf("the newest order is not told first: %v", first[0])
	}
	pieces := 1
	for piece := first; a.told < len(a.orders); pieces++ {
		size := 0
		for i := range piece {
			size += piece[i].bytes()
			b.merge(&piece[i])
		}
		if size > pinsPerBeat {
			t.Fatalf("a piece of %d bytes", size)
		}
		piece = a.tell()
		for i := range piece {
			b.merge(&piece[i])
		}
	}
	if b.arrange(); a.digest != b.digest {
		t.Error("something was left out")
	}
	t.Logf("%d pieces", pieces)
}

// TestRoomForPins: what does not fit into a view is refused where it is ordered,
// and the oldest is left out where two sides together have too much.
func TestRoomForPins(t *testing.T) {
	cfg := testConfig("node-a", 1)
	cfg.Pools = []PoolConfig{{Name: "web", Buckets: 65536, Weight: 100}}
	n := New(cfg, 0)
	step := func(node string, buckets ...uint32) error {
		o := OrderPins{Pool: "web", Node: node, Buckets: buckets}
		err := n.CheckPins(o)
		n.Step(n.now, o)
		return err
	}
	every := func(k, of uint32) (list []uint32) {
		for b := k; b < 65536; b += of {
			list = append(list, b)
		}
		return list
	}
	if err := step("node-a", every(0, 1)...); err != nil || len(n.pinsIn([]string{"web"})) != 65536 {
		t.Fatalf("all buckets to one node: %v", err)
	}
	for k := range uint32(3) {
		if err := step(fmt.Sprintf("node-%c", 'a'+k), every(k, 3)...); err != nil {
			t.Fatalf("all buckets to three nodes in turn: %v", err)
		}
	}
	if err := step("node-e", every(1, 7)...); err == nil {
		t.Fatal("takes more than it can tell")
	}
	// The other side of a split has pinned as much, to others.
	other := newPinSet(nil)
	other.counter = 1000
	for k := range uint32(5) {
		other.order("z", fmt.Sprintf("other-%c", 'a'+k), every(k, 6)...)
	}
	b := beatFrom("node-z", 1)
	b.Pins = PinNews{Digest: other.digest, Orders: other.orders}
	n.Step(n.now+time.Millisecond, BeatReceived{Beat: b})
	web := n.pinPools([]string{"web"})
	pins, left := n.pins.forView(web)
	if left == 0 || n.pins.fitsView(web, nil) {
		t.Fatalf("%d left out", left)
	}
	if !slices.ContainsFunc(pins, func(p Pin) bool { return p.Node == "other-e" }) {
		t.Error("the newest was left out")
	}
}

// beatFrom is a beat of a node that has just started.
func beatFrom(name string, seq uint64) *Beat {
	cfg := testConfig(name, 1)
	return &Beat{From: cfg.Self, Host: cfg.Host, Seq: seq, Lease: cfg.Lease, Pools: []PoolBeat{{Name: "web", Fingerprint: 1, Weight: 100}}}
}
