package ownership

import "math/bits"

// standing is what two views that know of each other are compared by. Both
// sides must come to opposite answers from what both know.
type standing struct {
	deaf   bool
	size   int
	heard  bool // it hears the other side
	lowest string
}

// outranks tells whether a stays and b stands by: not deaf, larger, the side
// that does not hear the other, lowest name.
func outranks(a, b standing) bool {
	switch {
	case a.deaf != b.deaf:
		return b.deaf
	case a.size != b.size:
		return a.size > b.size
	case a.heard != b.heard:
		return b.heard
	default:
		return a.lowest < b.lowest
	}
}

// standingOf is that of the view which the peer announces.
func (n *Node) standingOf(p *peer) standing {
	v := &p.beat.View
	e := p.row(n.cfg.Self)
	return standing{
		deaf: p.beat.Flags&(FlagDeaf|FlagUnproven) != 0,
		size: len(v.Members),
		// Right after a healing its beats are from before it could hear: only a
		// link that stays one-way counts.
		heard:  e != nil && !e.Silent || n.awake-p.heardSince < n.take(),
		lowest: v.Members[0].Name,
	}
}

// ownStanding is that of this node's view, counting those of its members that
// are still at hand.
func (n *Node) ownStanding() standing {
	return standing{deaf: !n.proven, size: max(n.bestSize(), 1), heard: true, lowest: n.view.Members[0].Name}
}

// rival tells whether the peer owns, or is about to, under a view that has
// nothing in common with v and does not know this node.
func (n *Node) rival(p *peer, v *View) bool {
	if p.beat == nil || p.silent || p.left || p.beat.Flags&barredFlags != 0 {
		return false
	}
	w := &p.beat.View
	if len(w.Members) == 0 || w.has(n.cfg.Self) || !p.beat.owns() && p.beat.Stage < StageCleared {
		return false
	}
	return !overlap(w, v)
}

func overlap(a, b *View) bool {
	for _, m := range a.Members {
		if b.has(m.Ref) {
			return true
		}
	}
	return false
}

// yieldToBetter lets go of everything when another view is near that is in
// force without this node: either a newer one that members of this node's view
// have gone to, or one that has nothing in common with it and ranks better.
func (n *Node) yieldToBetter() {
	if n.view.ID.Number == 0 || n.bar == barDeaf {
		return
	}
	better := ""
	for _, p := range n.peers {
		if n.leftBehindBy(p) {
			if n.bar == barNone {
				n.note(NoteLeaseLost, p.ref.Name, "the others have gone on to view %d without this node: owns nothing until it is taken in", p.beat.View.ID.Number)
				n.yield(barFenced)
			}
			return
		}
		if n.rival(p, &n.view) && outranks(n.standingOf(p), standing{deaf: !n.proven, size: len(n.view.Members), heard: true, lowest: n.view.Members[0].Name}) {
			better = p.ref.Name
		}
	}
	switch {
	case better != "" && n.bar != barStandby:
		n.note(NoteStandby, better, "stands by: hears %s, whose view ranks better", better)
		n.yield(barStandby)
	case better == "" && n.bar == barStandby:
		n.note(NoteStandby, "", "stands by no more: no better view is heard")
		n.bar, n.changed = barFenced, true
	}
}

// leftBehindBy: the peer's view is in force, newer than this node's, without
// this node, and contains members of this node's view. One that does not hear
// this node counts only if it ranks better: a node alone that hears nobody must
// not silence those who hear each other.
func (n *Node) leftBehindBy(p *peer) bool {
	if p.beat == nil || p.silent || p.left || p.beat.Flags&barredFlags != 0 || p.beat.Stage < StageCleared {
		return false
	}
	w := &p.beat.View
	return w.ID.Compare(n.view.ID) > 0 && !w.has(n.cfg.Self) && overlap(w, &n.view) &&
		(p.mutual || outranks(n.standingOf(p), n.ownStanding()))
}

// settleConflicts: without a quorum two parts that meet again both own. Of two
// nodes that claim one bucket the worse placed drops it at once, and takes it
// up again only when the other lets go: the better is whom the newer of the two
// views gives it to, else the lower name. Both can tell from the two beats.
func (n *Node) settleConflicts() {
	if n.cfg.Quorum == QuorumMajority || !n.owns() {
		return
	}
	for _, p := range n.peers {
		if p.beat == nil || !p.mutual || p.unlike || p.beat.Flags&barredFlags != 0 || !n.fits(&p.beat.View) {
			continue
		}
		for i := range n.owned {
			n.settleConflict(p, i)
		}
	}
}

func (n *Node) settleConflict(p *peer, pool int) {
	claims := p.beat.Pools[pool].Claims
	table, self := n.table[pool], n.view.index(n.cfg.Self)
	other := n.view.index(p.ref)
	newer := p.beat.View.ID.Compare(n.view.ID) > 0
	dropped := 0
	for w, word := range n.owned[pool] {
		if w >= len(claims) || word&claims[w] == 0 {
			continue
		}
		if newer {
			v := &p.beat.View
			table, self, other, newer = tableOf(v, pool, n.cfg.Pools[pool]), v.index(n.cfg.Self), v.index(p.ref), false
		}
		for both := word & claims[w]; both != 0; both &= both - 1 {
			b := uint32(w*64 + bits.TrailingZeros64(both))
			owner := int(table[b])
			if owner >= 0 && owner == self || (owner < 0 || owner != other) && n.cfg.Self.Name < p.ref.Name {
				continue
			}
			n.owned[pool].Clear(b)
			n.lingers[pool].Set(b)
			dropped++
		}
	}
	if dropped > 0 {
		n.stage = min(n.stage, StageCleared)
		n.tableDirty, n.changed = true, true
		n.note(NoteStandby, p.ref.Name, "pool %s: drops %d buckets that %s owns too", n.cfg.Pools[pool].Name, dropped, p.ref.Name)
	}
}
