package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// WithOrders adds to a generated scenario operators who pin buckets, and where
// nodes may drain anyway, who give orders to other nodes. What Generate has drawn
// stays as it is.
func WithOrders(s *Scenario) *Scenario {
	g := &generator{rng: rng{s.Seed}.fork(10), s: s}
	g.next()
	if len(s.Ops) == 0 {
		return s
	}
	s.Title = strings.TrimSuffix(s.Title, ".") + ", with pins."
	last := s.Ops[len(s.Ops)-1].At // all is well from here on
	// Who is able to have a single pool is told from what happens to a node here.
	single := slices.ContainsFunc(s.Pools, func(p Pool) bool { return p.Single })
	anything := (s.Planned || s.Healthy == 0) && !single
	for range 1 + g.below(8) {
		op := Op{At: g.span(0, last), After: -1, Nodes: []int{g.below(len(s.Nodes)), g.below(len(s.Nodes))}}
		switch dice := g.below(10); {
		case dice == 0 && anything:
			op.Verb, op.Order = GiveOrder, pick(&g.rng, orderWords["drain"], orderWords["resume"],
				ownership.Order{Kind: ownership.OrderWeight, Weight: uint16(pick(&g.rng, 1, 50, 100))})
		case dice == 1 && s.Healthy == 0:
			op.Verb, op.Nodes = Forget, op.Nodes[:1]
		case dice < 7:
			op.Verb = Pin
			g.someBuckets(&op)
		default:
			op.Verb = Unpin
			g.someBuckets(&op)
		}
		s.Ops = insert(s.Ops, op)
	}
	if anything {
		for i := range s.Nodes {
			s.Ops = append(s.Ops, Op{At: last, Verb: Resume, Nodes: []int{i}, After: -1})
		}
	}
	s.End = max(s.End, last+agreeWithin(DefaultBounds(), s)+4*s.Lease+time.Second)
	return s
}

// someBuckets of a pool: the same ones often enough.
func (g *generator) someBuckets(op *Op) {
	op.Amount = g.below(len(g.s.Pools))
	n := int(g.s.Pools[op.Amount].Buckets)
	first := g.below(min(n, 4))
	for b := first; b < n && b <= first+g.below(4); b++ {
		op.Buckets = append(op.Buckets, uint32(b))
	}
}

// Drains makes a story in which operators drain and resume all nodes at once, or
// nearly, over a network that is not too bad. Whatever the order of things, one node stays.
func Drains(seed uint64) *Scenario {
	g := &generator{rng: rng{seed}.fork(11), s: &Scenario{Seed: seed, Settle: true, Stays: true}}
	g.next()
	s := g.s
	s.Title = fmt.Sprintf("Seed %d: drains that race.", seed)
	g.cluster(pick(&g.rng, 2, 2, 2, 3, 3, 4, 5))
	for i := range s.Nodes {
		s.Nodes[i].Weight = max(s.Nodes[i].Weight, 1)
	}
	s.Loss = pick(&g.rng, 0, 0, 10, 100)
	for i := range s.Nodes {
		g.on(Start, i)
	}
	g.rest()
	for range 1 + g.below(4) {
		for range 1 + g.below(3*len(s.Nodes)) {
			order := orderWords["drain"]
			if g.below(4) == 0 {
				order = orderWords["resume"]
			}
			g.add(Op{Verb: GiveOrder, Nodes: []int{g.below(len(s.Nodes)), g.below(len(s.Nodes))}, Order: order})
			g.at += pick(&g.rng, 0, g.span(0, time.Millisecond), g.span(0, 5*time.Millisecond), g.span(0, 2*s.Interval))
		}
		g.at += pick(&g.rng, g.span(0, s.Lease), 2*ownership.OrderPatience(s.Interval))
	}
	slices.SortStableFunc(s.Ops, func(a, b Op) int { return int(a.At - b.At) })
	s.End = g.at + agreeWithin(DefaultBounds(), s) + 4*s.Lease + time.Second
	return s
}
