package ownership

import "slices"

// advance takes the view in force as far as it can go now.
func (n *Node) advance() {
	if n.bar != barNone || n.muted || n.view.ID.Number == 0 {
		return
	}
	if n.stage == StageJoined && n.fencesOver() {
		n.stage, n.wasReady, n.changed = StageReady, true, true
	}
	if n.dazed() && n.view.ID.Proposer == n.cfg.Self {
		return // what it heard when it proposed may be long past
	}
	if n.stage == StageReady && n.allReady() && n.outsidersYield() {
		n.clearMoved()
	}
	if n.stage == StageCleared && n.leaseUntil > n.now && n.allReady() {
		n.accept()
	}
}

// fencesOver: nobody outside the view can still own because of a promise of
// this node. (It joined no view before those of its earlier incarnation were over.)
func (n *Node) fencesOver() bool {
	for _, p := range n.peers {
		if !p.member() && n.now < p.fence {
			return false
		}
	}
	return true
}

// allReady: every other member announces this very view, its fences over, and
// this is no old news.
func (n *Node) allReady() bool {
	for _, m := range n.view.Members {
		if m.Ref == n.cfg.Self {
			continue
		}
		p := n.memberPeer(m.Ref)
		if p == nil || p.beat.View.ID != n.view.ID || p.beat.Stage < StageReady || p.beat.Flags&barredFlags != 0 || !n.recent(p) {
			return false
		}
	}
	return true
}

// recent: what it says was said within L after this node sent a beat, so what the
// peer promised with it binds the peer still: it cannot have gone on to take, with
// others, what this node is about to accept.
func (n *Node) recent(p *peer) bool { return p.echoed && n.now-p.echo < min(n.lease, p.echoLease) }

// outsidersYield: without a quorum, everybody outside the view who is heard
// owns nothing, or is not in this node's way; and those that hear this node and
// might go without it know of the view, so that no two views are activated at the
// same moment by nodes that hear each other.
func (n *Node) outsidersYield() bool {
	return n.cfg.Quorum == QuorumMajority || // the fences are enough
		!slices.ContainsFunc(n.peers, func(p *peer) bool { return !p.member() && !p.silent && !p.left && n.stands(p) })
}

// stands tells whether the outsider stands in the way of this node's view.
func (n *Node) stands(p *peer) bool {
	if p.beat.Flags&FlagDeaf != 0 {
		return false
	}
	barred := p.beat.Flags&barredFlags != 0
	knows := n.viewSeq != 0 && p.echoSeq >= n.viewSeq
	waits := n.owns() && (barred || p.beat.View.ID.Number == 0) // for this node, which owns, to take it in
	switch w := &p.beat.View; {
	case p.mutual && !knows && !waits:
		return true
	case barred:
		return false
	case p.mutual && p.beat.owns():
		return true
	default:
		return len(w.Members) > 0 && !w.has(n.cfg.Self) && !overlap(w, &n.view) && outranks(n.standingOf(p), n.ownStanding())
	}
}

// clearMoved drops in the datapath what moves away; the beat that says so is
// sent after the table is in force.
func (n *Node) clearMoved() {
	given, lingers := 0, 0
	for i := range n.owned {
		for w, word := range n.owned[i] {
			moved := word &^ n.want[i][w]
			n.owned[i][w] &^= moved
			n.lingers[i][w] |= moved
			given += ones(moved)
			if moved != 0 {
				n.release(i, w, moved)
			}
		}
		lingers += n.lingers[i].Count()
	}
	n.stage, n.gained = StageCleared, 0
	n.tableDirty, n.changed = true, true
	n.out = append(n.out, Note{
		Kind: NoteViewCleared, View: n.view.ID, Moved: -given,
		Text: text("view %d: released what moves away, %d buckets linger", n.view.ID.Number, lingers),
	})
}

// respects tells whether this node takes nothing that the peer claims: nor, without a quorum,
// from an outsider that goes on whatever this node does.
func (n *Node) respects(p *peer) bool {
	return p.mutual || p.member() || n.cfg.Quorum == QuorumNone && p.shares() && p.beat.Flags&barredFlags == 0 && n.heedless(p)
}

// accept takes the gained buckets that no other member claims any more.
func (n *Node) accept() {
	n.cutLease()
	gained, waiting := 0, 0
	for i := range n.owned {
		var taken Bitmap
		for w := range n.owned[i] {
			free := n.want[i][w] &^ n.owned[i][w]
			if free == 0 {
				continue
			}
			before := free
			for _, p := range n.peers {
				if claims := p.claims(i); w < len(claims) && !p.unlike && n.respects(p) {
					free &^= claims[w]
				}
			}
			waiting += ones(before &^ free)
			if free == 0 {
				continue
			}
			if taken == nil {
				taken = NewBitmap(n.cfg.Pools[i].Buckets)
			}
			taken[w] = free
			n.owned[i][w] |= free
			n.lingers[i][w] &^= free
			n.unclaimed[i][w] &^= free
			gained += ones(free)
		}
		if taken != nil {
			n.inherit(i, taken)
		}
	}
	if gained > 0 {
		n.gained += gained
		n.tableDirty, n.changed = true, true
	}
	if waiting > 0 {
		return
	}
	n.stage, n.changed = StageActive, true
	n.settleEstates()
	n.lastActive = n.lastActive[:0]
	for _, m := range n.view.Members {
		n.lastActive = append(n.lastActive, m.Ref)
	}
	n.out = append(n.out, Note{
		Kind: NoteViewActive, View: n.view.ID, Moved: n.gained,
		Text: text("view %d is active: %d members, %d buckets gained", n.view.ID.Number, len(n.view.Members), n.gained),
	})
}
