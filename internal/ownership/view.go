package ownership

import (
	"cmp"
	"slices"

	"github.com/rota-cluster/rota/internal/assign"
)

// index is the place of a member in the view, -1 if it is not there.
func (v *View) index(r Ref) int {
	i, ok := slices.BinarySearchFunc(v.Members, r.Name, func(m Member, name string) int {
		return cmp.Compare(m.Name, name)
	})
	if !ok || v.Members[i].Ref != r {
		return -1
	}
	return i
}

func (v *View) has(r Ref) bool { return v.index(r) >= 0 }

// overlap tells whether two views have a member in common.
func overlap(a, b *View) bool {
	return slices.ContainsFunc(a.Members, func(m Member) bool { return b.has(m.Ref) })
}

// fits tells whether the view has a weight for each of this node's pools.
func (n *Node) fits(v *View) bool {
	return !slices.ContainsFunc(v.Members, func(m Member) bool { return len(m.Weights) != len(n.cfg.Pools) })
}

// join announces a view. What is owned stays owned; nothing is promised any
// more to those outside.
func (n *Node) join(v View) {
	n.note(NoteViewJoined, "", "view %d by %s: %s", v.ID.Number, v.ID.Proposer.Name, n.changeTo(&v))
	serving := n.serving()
	n.leave()
	for _, p := range n.peers {
		was := p.member()
		if p.place = v.index(p.ref); was && !p.member() && serving {
			n.dropped(p)
		}
	}
	n.view, n.viewAwake, n.viewSeq, n.stage = v, n.awake, 0, StageJoined
	n.viewProven, n.discord = n.proven, 0
	n.forgetTrouble()
	for _, p := range n.peers {
		n.takeRow(p)
	}
	if n.bar == barDeaf {
		n.barredIn = v.ID
	} else {
		n.bar = barNone
	}
	n.highest = max(n.highest, v.ID.Number)
	n.changed = true
	self := int16(v.index(n.cfg.Self))
	for i, pool := range n.cfg.Pools {
		n.table[i] = tableOf(&v, i, pool)
		n.want[i] = NewBitmap(pool.Buckets)
		for b, owner := range n.table[i] {
			if owner == self {
				n.want[i].Set(uint32(b))
			}
		}
	}
}

// dropped: a member that this node, serving, leaves behind knocks from now on, and has
// to be steady for twice as long each time.
func (n *Node) dropped(p *peer) {
	p.mutualSince = n.awake
	if !p.left {
		p.flaps, p.flapAwake = min(p.flaps+1, maxFlaps), n.awake
	}
}

// tableOf computes the table of one pool from the view and nothing else.
func tableOf(v *View, pool int, cfg PoolConfig) []int16 {
	nodes := make([]assign.Node, len(v.Members))
	for i, m := range v.Members {
		nodes[i] = assign.Node{Name: m.Name, Weight: uint32(m.Weights[pool])}
	}
	if cfg.Spread == SpreadSingle {
		return assign.Single(cfg.Buckets, nodes, v.activeIn(pool))
	}
	var pins []assign.Pin
	for _, p := range v.Pins {
		if int(p.Pool) == pool {
			pins = append(pins, assign.Pin{Bucket: p.Bucket, Node: p.Node})
		}
	}
	return assign.Table(cfg.Name, cfg.Buckets, nodes, pins)
}
