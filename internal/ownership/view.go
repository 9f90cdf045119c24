package ownership

import (
	"slices"
	"time"

	"github.com/rota-cluster/rota/internal/assign"
)

// index is the place of a member in the view, -1 if it is not there.
func (v *View) index(r Ref) int {
	return slices.IndexFunc(v.Members, func(m Member) bool { return m.Ref == r })
}

func (v *View) has(r Ref) bool { return v.index(r) >= 0 }

func (v *View) sameContent(o *View) bool {
	return slices.EqualFunc(v.Members, o.Members, func(a, b Member) bool {
		return a.Ref == b.Ref && slices.Equal(a.Weights, b.Weights)
	}) && slices.Equal(v.Pins, o.Pins)
}

// follow adopts the highest view, among those that peers announce, that
// contains this node. An owner refuses a view that is smaller than what it
// finds itself: a node at the end of a chain must not tear a cluster apart.
func (n *Node) follow() {
	n.refused = false
	best := &n.view
	for _, p := range n.peers {
		if p.beat == nil || p.left || p.unlike {
			continue
		}
		v := &p.beat.View
		if v.ID.Compare(best.ID) > 0 && v.has(n.cfg.Self) && n.fits(v) {
			best = v
		}
	}
	if best == &n.view || n.muted {
		return
	}
	if n.serving() {
		if n.proposedByStranger(best) {
			return
		}
		if n.bestSize() > len(best.Members) || n.dropsUnconvicted(best) {
			n.refused = true
			return
		}
	}
	n.join(*best)
}

// dropsUnconvicted: the view leaves out a member that this node finds mutual,
// though neither a majority of the members at hand miss it nor have gone to
// that view.
func (n *Node) dropsUnconvicted(v *View) bool {
	heard := n.heardMembers()
	gone := 1 // this node would be one of them
	for _, p := range heard {
		if p.beat.View.ID == v.ID {
			gone++
		}
	}
	if 2*gone > len(heard)+1 {
		return false
	}
	return slices.ContainsFunc(heard, func(p *peer) bool {
		return p.mutual && !v.has(p.ref) && p.beat.Flags&(FlagDeaf|FlagLeaving) == 0 && !n.fallenOut(p) && !n.convicted(p, heard)
	})
}

