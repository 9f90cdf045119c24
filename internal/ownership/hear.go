package ownership

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// peer is what a node knows of another.
type peer struct {
	ref  Ref
	host uint64
	beat *Beat // the newest processed, never nil
	// place is where this very start of it stands in this node's view, -1 if nowhere.
	place int
	// includes: the view that it announces contains this node.
	includes bool
	// mine is what it says of this node, nil if nothing.
	mine *Echo
	// misses: its row lacks the mutuality of another member of this node's view.
	misses bool

	// When it was processed. That is later than the send, which only delays a takeover.
	heard, heardAwake Time

	// When this node sent the newest of its beats that the peer has echoed. The
	// age of that is the freshness of the peer: a delayed, replayed or queued
	// beat echoes something old.
	echo, echoAwake Time
	echoSeq         uint64
	echoLease       time.Duration // what may be counted from it
	echoed          bool

	// promise is until when the peer has promised not to take this node's buckets,
	// and bound until when its newest echo binds it, if that is a promise. Each counts
	// from the send of the echoed beat, for the time that this beat told.
	promise, bound Time
	promised       bool
	vouched        uint64 // this node's first beat that promised it its Hold; 0: none
	withheld       bool   // its newest echo is no promise
	withhold       bool   // nor is the newest echo of this node to it
	emptyIn        ViewID // the newest view in which it claimed nothing

	// fence is until when this node must not let anybody take the peer's
	// buckets, once the peer is outside the view: its own promise.
	fence     Time
	fenceView ViewID // the newest view in which it promised

	mutual      bool
	mutualSince Time // awake
	lateAwake   Time // when its newest echo was last too old for a handover
	silent      bool // for L_take
	heardSince  Time // awake, since when it has not been silent
	left        bool
	unlike      bool // its configuration of some pool differs
	// pools are the places of this node's pools in its beat.
	pools []int

	ways   ways
	estate estate

	obeyed uint64 // the highest ID of its orders that this node has heard

	flaps     uint8 // how often it was dropped from a view
	flapAwake Time
}

// hear takes in one beat. A beat that is not newer than the last is dropped,
// but for the path by which it came; the result tells whether it was newer.
func (n *Node) hear(b *Beat, by Path) bool {
	if by == PathService {
		n.receive() // a beat is a frame, be it an old one
	}
	if b.From.Name == n.cfg.Self.Name {
		n.hearNamesake(b)
		return true
	}
	p := n.peer(b.From.Name)
	switch {
	case p == nil:
		if !n.makeRoom() {
			return true
		}
		p = &peer{ref: b.From, host: b.Host, silent: true, place: n.view.index(b.From), ways: n.newWays()}
		n.addPeer(p)
		n.changed = true
	case b.From.Incarnation < p.ref.Incarnation:
		return true
	case b.From.Incarnation > p.ref.Incarnation:
		n.restarted(p, b)
	case b.Seq <= p.beat.Seq:
		n.came(p, b, by)
		return false
	}
	n.came(p, b, by)
	old := p.beat
	p.beat, p.heard, p.heardAwake = b, n.now, n.awake
	n.highest = max(n.highest, b.View.ID.Number)
	if p.silent {
		p.silent, p.heardSince, p.estate = false, n.awake, estate{}
		p.ways.service, p.ways.carried = n.awake, n.awake
		n.changed, n.tableDirty = true, true
		n.note(NotePeerHeard, p.ref.Name, "is heard")
	}
	if old == nil || !sameBitmaps(old, b) {
		n.tableDirty = true // somebody began or ceased to linger
	}
	if old != nil && old.Flags&^b.Flags&FlagDeaf != 0 {
		p.mutualSince = n.awake // it knocks from now on
	}
	p.includes, p.mine = b.View.has(n.cfg.Self), b.echo(n.cfg.Self)
	if !b.owns() && b.View.ID.Compare(p.emptyIn) > 0 {
		p.emptyIn = b.View.ID
	}
	n.takeRow(p)
	n.takeWays(p)
	n.compare(p)
	n.takeHold(p, old)
	n.takeDrain(p, old)
	n.takeHealth(p, old)
	n.takeEcho(p)
	n.takeFence(p)
	n.takePins(p)
	n.takeOrders(p)
	n.handOn(p, old)
	if b.Flags&FlagLeaving != 0 && !p.left {
		p.left, n.changed = true, true
		if old != nil {
			n.dies(p, old, n.now)
		}
		n.note(NotePeerLeft, p.ref.Name, "said goodbye")
	}
	return true
}

// restarted replaces a peer's incarnation. The same host has cleared its
// datapath before it spoke; another host with that name proves nothing about
// the first, whose fence stays.
func (n *Node) restarted(p *peer, b *Beat) {
	n.note(NotePeerHeard, p.ref.Name, "restarted")
	fence := p.fence
	if p.host == b.Host {
		fence = 0
		if !p.silent && !p.left {
			n.dies(p, p.beat, p.heard)
		}
	}
	*p = peer{
		ref: b.From, host: b.Host, place: n.view.index(b.From), fence: fence, estate: p.estate,
		flaps: p.flaps, flapAwake: p.flapAwake, heardSince: n.awake, ways: n.newWays(),
	}
	maps.DeleteFunc(n.missed, func(l link, _ Time) bool { return l[0] == p.ref.Name || l[1] == p.ref.Name })
	n.changed = true
}

// makeRoom forgets the peer that has been silent longest when there are too many.
func (n *Node) makeRoom() bool {
	if len(n.peers) < 2*MaxNodes {
		return true
	}
	var oldest *peer
	for _, p := range n.peers {
		if p.silent && n.now >= p.fence && !p.member() &&
			(oldest == nil || p.heard < oldest.heard || p.heard == oldest.heard && p.ref.Name < oldest.ref.Name) {
			oldest = p
		}
	}
	if oldest == nil {
		return false
	}
	n.peers = slices.DeleteFunc(n.peers, func(p *peer) bool { return p == oldest })
	return true
}

