package ownership

import "cmp"

// standing is what two views that know of each other are compared by. Both
// sides must come to opposite answers from what both know.
type standing struct {
	deaf   bool
	sure   bool // it does not hear the other side, and clients reach it
	size   int
	heard  bool // it hears the other side
	lowest string
}

// outranks tells whether a stays and b stands by: not deaf; the side that does
// not hear the other although clients reach it (it would not stand by); larger; the
// side that does not hear the other; lowest name.
func outranks(a, b standing) bool {
	switch {
	case a.deaf != b.deaf:
		return b.deaf
	case a.sure != b.sure:
		return a.sure
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
	return standing{
		deaf:   p.beat.Flags&(FlagDeaf|FlagUnproven) != 0,
		size:   len(v.Members),
		sure:   n.heedless(p),
		heard:  !n.unheardBy(p),
		lowest: v.Members[0].Name,
	}
}

// heedless: the peer is heard and hears nothing of this node, but clients reach it:
// it will go on, whatever this node does. Right after a healing its beats are
// from before it could hear: only a link that stays one-way counts.
func (n *Node) heedless(p *peer) bool {
	return p.beat.Flags&FlagClients != 0 && n.unheardBy(p)
}

func (n *Node) unheardBy(p *peer) bool {
	return (p.mine == nil || p.mine.Silent) && n.awake-p.heardSince >= n.take()
}

// ownStanding is that of this node's view, counting those of its members that
// are still at hand.
func (n *Node) ownStanding() standing {
	return standing{deaf: !n.viewProven, size: len(n.heardMembers()) + 1, heard: true, lowest: n.view.Members[0].Name}
}

// rival tells whether the peer owns, or is about to, under a view that has
// nothing in common with v and does not know this node. Of those whose pools
// differ, the fewer make way before the others own. With a quorum no two such
// views are in force.
func (n *Node) rival(p *peer, v *View) bool {
	w := &p.beat.View
	if n.cfg.Quorum == QuorumMajority || p.silent || p.left || p.includes || p.beat.Flags&barredFlags != 0 || len(w.Members) == 0 {
		return false
	}
	comes := p.beat.owns() || p.beat.Stage >= StageReady || p.unlike && len(w.Members) > len(v.Members)
	return comes && !overlap(w, v)
}

// yieldToBetter lets go of everything when another view is near that is in
// force without this node: either a newer one that members of this node's view
// have gone to, or one that has nothing in common with it and ranks better.
func (n *Node) yieldToBetter() {
	if n.view.ID.Number == 0 || n.bar == barDeaf {
		return
	}
	if p := n.leftBehindBy(); p != nil {
		if n.bar == barNone {
			n.note(NoteLeaseLost, p.ref.Name, "the others have gone on to view %d without this node: owns nothing until it is taken in", p.beat.View.ID.Number)
			n.yield(barFenced)
		}
		return
	}
	mine, better := standing{deaf: !n.viewProven, size: len(n.view.Members), heard: true, lowest: n.view.Members[0].Name}, ""
	for _, p := range n.peers {
		if n.rival(p, &n.view) && outranks(n.standingOf(p), mine) {
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

// leftBehindBy finds a member that has gone on to a newer view in force without
// this node, if most of those at hand have, or half of them and it hears this
// node: one that hears nobody must not silence those who hear each other.
func (n *Node) leftBehindBy() *peer {
	heard, gone, hears := 0, 0, false
	var by *peer
	for _, p := range n.peers {
		if p.silent || p.left || p.unlike || !p.member() {
			continue
		}
		heard++
		if !p.includes && p.beat.View.ID.Compare(n.view.ID) > 0 && p.beat.Stage >= StageCleared && p.beat.Flags&barredFlags == 0 {
			gone, by, hears = gone+1, p, hears || n.edge(nil, p)
		}
	}
	if 2*gone > heard+1 || 2*gone == heard+1 && hears {
		return by
	}
	return nil
}

// settleConflicts: without a quorum two parts that meet again both own. Of two
// nodes that claim one bucket the worse placed drops it at once, and takes it
// up again only when the other lets go: the better is whom the larger of the
// two views gives it to (the newer, if they are as large), else the lower name.
// Both can tell from the two beats. One that hears nothing of this node cannot: it keeps all.
func (n *Node) settleConflicts() {
	if n.cfg.Quorum == QuorumMajority || !n.owns() {
		return
	}
	for _, p := range n.peers {
		for i, mine := range n.owned {
			if p.claims(i).overlaps(mine) && n.minds(p) {
				n.settleConflict(p, i)
			}
		}
	}
}

// minds tells whether the peer's claims count, and both can tell from the two beats whose is
// the better, or it will go on whatever this node does.
func (n *Node) minds(p *peer) bool {
	return p.shares() && p.beat.Flags&barredFlags == 0 && p.beat.View.fits() && (n.edge(nil, p) || n.heedless(p))
}

func (n *Node) settleConflict(p *peer, pool int) {
	claims := p.claims(pool)
	v, table := &n.view, n.table[pool]
	if theirs := &p.beat.View; cmp.Or(cmp.Compare(len(theirs.Members), len(v.Members)), theirs.ID.Compare(v.ID)) > 0 {
		v, table = theirs, tableOf(theirs, n.cfg.Pools[pool])
	}
	self, other, dropped := v.index(n.cfg.Self), v.index(p.ref), 0
	heedless := n.heedless(p)
	for b := range n.cfg.Pools[pool].Buckets {
		if !claims.Has(b) || !n.owned[pool].Has(b) {
			continue
		}
		owner := int(table[b])
		better := owner >= 0 && owner == self || (owner < 0 || owner != other) && n.cfg.Self.Name < p.ref.Name
		if better && !heedless {
			continue
		}
		n.owned[pool].Clear(b)
		n.lingers[pool].Set(b)
		dropped++
	}
	if dropped > 0 {
		n.stage = min(n.stage, StageCleared)
		n.tableDirty, n.changed = true, true
		n.note(NoteStandby, p.ref.Name, "pool %s: drops %d buckets that %s owns too", n.cfg.Pools[pool].Name, dropped, p.ref.Name)
	}
}
