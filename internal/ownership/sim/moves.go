package sim

import (
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/rota-cluster/rota/internal/assign"
	"github.com/rota-cluster/rota/internal/ownership"
)

// snapshot is who owned what when all agreed, and what has been done since.
type snapshot struct {
	valid  bool
	ops    int
	single bool // every op since then changes the view once
	keeps  bool // or not at all
	view   ownership.ViewID
	owner  []int8
	at     time.Duration
}

// beforeOp closes the time of agreement that the line of the story ends.
func (c *checks) beforeOp(w *world, op *Op) {
	if op.Verb == Expect {
		return
	}
	c.opsLeft--
	if c.agreed != never {
		c.checkMoves(w)
		c.takeSnapshot(w)
	}
	c.settled.ops++
	c.settled.keeps = op.Verb == Restart && c.comesBack(w, op)
	switch op.Verb {
	case Restart:
		c.settled.single = c.settled.single && c.settled.keeps
	case Start, Stop, Kill, Crash, Drain, Resume, Unfit, Fit, Weight:
		running := op.Verb == Start && len(op.Nodes) == 1 && w.nodes[op.Nodes[0]].machine != nil
		c.settled.single = c.settled.single && len(op.Nodes) == 1 && !running
	default:
		c.settled.single = false
	}
}

// beforeReturn: the daemon of one that all agreed without is one change more.
func (c *checks) beforeReturn(n *node) {
	c.settled.single = c.settled.single && n.restart.left >= c.settled.at
}

// viewInForce is that of the first node, as all agree.
func (c *checks) viewInForce(w *world) ownership.ViewID {
	for _, n := range w.nodes {
		if n.last != nil {
			return n.last.View.ID
		}
	}
	return ownership.ViewID{}
}

// comesBack tells whether the daemon is certain to be back before its lease is over,
// so that nothing may move.
func (c *checks) comesBack(w *world, op *Op) bool {
	return len(op.Nodes) == 1 && op.Span > 0 && op.Span < ownership.HoldTime(w.s.Lease)-2*w.s.Lease
}

func (c *checks) takeSnapshot(w *world) {
	s := &c.settled
	if s.owner == nil {
		s.owner = make([]int8, len(c.accept))
	}
	*s = snapshot{valid: c.calm(w), single: true, owner: s.owner, at: w.now, view: c.viewInForce(w)}
	for b, set := range c.accept {
		s.owner[b] = int8(bits.TrailingZeros32(set))
		c.free[b].moves = 0
	}
}

// checkMoves: between two times of agreement with one change between them,
// a bucket that both tables give to one node stays there, and any other moves once.
func (c *checks) checkMoves(w *world) {
	s := &c.settled
	if s.valid && s.keeps && s.ops == 1 && s.single && c.agreed != never && c.calm(w) && c.viewInForce(w) != s.view {
		w.fail(RuleMoves, "a daemon restarted in time, and the view is another")
		return
	}
	if !s.valid || !c.calm(w) || s.ops != 1 || !s.single || c.agreed == never || w.failure != nil {
		return
	}
	for b, set := range c.accept {
		owner := int8(bits.TrailingZeros32(set))
		allowed := uint16(0)
		if owner != s.owner[b] && !s.keeps {
			allowed = 1
		}
		if c.free[b].moves > allowed {
			w.fail(RuleMoves, fmt.Sprintf("%s moved %d times, and %d would have been enough",
				w.bucketName(b), c.free[b].moves, allowed))
			return
		}
	}
}

// calm tells whether all nodes that run are well, hear each other and lose nothing.
func (c *checks) calm(w *world) bool {
	var running uint32
	for _, n := range w.nodes {
		if n.machine != nil || n.datapath.accepts {
			running |= n.bit
		}
	}
	return len(c.parts) == 1 && c.parts[0].whole && c.parts[0].members == running && c.lossless(w)
}

// viewTables keeps the tables of one view.
type viewTables struct {
	id     ownership.ViewID
	tables [][]int16
}

// table is the view's table of a pool.
func (w *world) table(v *ownership.View, pool int) []int16 {
	t := &w.checks.tables
	if t.id != v.ID {
		*t = viewTables{id: v.ID}
		for _, spec := range w.s.Pools {
			t.tables = append(t.tables, tableOf(v, spec))
		}
	}
	return t.tables[pool]
}

// tableOf is, as indices into the view's members, who is to own each bucket of the
// pool: those that have it share it.
func tableOf(v *ownership.View, spec Pool) []int16 {
	at := slices.Index(v.Pools, spec.Name)
	var nodes []assign.Node
	var member []int16
	for i, m := range v.Members {
		if at >= 0 && m.Weights[at] != ownership.NoShare {
			nodes, member = append(nodes, assign.Node{Name: m.Name, Weight: uint32(m.Weights[at])}), append(member, int16(i))
		}
	}
	var pins []assign.Pin
	for _, p := range v.Pins {
		if int(p.Pool) == at {
			pins = append(pins, assign.Pin{Bucket: p.Bucket, Node: p.Node})
		}
	}
	table := assign.Table(spec.Name, spec.Buckets, nodes, pins)
	if spec.Single {
		table = assign.Single(spec.Buckets, nodes, activeIn(v, at))
	}
	for b, owner := range table {
		if owner >= 0 {
			table[b] = member[owner]
		}
	}
	return table
}

// expect checks who accepts how many buckets right now.
func (w *world) expect(op *Op) {
	for i, n := range w.nodes {
		have := 0
		for _, set := range w.checks.accept {
			if set&n.bit != 0 {
				have++
			}
		}
		if have != op.Counts[i] {
			w.fail(RuleExpect, fmt.Sprintf("%s accepts %d buckets, and %d were expected", n.spec.Label, have, op.Counts[i]))
			return
		}
	}
}