// peer finds a peer by name, nil if it is not known.
func (n *Node) peer(name string) *peer {
	if i, ok := n.peerIndex(name); ok {
		return n.peers[i]
	}
	return nil
}

// member tells whether it is in the view that this node announces.
func (p *peer) member() bool { return p.place >= 0 }

// memberPeer finds the peer that is this very member: name and incarnation.
// Nil if it has not been heard.
func (n *Node) memberPeer(m Ref) *peer {
	if p := n.peer(m.Name); p != nil && p.ref == m {
		return p
	}
	return nil
}

func (n *Node) peerIndex(name string) (int, bool) {
	return slices.BinarySearchFunc(n.peers, name, func(p *peer, name string) int {
		return cmp.Compare(p.ref.Name, name)
	})
}

func (n *Node) addPeer(p *peer) {
	i, _ := n.peerIndex(p.ref.Name)
	n.peers = slices.Insert(n.peers, i, p)
}

// compare finds out which pools the peer has, and whether they are configured as this
// node's are.
func (n *Node) compare(p *peer) {
	p.pools = n.poolsIn(p.beat, p.pools)
	what := n.difference(p.beat, p.pools)
	if unlike := what != ""; unlike != p.unlike {
		p.unlike, n.changed = unlike, true
		if unlike {
			n.note(NotePeerIncompatible, p.ref.Name, "does not share with it: %s", what)
		}
	}
}

// takeEcho reads from the beat which of this node's beats the peer has processed.
func (n *Node) takeEcho(p *peer) {
	e := p.mine
	if e == nil {
		return
	}
	p.withheld = e.Withheld
	s := &n.stamps[e.Seq%stampRing]
	if s.seq != e.Seq || e.Seq == 0 {
		return
	}
	p.bound = s.bound(e.Held)
	if !p.echoed || s.at > p.echo {
		p.echo, p.echoAwake, p.echoSeq, p.echoLease, p.echoed = s.at, max(p.echoAwake, s.awake), e.Seq, s.lease, true
	}
}

// takeFence draws from the beat what it says about the peer's ownership.
func (n *Node) takeFence(p *peer) {
	b := p.beat
	switch {
	case b.Flags&FlagLeaving != 0:
		p.fence = 0
	case b.Flags&barredFlags != 0 && b.View.ID.Compare(p.fenceView) >= 0:
		// It owns nothing, and will not before a view newer than any in which
		// this node promised it something.
		p.fence = 0
	case (p.mutual || b.Hold != 0) && b.owns() && !p.includes:
		// An owner under a view without this node, whose lease others renew.
		p.fence = max(p.fence, n.now+Take(max(b.Lease, b.Hold)))
	}
}

// judge brings the time-dependent facts about all peers up to date.
func (n *Node) judge() {
	n.retime()
	for _, p := range n.peers {
		n.judgePeer(p)
		if p.withhold && !n.withholds(p) {
			p.withhold, n.changed = false, true // it waits for the promise
		}
	}
	if n.muted && n.now >= n.muteTill {
		n.outliveNamesake()
	}
	n.judgeDeaf()
}

func (n *Node) judgePeer(p *peer) {
	take := n.takeFrom(p)
	if silent := n.awake-p.heardAwake >= take; silent != p.silent {
		p.silent, n.changed = silent, true
		n.tableDirty = true // what it lingers on is contested no more
		if silent && !p.left {
			n.dies(p, p.beat, p.heard)
			n.note(NotePeerSilent, p.ref.Name, "silent for %v", round(n.now-p.heard))
		}
	}
	// An echo may be two intervals older than a beat, so that a peer that dies is
	// found silent, which all find at the same moment, and not un-mutual before.
	mutual := p.echoed && !p.left && !p.silent && n.awake-p.echoAwake <= take+2*n.interval
	// Of nodes that beat in step the newest echo is up to two intervals old.
	if !p.echoed || n.now-p.echo >= max(n.lease, 5*n.interval)/2 {
		p.lateAwake = n.awake
	}
	if !mutual && p.member() {
		n.miss(n.cfg.Self.Name, p.ref.Name)
	}
	if mutual == p.mutual {
		return
	}
	p.mutual, n.changed = mutual, true
	if mutual {
		p.mutualSince = n.awake
	}
}

// patience is how long (awake) a peer must have been mutual before it is
// added to a view: two leases, and longer for one that keeps falling out. It
// protects what is owned: a node that owns nothing takes anyone.
func (n *Node) patience(p *peer) time.Duration {
	if !n.serving() {
		return 2 * n.lease
	}
	return min(2*n.lease<<n.flapsLeft(p), maxPatience)
}

// flapsLeft is how often it was dropped from a view, but for what is forgiven by now.
func (n *Node) flapsLeft(p *peer) uint8 {
	flaps := p.flaps
	for calm := n.awake - p.flapAwake; flaps > 0 && calm > calmAfter; calm -= calmAfter {
		flaps--
	}
	return flaps
}

const (
	maxFlaps    = 6
	maxPatience = 30 * time.Second
	calmAfter   = time.Minute // one flap is forgiven for each
)

func (b *Beat) owns() bool {
	for i := range b.Pools {
		if !b.Pools[i].Claims.Empty() {
			return true
		}
	}
	return false
}

func sameBitmaps(a, b *Beat) bool {
	if len(a.Pools) != len(b.Pools) {
		return false
	}
	for i := range a.Pools {
		if !a.Pools[i].Lingers.Equal(b.Pools[i].Lingers) {
			return false
		}
	}
	return true
}
