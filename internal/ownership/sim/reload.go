package sim

import (
	"slices"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// settings are what a node's configuration file says now. Pools are bits, by their
// places in the scenario.
type settings struct {
	pools           uint32
	interval, lease time.Duration
}

// reload is the daemon's part in a change of its configuration. A pool that is to
// go hands over what it has and stays until nothing of it is left here.
func (w *world) reload(n *node, to settings) {
	n.file = to
	if n.machine == nil {
		return
	}
	n.leaving = (n.leaving | n.inForce.pools) &^ to.pools
	n.inForce = to
	n.inForce.pools |= n.leaving
	w.order(n, reconfigured{n.inForce, n.leaving})
}

// reconfigured is a Reconfigure on its way to the daemon, before the places of its pools count.
type reconfigured struct {
	settings
	leaving uint32
}

// weighed is a SetWeights on its way.
type weighed struct{}

// settle lets go of the pools that are to go and of which nothing is left.
func (w *world) settle(n *node) {
	gone := uint32(0)
	for p, pool := range w.s.Pools {
		first := n.datapath.first[p]
		rid := !slices.ContainsFunc(n.datapath.states[first:first+int(pool.Buckets)], func(s ownership.BucketState) bool { return s != ownership.Foreign })
		if n.leaving&(1<<p) != 0 && rid {
			gone |= 1 << p
		}
	}
	if gone == 0 || n.machine == nil {
		return
	}
	n.leaving &^= gone
	n.inForce.pools &^= gone
	w.checks.dropped(w, n)
	w.order(n, reconfigured{n.inForce, n.leaving})
}

// event makes the Reconfigure, when the daemon gets round to it. What it has been told of places
// before then counts no more, and the programs know no more of a pool that has gone, also if it has been
// gained again since nothing was left of it.
func (w *world) event(n *node, r reconfigured) ownership.Reconfigure {
	for _, p := range n.places {
		first := n.datapath.first[p]
		for b := first; b < first+int(w.s.Pools[p].Buckets) && r.pools&(1<<p) == 0; b++ {
			w.setState(n, b, ownership.Foreign)
		}
	}
	n.inbox = slices.DeleteFunc(n.inbox, func(e any) bool { _, live := e.(ownership.Live); return live })
	pools := w.poolsOf(n, r.pools)
	for i, p := range n.places {
		if r.leaving&(1<<p) != 0 {
			pools[i].Weight = ownership.NoShare
		}
	}
	return ownership.Reconfigure{Pools: pools, Interval: r.interval, Lease: r.lease}
}

// poolsOf is the configuration of these pools, and notes their places.
func (w *world) poolsOf(n *node, have uint32) []ownership.PoolConfig {
	n.places = n.places[:0]
	var pools []ownership.PoolConfig
	for i, p := range w.s.Pools {
		if have&(1<<i) == 0 {
			continue
		}
		pool := ownership.PoolConfig{
			Name: p.Name, Buckets: p.Buckets, Weight: n.weight, Priority: n.spec.Priority, Preempt: p.Preempt,
			Fingerprint: uint64(i)<<8 | uint64(n.config),
		}
		if p.Single {
			pool.Spread = ownership.SpreadSingle
		}
		pools, n.places = append(pools, pool), append(n.places, i)
	}
	return pools
}

// weights of the node's pools, for its daemon.
func (n *node) weights() []uint16 {
	weights := make([]uint16, len(n.places))
	for i, p := range n.places {
		if weights[i] = n.weight; n.leaving&(1<<p) != 0 {
			weights[i] = ownership.NoShare
		}
	}
	return weights
}

// served tells whether one of these nodes has the pool, and is to keep it.
func (w *world) served(pool int, among uint32) bool {
	return slices.ContainsFunc(w.nodes, func(n *node) bool {
		return among&n.bit != 0 && n.machine != nil && n.file.pools&(1<<pool) != 0
	})
}

// servedSince is served by one that has been able to join, or to find itself alone, by then.
func (w *world) servedSince(pool int, among uint32, by time.Duration) bool {
	return slices.ContainsFunc(w.nodes, func(n *node) bool {
		return among&n.bit != 0 && n.machine != nil && n.file.pools&(1<<pool) != 0 && n.started+max(4*w.s.Lease, time.Second+2*w.s.Interval) <= by
	})
}

// waitsForItsOwner: not all of these have the pool, so that the patience with those who
// fell out counts, which is in the bound of agreement.
func (w *world) waitsForItsOwner(pool int, among uint32) bool {
	all := !slices.ContainsFunc(w.nodes, func(n *node) bool { return among&n.bit != 0 && n.file.pools&(1<<pool) == 0 })
	return !all && w.now-w.checks.lastOp <= w.checks.bounds.agree
}

// poolAt is the pool of a bucket in the row.
func (w *world) poolAt(b int) int {
	first := w.nodes[0].datapath.first
	p := len(first) - 1
	for b < first[p] {
		p--
	}
	return p
}

// dropped: what nobody has any more is not without an owner.
func (c *checks) dropped(w *world, n *node) {
	for p, pool := range w.s.Pools {
		if w.served(p, ^uint32(0)) {
			continue
		}
		for b := n.datapath.first[p]; b < n.datapath.first[p]+int(pool.Buckets); b++ {
			if c.accept[b] == 0 {
				c.free[b] = gap{since: w.now, lost: -1, stuck: never}
			}
		}
	}
}

// reloads adds to some generated scenarios a pool that comes and goes on one node after
// the other, and beats that become faster. It has chances of its own.
func (g *generator) reloads(seed uint64) {
	chances := rng{seed}.fork(10)
	s := g.s
	if chances.below(3) > 0 || len(s.Ops) == 0 || slices.ContainsFunc(s.Ops, func(op Op) bool { return op.Verb == Start && op.Amount != 0 }) {
		return
	}
	s.Pools = append(s.Pools, Pool{Name: "wiki", Buckets: 8})
	last := s.Ops[len(s.Ops)-1].At // all is well from here on
	for range chances.between(1, 5) {
		op := Op{At: chances.span(0, last), Verb: pick(&chances, Lose, Lose, Have, Beat), Nodes: []int{chances.below(len(s.Nodes))}, After: -1}
		g.detail(&op, chances.below(2) == 0)
		s.Ops = insert(s.Ops, op)
	}
	for i := range s.Nodes {
		for _, verb := range []Verb{Have, Beat} {
			op := Op{At: last, Verb: verb, Nodes: []int{i}, After: -1}
			g.detail(&op, false)
			s.Ops = append(s.Ops, op)
		}
	}
}

func (g *generator) detail(op *Op, faster bool) {
	switch {
	case op.Verb != Beat:
		op.Amount = len(g.s.Pools) - 1
	case faster:
		op.Span, op.Upto = g.s.Interval/2, g.s.Lease/2
	default:
		op.Span, op.Upto = g.s.Interval, g.s.Lease
	}
}
