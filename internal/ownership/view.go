package ownership

import (
	"cmp"
	"slices"
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

// join announces a view. What is owned stays owned; nothing is promised any
// more to those outside.
func (n *Node) join(v View) {
	n.note(NoteViewJoined, "", "view %d by %s: %s", v.ID.Number, v.ID.Proposer.Name, n.changeTo(&v))
	serving := n.serving()
	n.goesOn = n.bar == barNone && (n.goesOn || n.stage >= StageCleared)
	n.leave()
	for _, p := range n.peers {
		was := p.member()
		if p.place = v.index(p.ref); was && !p.member() && serving {
			n.dropped(p)
		}
	}
	n.setView(v)
	n.viewAwake, n.viewSeq, n.stage = n.awake, 0, StageJoined
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
	n.judgePins()
}

// setView makes a view the one at hand, with its tables.
func (n *Node) setView(v View) {
	n.view = v
	for i := range n.cfg.Pools {
		n.plan(i)
	}
}

// plan computes what the view in force gives this node of a pool.
func (n *Node) plan(i int) {
	pool, self := n.cfg.Pools[i], int16(n.view.index(n.cfg.Self))
	n.table[i] = tableOf(&n.view, pool)
	n.want[i] = NewBitmap(pool.Buckets)
	for b, owner := range n.table[i] {
		if owner == self {
			n.want[i].Set(uint32(b))
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
