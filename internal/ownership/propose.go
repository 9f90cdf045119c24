package ownership

import (
	"slices"
	"time"
)

// propose makes a new view when this node is the one to do it and the view in
// force is not what the nodes at hand make possible.
func (n *Node) propose() {
	if n.seq == 0 || !n.settled || n.muted || n.bar == barDeaf || n.bar == barStandby || n.dazed() {
		return
	}
	var v View
	switch {
	case n.view.ID.Number == 0:
		v = n.firstSet()
	case n.bar != barNone && n.othersServe():
		return // they take its buckets, and take it in again
	case n.discordFor(2 * n.lease):
		v = n.unitedSet()
	default:
		v = n.nextSet()
	}
	if len(v.Members) == 0 || !n.allowed(v.Members) {
		return
	}
	v.ID = ViewID{Number: n.highest + 1, Proposer: n.cfg.Self}
	v.Actives = n.chooseActives(&v)
	n.note(NoteViewProposed, "", "proposes view %d: %s", v.ID.Number, n.changeTo(&v))
	n.join(v)
}

// othersServe: somebody is heard who owns under a view without this node, or who
// serves as a member of this node's view, be it with weight 0.
func (n *Node) othersServe() bool {
	return slices.ContainsFunc(n.peers, func(p *peer) bool {
		if p.silent || p.left || p.unlike || p.beat.Flags&barredFlags != 0 || n.lost(p) {
			return false
		}
		member := p.member()
		return p.beat.owns() && (!p.includes || member) || member && p.beat.Stage == StageActive
	})
}

// firstSet is the first view of a node that has none: all who start together,
// or itself alone when nobody is heard. Whoever hears a node with a view
// waits to be taken in; whoever hears a node that does not hear it yields.
func (n *Node) firstSet() View {
	set := []*peer{}
	for _, p := range n.peers {
		if !p.shares() || p.deaf() {
			continue
		}
		if p.beat.View.ID.Number != 0 || !n.steady(p) {
			return View{}
		}
		set = append(set, p)
	}
	if len(set) == 0 && n.awake < n.alone() {
		return View{}
	}
	set, self := n.cut(set)
	if !self || !n.lowest(set, func(*peer) bool { return true }) {
		return View{}
	}
	return n.viewOf(set)
}

// nextSet follows the view in force: the members that are kept, and those who
// have knocked long enough. A missed edge alone is no reason for a new view,
// since both its ends hold leases from others; but when there is a reason, the
// cut decides who of those that have missed each other for a lease goes along.
func (n *Node) nextSet() View {
	kept := n.keptMembers()
	n.judgeSplit(kept)
	set, self := kept, true
	if n.splitFor(n.lease) {
		set, self = n.cut(kept)
	}
	if !self || !n.lowest(set, n.leads) || !n.calledFor(n.withJoiners(kept), len(kept)) {
		return View{}
	}
	return n.viewOf(n.withJoiners(set))
}

// calledFor tells whether a view of this set is needed: a member must go; or,
// with at least an interval between views, the set or the pins differ from the view in
// force, or somebody needs a newer one to own again, or others have gone to one
// that this node refuses.
func (n *Node) calledFor(set []*peer, kept int) bool {
	if kept+1 < len(n.view.Members) {
		return true
	}
	return n.awake-n.viewAwake >= n.interval && (!n.inForce(set) || n.pins.differ || n.someoneBarred() || n.refused)
}

// inForce tells whether the members of the view are these and this node, with
// the weights that they ask for, and single pools are with whom they belong.
func (n *Node) inForce(set []*peer) bool {
	v, self := &n.view, n.view.index(n.cfg.Self)
	if self < 0 || len(set)+1 != len(v.Members) || !given(v.Pools, v.Members[self].Weights, len(n.cfg.Pools), n.asks) {
		return false
	}
	return n.activesStay() && !slices.ContainsFunc(set, func(p *peer) bool {
		return !p.member() || !given(v.Pools, v.Members[p.place].Weights, len(p.beat.Pools), p.asks)
	})
}

