package sim

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/rota-cluster/rota/internal/ownership"
)

// activeIn is whom a view gives a single pool.
func activeIn(v *ownership.View, pool int) string {
	for _, a := range v.Actives {
		if int(a.Pool) == pool {
			return a.Node
		}
	}
	return ""
}

// auditActives looks, when all have agreed for two leases, who has the single pools, and
// whether those that cannot serve have nothing.
func (c *checks) auditActives(w *world) {
	if w.now-c.agreed <= 2*w.s.Lease || !c.calm(w) {
		return
	}
	c.auditUnfit(w)
	for p, spec := range w.s.Pools {
		if spec.Single && w.failure == nil && w.served(p, ^uint32(0)) {
			c.auditActive(w, p)
		}
	}
}

// auditUnfit: whose host cannot serve has nothing of a pool that another takes part in.
func (c *checks) auditUnfit(w *world) {
	for b, set := range c.accept {
		pool := w.poolAt(b)
		for m := set; m != 0 && w.failure == nil; m &= m - 1 {
			n := w.nodes[bits.TrailingZeros32(m)]
			if n.unfit != "" && w.takesPart(pool) {
				w.fail(RuleActive, fmt.Sprintf("%s cannot serve and has %s", n.spec.Label, w.bucketName(b)))
			}
		}
	}
}

// takesPart tells whether somebody has a weight in the pool, by his own word, and his host can serve.
func (w *world) takesPart(pool int) bool {
	return slices.ContainsFunc(w.nodes, func(n *node) bool {
		return n.machine != nil && n.unfit == "" && n.last != nil && slices.ContainsFunc(n.last.Pools, func(p ownership.PoolBeat) bool {
			return p.Name == w.s.Pools[pool].Name && p.Weight > 0 && p.Weight != ownership.NoShare
		})
	})
}

func (c *checks) auditActive(w *world, pool int) {
	spec, first := w.s.Pools[pool], w.nodes[0].datapath.first[pool]
	set := c.accept[first]
	for b := range int(spec.Buckets) {
		if bits.OnesCount32(set) != 1 || c.accept[first+b] != set {
			w.fail(RuleActive, fmt.Sprintf("pool %s is not one node's", spec.Name))
			return
		}
	}
	active := w.nodes[bits.TrailingZeros32(set)]
	able := w.able(pool)
	if able == 0 {
		return // somebody has to serve
	}
	if able&active.bit == 0 {
		w.fail(RuleActive, fmt.Sprintf("%s has pool %s and weighs nothing", active.spec.Label, spec.Name))
		return
	}
	if pinned := w.pinnedTo(active, pool) & able; pinned != 0 {
		if pinned != active.bit {
			w.fail(RuleActive, fmt.Sprintf("%s has pool %s, which is pinned to %s", active.spec.Label, spec.Name, w.labels(pinned)))
		}
		return
	}
	if spec.Preempt {
		for m := able; m != 0; m &= m - 1 {
			if n := w.nodes[bits.TrailingZeros32(m)]; n.spec.Priority > active.spec.Priority {
				w.fail(RuleActive, fmt.Sprintf("%s has pool %s, and the priority of %s is higher", active.spec.Label, spec.Name, n.spec.Label))
				return
			}
		}
	}
	// Between two times of agreement with one change between them, nobody takes it from
	// one that still can serve and whose priority is as high.
	if s := &c.settled; s.valid && s.ops == 1 && s.single && s.owner[first] >= 0 && int(s.owner[first]) < len(w.nodes) {
		before := w.nodes[s.owner[first]]
		stayed := able&before.bit != 0 && before.started <= s.at
		if stayed && before != active && (!spec.Preempt || before.spec.Priority == active.spec.Priority) {
			w.fail(RuleActive, fmt.Sprintf("%s took pool %s from %s", active.spec.Label, spec.Name, before.spec.Label))
		}
	}
}

// pinnedTo is, by what a node knows, where a pool is pinned to: its lowest pin counts.
func (w *world) pinnedTo(n *node, pool int) (to uint32) {
	lowest := w.s.Pools[pool].Buckets
	for _, o := range n.kept {
		if o.Pool != w.s.Pools[pool].Name || o.Node == "" || o.Buckets[0] >= lowest {
			continue
		}
		lowest, to = o.Buckets[0], 0
		for _, m := range w.nodes {
			if m.spec.Name == o.Node {
				to |= m.bit
			}
		}
	}
	return to
}

// able are the nodes that may be active in a pool: those that run and have it, with a weight.
func (w *world) able(pool int) uint32 {
	var set uint32
	for _, n := range w.nodes {
		if n.machine != nil && n.weight > 0 && !n.draining && n.unfit == "" && n.file.pools&(1<<pool) != 0 {
			set |= n.bit
		}
	}
	return set
}
