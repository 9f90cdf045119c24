package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// Drift is the greatest deviation of a clock's rate from the true rate, in
// microseconds per second, that generated scenarios have: 1 %.
const Drift = 10_000

// generator makes up a scenario.
type generator struct {
	rng
	s  *Scenario
	at time.Duration
	// What the nodes are going through, so that the story makes sense.
	down, frozen, ill, drained, odd uint32
}

// Generate makes the scenario of a seed: a kind of story, a beat, a network
// and clocks, and lines that end with everything well again.
func Generate(seed uint64) *Scenario {
	g := &generator{rng: rng{seed}.fork(7), s: &Scenario{Seed: seed, Settle: true}}
	g.next()
	stories := []struct {
		share int
		name  string
		nodes []int
		tell  func()
	}{
		{150, "planned changes only", []int{1, 2, 2, 3, 3, 4, 5, 6}, g.planned},
		{300, "one sick node", []int{2, 2, 3, 3, 3, 4, 4, 5, 5, 8}, g.oneSick},
		{200, "links cut and mended", []int{2, 3, 3, 4, 4, 5, 5, 6}, g.partitions},
		{120, "all at once", []int{2, 3, 3, 4, 5, 8, 16}, g.coldStart},
		{50, "names and pools that disagree", []int{2, 3, 3, 4, 5}, g.disagreement},
		{180, "everything at once", []int{2, 2, 3, 3, 3, 4, 4, 5, 6, 8}, g.chaos},
	}
	dice := g.below(1000)
	for _, story := range stories {
		if dice -= story.share; dice < 0 {
			g.s.Title = fmt.Sprintf("Seed %d: %s.", seed, story.name)
			g.cluster(pick(&g.rng, story.nodes...))
			story.tell()
			break
		}
	}
	g.singles(seed)
	g.reloads(seed)
	g.unfits(seed)
	g.s.End = g.at + agreeWithin(DefaultBounds(), g.s) + g.s.holds() + 4*g.s.Lease + time.Second
	return g.s
}

// cluster draws what stays the same during a story.
func (g *generator) cluster(nodes int) {
	s := g.s
	beat := pick(&g.rng, [2]int{50, 300}, [2]int{50, 300}, [2]int{50, 300}, [2]int{10, 50}, [2]int{10, 60}, [2]int{50, 250}, [2]int{20, 160})
	s.Interval, s.Lease = time.Duration(beat[0])*time.Millisecond, time.Duration(beat[1])*time.Millisecond
	for i := range nodes {
		label := string(rune('a' + i))
		s.Nodes = append(s.Nodes, Node{
			Label: label, Name: label, Weight: uint16(pick(&g.rng, 100, 100, 100, 100, 50, 1, 0)),
			Priority: defaultPriority,
			PPM:      int64(pick(&g.rng, -Drift, Drift, g.between(-Drift, Drift))),
			Origin:   g.span(0, 48*time.Hour),
		})
	}
	s.Pools = []Pool{{Name: "web", Buckets: uint32(pick(&g.rng, 8, 16, 24, 32))}}
	if g.below(8) == 0 {
		s.Pools = slices.Insert(s.Pools, 0, Pool{Name: "mail", Buckets: uint32(pick(&g.rng, 2, 8, 16))})
	}
	if g.below(2) == 0 {
		s.Quorum, s.Expected = ownership.QuorumMajority, nodes
	}
	s.Delay = pick(&g.rng, 50*time.Microsecond, 200*time.Microsecond, time.Millisecond)
	s.Jitter = pick(&g.rng, 0, 100*time.Microsecond, time.Millisecond, s.Interval/5)
	s.Loss = pick(&g.rng, 0, 0, 0, 0, 0, 1, 10)
	s.Copies = pick(&g.rng, 0, 0, 0, 20, 200)
}

// singles makes, in some scenarios, pools that one node has as a whole. It has chances of its
// own, so that the rest of the scenario does not depend on it.
func (g *generator) singles(seed uint64) {
	chances := rng{seed}.fork(9)
	if chances.below(4) > 0 {
		return
	}
	for i := range g.s.Pools {
		if p := &g.s.Pools[i]; i > 0 || chances.below(2) == 0 {
			p.Single, p.Preempt = true, chances.below(2) == 0
		}
	}
	for i := range g.s.Nodes {
		g.s.Nodes[i].Priority = uint16(pick(&chances, 0, 50, 100, 100, 200))
	}
}

// unfits makes, in some scenarios, hosts unable to serve for a while. It has chances of its own.
func (g *generator) unfits(seed uint64) {
	chances := rng{seed}.fork(12)
	s := g.s
	if chances.below(4) > 0 || len(s.Ops) == 0 {
		return
	}
	last := s.Ops[len(s.Ops)-1].At // all is well from here on
	for range chances.between(1, 4) {
		op := Op{At: chances.span(0, last), Verb: pick(&chances, Unfit, Unfit, Fit), Nodes: []int{chances.below(len(s.Nodes))}, After: -1}
		s.Ops = insert(s.Ops, op)
	}
	for i := range s.Nodes {
		s.Ops = append(s.Ops, Op{At: last, Verb: Fit, Nodes: []int{i}, After: -1})
	}
}

func (g *generator) add(op Op) {
	op.At = g.at
	if op.Verb != Freeze && op.Verb != Kill || op.After == 0 && g.below(2) == 0 {
		op.After = -1
	}
	g.s.Ops = append(g.s.Ops, op)
}

func (g *generator) on(v Verb, nodes ...int) { g.add(Op{Verb: v, Nodes: nodes}) }

// pause lets some time pass: mostly a little, sometimes long.
func (g *generator) pause() {
	l := g.s.Lease
	g.at += pick(&g.rng, g.span(0, l/4), g.span(0, l), g.span(0, l), g.span(0, 3*l), g.span(0, 8*l))
}

// rest lets all come to agreement.
func (g *generator) rest() { g.at += time.Second + 8*g.s.Lease }

func (g *generator) all() []int {
	nodes := make([]int, len(g.s.Nodes))
	for i := range nodes {
		nodes[i] = i
	}
	return nodes
}

// startAll starts everybody, together or one by one.
func (g *generator) startAll() {
	together := g.below(2) == 0
	for _, i := range g.all() {
		g.on(Start, i)
		if together {
			g.at += g.span(0, 10*time.Millisecond)
		} else {
			g.pause()
		}
	}
}

// heal makes everything well.
func (g *generator) heal() {
	g.add(Op{Verb: Mend})
	for _, i := range g.all() {
		bit := uint32(1) << i
		if g.frozen&bit != 0 {
			g.on(Thaw, i)
		}
		if g.ill&bit != 0 {
			g.on(Cure, i)
		}
		if g.drained&bit != 0 {
			g.on(Resume, i)
		}
		if (g.down|g.odd)&bit != 0 && g.s.Nodes[i].Name == g.s.Nodes[i].Label {
			g.on(Start, i)
		}
	}
	g.down, g.frozen, g.ill, g.drained, g.odd = 0, 0, 0, 0, 0
	g.at += time.Microsecond
}