// someoneBarred: a member of the view, this node included, has let go of
// everything and needs a newer view to own again.
func (n *Node) someoneBarred() bool {
	return n.bar != barNone || slices.ContainsFunc(n.peers, func(p *peer) bool { return p.member() && n.letGo(p) })
}

// unitedSet ends a discord that no other rule ends: everybody at hand, members
// or not, owners or not.
func (n *Node) unitedSet() View {
	var all []*peer
	for _, p := range n.peers {
		if p.mutual && fit(p) && (p.member() || p.beat.owns() || n.steady(p)) {
			all = append(all, p)
		}
	}
	set, self := n.cut(all)
	if !self || !n.lowest(set, n.leads) {
		return View{}
	}
	return n.viewOf(set)
}

// judgeConcord notes since when this node's view has not become active, or a
// member or owner at hand has been in another. A member that restarts will follow
// when it is back, and others wait for it no less in a newer view.
func (n *Node) judgeConcord() {
	discord := n.view.ID.Number != 0 && (n.stage < StageActive || slices.ContainsFunc(n.peers, func(p *peer) bool {
		return p.mutual && !p.unlike && p.beat.View.ID != n.view.ID && (p.member() || p.beat.owns())
	}))
	waits := slices.ContainsFunc(n.peers, func(p *peer) bool { return p.member() && p.restarts() })
	switch {
	case !discord || waits:
		n.discord = 0
	case n.discord == 0:
		n.discord = max(n.awake, 1)
	}
}

func (n *Node) discordFor(d time.Duration) bool { return n.discord != 0 && n.awake-n.discord >= d }

// withJoiners adds the peers that are steady, own nothing and are mutual with
// everybody in the set. A joiner never displaces a member.
func (n *Node) withJoiners(set []*peer) []*peer {
	room := MaxNodes - 1
	if n.cfg.Quorum == QuorumMajority {
		room = n.cfg.ExpectedNodes - 1
	}
	set = slices.Clone(set)
	for _, p := range n.peers {
		if len(set) >= room {
			break
		}
		if p.member() || !fit(p) || !n.prompt(p) || !n.steady(p) || !n.edge(nil, p) || p.beat.owns() && !n.mergeable(p, set) {
			continue
		}
		if !slices.ContainsFunc(set, func(q *peer) bool { return !n.edge(p, q) }) {
			set = append(set, p)
		}
	}
	return set
}

// steady tells whether a peer outside the view has been mutual long enough.
func (n *Node) steady(p *peer) bool {
	return p.mutual && n.awake-p.mutualSince >= n.patience(p)
}

// prompt: it has answered fast enough for a handover, all through the last two leases.
// What moves to a joiner has no owner until that one has heard, step by step,
// that it has been released.
func (n *Node) prompt(p *peer) bool { return n.awake-p.lateAwake >= 2*n.lease }

// mergeable: the owner's view has no member left but those in the set, so that
// a view of both takes from nobody.
func (n *Node) mergeable(p *peer, set []*peer) bool {
	if !overlap(&p.beat.View, &n.view) {
		return false // one of the two stands by first
	}
	for _, m := range p.beat.View.Members {
		q := n.memberPeer(m.Ref)
		here := m.Ref == n.cfg.Self || m.Ref == p.ref || q != nil && slices.Contains(set, q)
		if !here && q != nil && !q.silent && !q.left {
			return false
		}
	}
	return true
}

// lowest tells whether this node bears the lowest name of those in the set who may propose.
func (n *Node) lowest(set []*peer, mayPropose func(*peer) bool) bool {
	return !slices.ContainsFunc(set, func(p *peer) bool { return p.ref.Name < n.cfg.Self.Name && mayPropose(p) })
}

// leads: it has a view, and owns or may own as well as this node.
func (n *Node) leads(p *peer) bool {
	return p.beat.View.ID.Number != 0 && (n.bar != barNone || p.beat.Flags&barredFlags == 0)
}