// heardMembers are the members of the view in force that are not silent.
func (n *Node) heardMembers() []*peer {
	var heard []*peer
	for _, m := range n.view.Members {
		if p := n.memberPeer(m.Ref); p != nil && !p.silent && !p.left && !p.unlike {
			heard = append(heard, p)
		}
	}
	return heard
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

// steady tells whether a peer outside the view has been mutual long enough.
func (n *Node) steady(p *peer) bool {
	return p.mutual && n.awake-p.mutualSince >= n.patience(p)
}

// fits tells whether the view has a weight for each of this node's pools.
func (n *Node) fits(v *View) bool {
	for _, m := range v.Members {
		if len(m.Weights) != len(n.cfg.Pools) {
			return false
		}
	}
	return true
}

// join announces a view. What is owned stays owned; nothing is promised any
// more to those outside.
func (n *Node) join(v View) {
	n.note(NoteViewJoined, "", "view %d by %s: %s", v.ID.Number, v.ID.Proposer.Name, n.changeTo(&v))
	for _, p := range n.peers {
		if n.view.has(p.ref) && !v.has(p.ref) {
			p.mutualSince = n.awake // who was dropped knocks from now on
		}
	}
	n.view, n.viewAwake, n.viewSeq, n.stage = v, n.awake, 0, StageJoined
	if n.bar != barDeaf {
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

// tableOf computes the table of one pool from the view and nothing else.
func tableOf(v *View, pool int, cfg PoolConfig) []int16 {
	nodes := make([]assign.Node, len(v.Members))
	for i, m := range v.Members {
		nodes[i] = assign.Node{Name: m.Name, Weight: uint32(m.Weights[pool])}
	}
	var pins []assign.Pin
	for _, p := range v.Pins {
		if int(p.Pool) == pool {
			pins = append(pins, assign.Pin{Bucket: p.Bucket, Node: p.Node})
		}
	}
	return assign.Table(cfg.Name, cfg.Buckets, nodes, pins)
}

// propose makes a new view when this node is the one to do it and the view in
// force is not what the nodes at hand make possible.
func (n *Node) propose() {
	if n.seq == 0 || n.muted || n.bar == barDeaf || n.bar == barStandby || n.dazed() {
		return
	}
	var set []Member
	uniting := n.discord != 0 && n.awake-n.discord >= 2*n.cfg.Lease
	switch {
	case n.view.ID.Number == 0:
		set = n.firstSet()
	case n.bar != barNone && n.strangerOwns():
		return // it waits to be taken in
	case uniting:
		set = n.unitedSet()
	default:
		set = n.nextSet()
	}
	if len(set) == 0 || !n.allowed(set) {
		return
	}
	v := View{Members: set, Pins: n.view.Pins}
	if !uniting && n.view.sameContent(&v) && (!n.someoneBarred() && !n.refused || n.awake-n.viewAwake < n.cfg.Interval) {
		return
	}
	n.discord = 0
	v.ID = ViewID{Number: n.highest + 1, Proposer: n.cfg.Self}
	n.note(NoteViewProposed, "", "proposes view %d: %s", v.ID.Number, n.changeTo(&v))
	n.join(v)
}

// someoneBarred: a member of the view, this node included, has let go of
// everything and needs a newer view to own again.
func (n *Node) someoneBarred() bool {
	if n.bar != barNone {
		return true
	}
	for _, m := range n.view.Members {
		if p := n.memberPeer(m.Ref); p != nil && p.beat.Flags&FlagFenced != 0 && p.beat.View.ID == n.view.ID {
			return true
		}
	}
	return false
}

// firstSet is the first view of a node that has none: all who start together,
// or itself alone when nobody is heard. Whoever hears a node with a view
// waits to be taken in; whoever hears a node that does not hear it yields.
func (n *Node) firstSet() []Member {
	set := []*peer{}
	for _, p := range n.peers {
		if p.beat == nil || p.silent || p.left || p.unlike {
			continue
		}
		if p.beat.View.ID.Number != 0 || !n.steady(p) {
			return nil
		}
		if p.beat.Flags&FlagDeaf == 0 {
			set = append(set, p)
		}
	}
	alone := max(3*n.cfg.Lease, time.Second)
	if len(set) == 0 && n.awake < alone {
		return nil
	}
	set, self := n.cut(set)
	return n.ifLowest(set, self, func(Ref) bool { return true })
}

// nextSet follows the view in force: the members that are still mutual, and
// those who have knocked long enough.
func (n *Node) nextSet() []Member {
	members, self := n.bestMembers()
	return n.ifLowest(n.withJoiners(members), self, n.view.has)
}

// unitedSet ends a discord that no other rule ends: everybody at hand, members
// or not, owners or not.
func (n *Node) unitedSet() []Member {
	var all []*peer
	for _, p := range n.peers {
		if p.beat != nil && p.mutual && !p.unlike && p.beat.Flags&(FlagDeaf|FlagLeaving) == 0 && (n.view.has(p.ref) || p.beat.owns() || n.steady(p)) {
			all = append(all, p)
		}
	}
	set, self := n.cut(all)
	return n.ifLowest(set, self, func(r Ref) bool { return n.memberPeer(r).beat.View.ID.Number != 0 })
}

// judgeConcord notes since when this node's view has not become active, or an
// owner at hand has followed another.
func (n *Node) judgeConcord() {
	discord := n.view.ID.Number != 0 && n.stage < StageActive
	for _, p := range n.peers {
		discord = discord || p.mutual && !p.unlike && p.beat.owns() && p.beat.View.ID != n.view.ID
	}
	switch {
	case !discord:
		n.discord = 0
	case n.discord == 0:
		n.discord = max(n.awake, 1)
	}
}

// strangerOwns: somebody is heard who owns under a view without this node.
func (n *Node) strangerOwns() bool {
	return slices.ContainsFunc(n.peers, func(p *peer) bool {
		return p.beat != nil && !p.silent && !p.left && !p.unlike && !p.beat.View.has(n.cfg.Self) &&
			p.beat.owns() && p.beat.Flags&barredFlags == 0
	})
}

// bestMembers is the best set among the members of the view in force, without
// this node; the second result tells whether this node is in it. A member is
// dropped at once when a majority of the members at hand report it missing. Where
// members miss each other and no majority says whose fault it is, all stay for
// one lease more, and then the cut decides: one report convicts nobody.
func (n *Node) bestMembers() ([]*peer, bool) {
	heard := n.heardMembers()
	var set []*peer
	whole := true
	for _, m := range n.view.Members {
		p := n.memberPeer(m.Ref)
		if p == nil || p.left || p.unlike || p.beat.Flags&FlagDeaf != 0 || n.fallenOut(p) || n.convicted(p, heard) {
			continue
		}
		set = append(set, p)
	}
	for i, a := range set {
		whole = whole && n.edge(nil, a)
		for _, b := range set[:i] {
			whole = whole && n.edge(a, b)
		}
	}
	switch {
	case whole:
		n.split = 0
		return set, true
	case n.split == 0:
		n.split = max(n.awake, 1)
	}
	if n.awake-n.split < n.cfg.Lease {
		return set, true
	}
	set = slices.DeleteFunc(set, func(p *peer) bool { return !p.mutual })
	return n.cut(set)
}

// bestSize counts the best set of members.
func (n *Node) bestSize() int {
	set, self := n.bestMembers()
	if self {
		return len(set) + 1
	}
	return len(set)
}

// convicted: of the members at hand, this node included, a majority does not
// find the peer mutual.
func (n *Node) convicted(p *peer, heard []*peer) bool {
	voters, reports := 1, 0
	if !p.mutual {
		reports++
	}
	for _, q := range heard {
		if q == p {
			continue
		}
		voters++
		if !q.finds(p.ref) {
			reports++
		}
	}
	return 2*reports > voters
}

// fallenOut: a member that keeps losing its lease while others keep theirs is
// taken out, and back with patience. Once is forgiven.
func (n *Node) fallenOut(p *peer) bool {
	return n.bar == barNone && p.flaps >= 2 && p.beat.Flags&FlagFenced != 0 && p.beat.View.ID == n.view.ID && n.awake-p.flapAwake < calmAfter
}

// withJoiners adds the peers that are steady, own nothing and are mutual with
// everybody in the set. A joiner never displaces a member.
func (n *Node) withJoiners(set []*peer) []*peer {
	room := MaxNodes - 1
	if n.cfg.Quorum == QuorumMajority {
		room = n.cfg.ExpectedNodes - 1
	}
	for _, p := range n.peers {
		if len(set) >= room {
			break
		}
		if p.beat == nil || p.unlike || n.view.has(p.ref) || p.beat.Flags&(FlagDeaf|FlagLeaving) != 0 ||
			!n.steady(p) || !n.edge(nil, p) || p.beat.owns() && !n.mergeable(p, set) {
			continue
		}
		if !slices.ContainsFunc(set, func(q *peer) bool { return !n.edge(p, q) }) {
			set = append(set, p)
		}
	}
	return set
}

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

// cut drops, while a pair is not mutual, the node with most missing edges
// (ties: one that has been silent for U, then the highest name), this node
// included. Every node that sees the same rows finds the same set. The second
// result tells whether this node is in it.
func (n *Node) cut(peers []*peer) ([]*peer, bool) {
	set := append([]*peer{nil}, peers...) // nil is this node
	for {
		worst, most := -1, 0
		for i, a := range set {
			missing := 0
			for j, b := range set {
				if i != j && !n.edge(a, b) {
					missing++
				}
			}
			if missing > most || missing == most && missing > 0 && n.moreSuspect(a, set[worst]) {
				worst, most = i, missing
			}
		}
		if most == 0 {
			break
		}
		set = slices.Delete(set, worst, worst+1)
	}
	if i := slices.Index(set, nil); i >= 0 {
		return slices.Delete(set, i, i+1), true
	}
	return set, false
}

// moreSuspect decides between two nodes that miss as many edges.
func (n *Node) moreSuspect(a, b *peer) bool {
	quietA, quietB := a != nil && n.quietFor(a), b != nil && n.quietFor(b)
	if quietA != quietB {
		return quietA
	}
	if freshA, freshB := a != nil && n.fresh(a), b != nil && n.fresh(b); freshA != freshB {
		return freshA
	}
	return n.nameOf(a) > n.nameOf(b)
}

// fresh: it has become mutual with this node only a moment ago.
func (n *Node) fresh(p *peer) bool { return n.awake-p.mutualSince < 2*n.cfg.Lease }

// quietFor: nothing has been heard from it for U.
func (n *Node) quietFor(p *peer) bool { return n.awake-p.heardAwake >= n.quiet() }

// edge tells whether both say of the other that they are mutual; nil is this node.
func (n *Node) edge(a, b *peer) bool {
	switch {
	case a == nil:
		return b.mutual && b.finds(n.cfg.Self)
	case b == nil:
		return a.mutual && a.finds(n.cfg.Self)
	default:
		return a.finds(b.ref) && b.finds(a.ref)
	}
}

// finds tells whether the peer's row says that it finds r mutual.
func (p *peer) finds(r Ref) bool {
	e := p.row(r)
	return e != nil && e.Mutual
}

func (p *peer) row(r Ref) *Echo {
	for i := range p.beat.Echo {
		if p.beat.Echo[i].Ref == r {
			return &p.beat.Echo[i]
		}
	}
	return nil
}

func (n *Node) nameOf(p *peer) string {
	if p == nil {
		return n.cfg.Self.Name
	}
	return p.ref.Name
}

// ifLowest turns the set into members if this node is in it and bears the
// lowest name of those who may propose.
func (n *Node) ifLowest(set []*peer, self bool, mayPropose func(Ref) bool) []Member {
	if !self {
		return nil
	}
	members := []Member{{Ref: n.cfg.Self, Weights: n.ownWeights()}}
	for _, p := range set {
		if mayPropose(p.ref) && p.ref.Name < n.cfg.Self.Name {
			return nil
		}
		w := make([]uint16, len(p.beat.Pools))
		for i, pb := range p.beat.Pools {
			w[i] = pb.Weight
		}
		members = append(members, Member{Ref: p.ref, Weights: w})
	}
	slices.SortFunc(members, func(a, b Member) int { return compareNames(a.Name, b.Name) })
	return members
}

func (n *Node) ownWeights() []uint16 {
	w := slices.Clone(n.weights)
	if n.draining {
		clear(w)
	}
	return w
}

// allowed tells whether this set may form a view: a majority of the expected
// nodes; or, without a quorum, a majority of the last active view, or everyone
// missing from that has been silent for L_take to everyone in the set. And no
// better owner is heard.
func (n *Node) allowed(set []Member) bool {
	if n.cfg.Quorum == QuorumMajority {
		return len(set) >= n.cfg.ExpectedNodes/2+1
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
	for _, p := range n.peers {
		if n.rival(p, &v) && outranks(n.standingOf(p), standing{size: len(set), lowest: set[0].Name, heard: true}) {
			return false
		}
	}
	return true
}

// isGone: it left, restarted, or says itself that it owns nothing.
func (n *Node) isGone(r Ref) bool {
	p := n.peer(r.Name)
	return p != nil && p.beat != nil && (p.ref != r || p.left || p.beat.Flags&FlagDeaf != 0 || p.unlike)
}

func (n *Node) silentToAll(r Ref, set []Member) bool {
	if p := n.memberPeer(r); p != nil && !p.silent {
		return false
	}
	for _, m := range set {
		if p := n.memberPeer(m.Ref); p != nil {
			if e := p.row(r); e != nil && !e.Silent {
				return false
			}
		}
	}
	return true
}
