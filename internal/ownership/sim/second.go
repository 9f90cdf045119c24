package sim

import (
	"slices"
	"strings"
	"time"
)

// What happens to a second path, and beside it.
const (
	mendSecond = iota
	cutSecond
	lossySecond
	cutSecondPort
	unflood
)

// WithSecond adds a second path to a generated scenario, which may fail too, and
// a switch that stops flooding to a node. What Generate has drawn stays as it is.
func WithSecond(s *Scenario) *Scenario {
	g := &generator{rng: rng{s.Seed}.fork(8), s: s}
	g.next()
	s.Title = strings.TrimSuffix(s.Title, ".") + ", with a second path."
	s.Second = pick(&g.rng, 100*time.Microsecond, time.Millisecond, s.Interval/5)
	if len(s.Ops) == 0 {
		return s
	}
	last := s.Ops[len(s.Ops)-1].At // all is well from here on
	kinds := []int{mendSecond, cutSecond, lossySecond, cutSecondPort, unflood}
	switch {
	case slices.ContainsFunc(s.Nodes, func(n Node) bool { return n.Name != n.Label }):
		kinds = kinds[:4] // a twin that is not heard is another story
	case s.Healthy != 0 && !s.Planned:
		// No path of a healthy node fails alone; and without a second path a node that
		// the switch does not flood to harms others.
		kinds = pick(&g.rng, kinds[:2], kinds[4:])
	}
	for range g.below(4) {
		g.at = g.span(0, last)
		op, cure := g.onSecond(pick(&g.rng, kinds...))
		s.Ops = insert(s.Ops, op)
		for _, i := range cure {
			s.Ops = append(s.Ops, Op{At: last, Verb: Cure, Nodes: []int{i}, After: -1})
		}
	}
	s.Ops = append(s.Ops, Op{At: last, Verb: Mend, Second: true, After: -1})
	s.End = max(s.End, last+agreeWithin(DefaultBounds(), s)+4*s.Lease+time.Second)
	return s
}

// onSecond draws one thing that happens, and who has to be cured of it.
func (g *generator) onSecond(kind int) (op Op, cure []int) {
	op = Op{At: g.at, After: -1, Second: true}
	sick := g.sickOnes()
	switch i := g.below(len(g.s.Nodes)); kind {
	case mendSecond:
		op.Verb = Mend
	case cutSecond:
		op.Verb, op.Links = Cut, allLinks(len(g.s.Nodes))
	case lossySecond:
		op.Verb, op.Links, op.Amount = Loss, g.port(i), pick(&g.rng, 50, 300, 900)
	case cutSecondPort:
		op.Verb, op.Links = Cut, g.port(i)
	case unflood:
		if len(sick) == 0 {
			op.Verb = Mend
			break
		}
		cure = []int{pick(&g.rng, sick...)}
		op.Verb, op.Nodes, op.Second = Unflood, cure, false
	}
	if len(op.Links) == 0 && op.Verb != Mend && op.Verb != Unflood {
		op.Verb = Mend // one node alone has no links
	}
	return op, cure
}

// sickOnes are the nodes that may suffer.
func (g *generator) sickOnes() []int {
	if g.s.Planned {
		return nil
	}
	return bitsOf((1<<len(g.s.Nodes) - 1) &^ g.s.Healthy)
}

func insert(ops []Op, op Op) []Op {
	i, _ := slices.BinarySearchFunc(ops, op.At, func(o Op, at time.Duration) int {
		if o.At > at {
			return 1
		}
		return -1
	})
	return slices.Insert(ops, i, op)
}
