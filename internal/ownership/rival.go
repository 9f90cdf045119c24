package ownership

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

// standing is that of the view which the peer announces, seen from self.
func (p *peer) standing(self Ref) standing {
	v := &p.beat.View
	e := p.row(self)
	return standing{
		deaf:   p.beat.Flags&FlagDeaf != 0,
		size:   len(v.Members),
		heard:  e != nil && !e.Silent,
		lowest: v.Members[0].Name,
	}
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
		if n.rival(p, &n.view) && outranks(p.standing(n.cfg.Self), standing{size: len(n.view.Members), heard: true, lowest: n.view.Members[0].Name}) {
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
// this node, and contains members of this node's view.
func (n *Node) leftBehindBy(p *peer) bool {
	if p.beat == nil || p.silent || p.left || p.beat.Flags&barredFlags != 0 || p.beat.Stage < StageCleared {
		return false
	}
	w := &p.beat.View
	return w.ID.Compare(n.view.ID) > 0 && !w.has(n.cfg.Self) && overlap(w, &n.view)
}
