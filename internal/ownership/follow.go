package ownership

import "slices"

// follow adopts the highest view, among those that peers announce, that
// contains this node. An owner refuses some.
func (n *Node) follow() {
	n.refused = false
	if !n.settled {
		return
	}
	best := &n.view
	for _, p := range n.peers {
		v := &p.beat.View
		if p.left || p.unlike || !p.includes || v.ID.Compare(best.ID) <= 0 || !v.fits() || n.hasUnlike(v) {
			continue
		}
		if n.serving() && n.refuses(v) {
			n.refused = true
			continue
		}
		best = v
	}
	if best != &n.view && !n.muted {
		n.join(*best)
	}
}

// hasUnlike: a member shares nothing with this node. Its proposer may lack the pool
// in which the two differ.
func (n *Node) hasUnlike(v *View) bool {
	return slices.ContainsFunc(n.peers, func(p *peer) bool { return p.unlike && v.has(p.ref) })
}

// refuses: an owner does not follow one whom it would not take in itself, nor
// into a view without a member that has had less trouble than the proposer, or
// that a joiner displaces; unless most others of its view have gone there.
func (n *Node) refuses(v *View) bool {
	heard := n.heardMembers()
	gone := 0
	for _, p := range heard {
		if p.beat.View.ID == v.ID {
			gone++
		}
	}
	if 2*gone > len(heard) {
		return false
	}
	by := n.memberPeer(v.ID.Proposer)
	joiner := by != nil && !by.member() && !by.beat.owns()
	return n.proposedByStranger(v) || slices.ContainsFunc(heard, func(p *peer) bool {
		return !v.has(p.ref) && p.mutual && fit(p) && !n.letGo(p) && !n.convicted(p, heard) &&
			(joiner || n.trouble(p.ref.Name) < n.trouble(v.ID.Proposer.Name))
	})
}

// proposedByStranger: the proposer is not a member, not one that this node
// would add, and not an owner who merges two views. A node that was excluded
// does not readmit itself.
func (n *Node) proposedByStranger(v *View) bool {
	if n.view.has(v.ID.Proposer) {
		return false
	}
	p := n.memberPeer(v.ID.Proposer)
	return p == nil || !n.steady(p) && !(p.mutual && p.beat.owns())
}
