package ownership

// advance takes the view in force as far as it can go now.
func (n *Node) advance() {
	if n.bar != barNone || n.muted || n.view.ID.Number == 0 {
		return
	}
	if n.stage == StageJoined && n.fencesOver() {
		n.stage, n.changed = StageReady, true
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
// this node, nor of its earlier incarnation.
func (n *Node) fencesOver() bool {
	if n.now < n.start+n.take() {
		return false
	}
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

// recent: what it says was said after this node sent a beat not long ago, frozen
// time included.
func (n *Node) recent(p *peer) bool {
	return p.echoed && n.now-p.echo <= n.take()+2*n.cfg.Interval
}

// outsidersYield: without a quorum, everybody outside the view who is heard
// owns nothing, or is not in this node's way; and those that hear this node know
// of the view, so that no two views are activated at the same moment by nodes
// that hear each other.
func (n *Node) outsidersYield() bool {
	if n.cfg.Quorum == QuorumMajority {
		return true // the fences are enough
	}
	for _, p := range n.peers {
		if p.silent || p.left || p.member() || p.beat.Flags&barredFlags != 0 {
			continue
		}
		if p.mutual && (p.beat.owns() || p.echoSeq < n.viewSeq) {
			return false
		}
		if w := &p.beat.View; len(w.Members) > 0 && !w.has(n.cfg.Self) && !overlap(w, &n.view) && outranks(n.standingOf(p), n.ownStanding()) {
			return false
		}
	}
	return true
}

// clearMoved drops in the datapath what moves away; the beat that says so is
// sent after the table is in force.
func (n *Node) clearMoved() {
	given := 0
	for i := range n.owned {
		for w, word := range n.owned[i] {
			moved := word &^ n.want[i][w]
			n.owned[i][w] &^= moved
			n.lingers[i][w] |= moved
		}
		given += n.lingers[i].Count()
	}
	n.stage = StageCleared
	n.tableDirty, n.changed = true, true
	n.note(NoteViewCleared, "", "view %d: released what moves away, %d buckets linger", n.view.ID.Number, given)
}

// accept takes the gained buckets that no other member claims any more.
func (n *Node) accept() {
	gained, waiting := 0, 0
	for i := range n.owned {
		for w := range n.owned[i] {
			free := n.want[i][w] &^ n.owned[i][w]
			if free == 0 {
				continue
			}
			before := free
			for _, p := range n.peers {
				if p.unlike || !p.mutual && !p.member() || w >= len(p.beat.Pools[i].Claims) {
					continue
				}
				free &^= p.beat.Pools[i].Claims[w]
			}
			n.owned[i][w] |= free
			n.lingers[i][w] &^= free
			gained += ones(free)
			waiting += ones(before &^ free)
		}
	}
	if gained > 0 {
		n.tableDirty, n.changed = true, true
	}
	if waiting > 0 {
		return
	}
	n.stage, n.changed = StageActive, true
	n.lastActive = n.lastActive[:0]
	for _, m := range n.view.Members {
		n.lastActive = append(n.lastActive, m.Ref)
	}
	n.out = append(n.out, Note{
		Kind: NoteViewActive, View: n.view.ID, Moved: gained,
		Text: text("view %d is active: %d members, %d buckets gained", n.view.ID.Number, len(n.view.Members), gained),
	})
}