// viewOf is a view of these peers and this node, with the weights that they ask for, and
// without an identity yet.
func (n *Node) viewOf(set []*peer) View {
	v := View{Pools: n.unionOfPools(set)}
	v.Members = append(v.Members, Member{n.cfg.Self, weightsIn(v.Pools, len(n.cfg.Pools), n.asks)})
	for _, p := range set {
		v.Members = append(v.Members, Member{p.ref, weightsIn(v.Pools, len(p.beat.Pools), p.asks)})
	}
	slices.SortFunc(v.Members, func(a, b Member) int { return compareNames(a.Name, b.Name) })
	v.Pins = n.pinsIn(v.Pools)
	return v
}

// majority of the expected nodes.
func (n *Node) majority() int { return n.cfg.ExpectedNodes/2 + 1 }

// allowed tells whether this set may form a view: a majority of the expected
// nodes; or, without a quorum, a majority of the last active view, or everyone
// missing from that has been silent for L_take to everyone in the set. And no
// better owner is heard, nor any as good by one who owns nothing.
func (n *Node) allowed(set []Member) bool {
	if n.cfg.Quorum == QuorumMajority {
		return len(set) >= n.majority()
	}
	if len(set) == 1 && !n.owns() && n.unheard() {
		return false
	}
	v := View{Members: set}
	kept, missing := 0, 0
	allSilent := true
	for _, r := range n.lastActive {
		switch {
		case v.has(r):
			kept++
		case n.isGone(r):
		default:
			missing++
			allSilent = allSilent && n.silentToAll(r, set)
		}
	}
	if kept <= missing && !allSilent {
		return false
	}
	if kept < missing && n.awake-n.lonelySince(set) < n.alone() {
		return false // most fell silent at once: rather this node is to blame
	}
	return !slices.ContainsFunc(n.peers, func(p *peer) bool {
		return n.rival(p, &v) && outranks(n.standingOf(p), standing{size: len(set), lowest: set[0].Name, heard: true}) ||
			!n.owns() && n.ownsBeside(p, &v)
	})
}

// unheard: this node hears somebody who does not hear it, or is far behind with what
// it hears. Either way it is no judge of who is there.
func (n *Node) unheard() bool {
	return slices.ContainsFunc(n.peers, func(p *peer) bool { return p.shares() && !p.mutual && !(p.deaf() && n.unheardBy(p) || n.lost(p)) })
}

// lonelySince is when the last of those was heard who were active and are not in the set.
func (n *Node) lonelySince(set []Member) Time {
	v, since := View{Members: set}, Time(0)
	for _, r := range n.lastActive {
		if p := n.memberPeer(r); p != nil && !v.has(r) {
			since = max(since, p.heardAwake)
		}
	}
	return since
}

// ownsBeside: the peer is heard and owns, outside v, in company as large.
func (n *Node) ownsBeside(p *peer, v *View) bool {
	if v.has(p.ref) || p.silent || p.left || p.unlike || p.beat.Flags&barredFlags != 0 || !p.beat.owns() || n.lost(p) {
		return false
	}
	company := 0
	for _, m := range p.beat.View.Members {
		if !v.has(m.Ref) {
			company++
		}
	}
	return company >= len(v.Members)
}

// isGone: it left, restarted, or says itself that it owns nothing.
func (n *Node) isGone(r Ref) bool {
	p := n.peer(r.Name)
	return p != nil && (p.ref != r || p.left || p.unlike || p.beat.Flags&FlagDeaf != 0 || n.letGo(p) || n.lost(p))
}

func (n *Node) silentToAll(r Ref, set []Member) bool {
	if p := n.memberPeer(r); p != nil && !p.silent {
		return false
	}
	for _, m := range set {
		if p := n.memberPeer(m.Ref); p != nil {
			if e := p.beat.echo(r); e != nil && !e.Silent {
				return false
			}
		}
	}
	return true
}

// lost: the peer does not hear this node, and nothing at all comes to it: what it owns nobody serves.
func (n *Node) lost(p *peer) bool {
	return n.cfg.Quorum == QuorumNone && n.unheardBy(p) && p.beat.Flags&(FlagUnproven|FlagClients) == FlagUnproven
}
