package ownership

import "time"

// A daemon that restarts tells its peers before it goes: for H they hold what it
// owns, and its datapath goes on. The daemon that comes goes on where this one
// stopped (Snapshot). To the protocol that is a node that stood still for a moment,
// with a lease of H in place of L. See docs/agreement.md, "Hold".

// MaxHold bounds what a beat may ask for.
const MaxHold = 3 * time.Minute

// HoldTime is H for a lease of l: long enough for a program to start on a busy host.
func HoldTime(l time.Duration) time.Duration { return max(3*l, 3*time.Second) }

// holdPatience is how long a restart waits for its peers.
const holdPatience = 3 * time.Second

// hold is what a node knows of holds, its own and those that it promised.
type hold struct {
	since Time   // when this node was told to restart, at least 1; 0: it was not
	seq   uint64 // its first beat that asks for it; 0: not sent yet
	until Time   // this node's lease may rest on a hold
	// Until when a promise of this node outlives it, and until when it asked for
	// that to be seen to.
	remembered, asked Time
}

const nothingToHold = "there is nothing to hold: "

// holdsNothing says why this node has nothing that peers could hold, "" if it may.
func (n *Node) holdsNothing() string {
	if n.muted || n.bar != barNone || n.stage < StageCleared && !n.owns() {
		return n.why()
	}
	return ""
}

func (n *Node) beginHold() {
	switch why := n.holdsNothing(); {
	case n.hold.since != 0:
	case why != "":
		n.out = append(n.out, NotHeld{Why: nothingToHold + why})
	default:
		n.hold.since, n.hold.seq, n.changed = max(n.now, 1), 0, true
		n.note(NoteHold, "", "the daemon restarts: asks its peers to hold its buckets for %v", round(HoldTime(n.lease)))
	}
}

// endHold: nothing is asked for any more. What was promised to be held was for a time without a
// daemon; one that goes on has L, as at any other time, to be promised more. Only a peer whose
// own daemon is away cannot promise more.
func (n *Node) endHold() {
	if n.hold.since == 0 {
		return
	}
	n.hold.since, n.changed = 0, true
	for i := range n.stamps { // of beats that peers may still echo
		n.stamps[i].hold = 0
	}
	usual := n.now + n.lease
	n.leaseUntil = min(n.leaseUntil, usual)
	n.cutLease()
	for _, p := range n.peers {
		if !p.restarts() {
			p.promise, p.bound = min(p.promise, usual), min(p.bound, usual)
		}
	}
}

// unhold: the daemon is a new one, or goes on after all. However short that was, it has not
// looked yet at what came meanwhile; and all have missed each other, though nobody minded.
func (n *Node) unhold() {
	n.setDrainTimeout(n.desk.drainTimeout)
	if n.hold.since != 0 {
		n.thawed = max(n.awake, 1)
		for _, p := range n.peers {
			n.missBack(p)
		}
	}
	n.endHold()
}

// missBack: this node and a member have missed each other while one of their daemons was away.
func (n *Node) missBack(p *peer) {
	if p.member() {
		n.miss(n.cfg.Self.Name, p.ref.Name)
	}
}

// judgeHold answers Hold once all peers at hand have promised, after everything else
// that the step asks for.
func (n *Node) judgeHold() {
	if n.hold.since == 0 {
		return
	}
	why, final := n.holdLacks()
	switch {
	case why == "":
		n.out = append(n.out, Held{Until: n.renewed})
	case final || n.now-n.hold.since >= holdPatience:
		n.endHold()
		n.out = append(n.out, NotHeld{Why: why})
	}
}

// holdLacks says what is missing before the daemon may go, "" if nothing. Everybody
// who might take over must know, not only as many as the lease needs: who does not
// finds this node silent. The second result tells that waiting is of no use.
func (n *Node) holdLacks() (why string, final bool) {
	if why := n.holdsNothing(); why != "" {
		return nothingToHold + why, true
	}
	if n.stage != StageActive {
		return "the nodes do not agree yet", false
	}
	lasts := n.now + HoldTime(n.lease) - n.lease
	for _, p := range n.peers {
		if why := n.holdLacksOf(p, lasts); why != "" {
			return p.ref.Name + " " + why, false
		}
	}
	if n.renewed < lasts {
		return "not enough peers promise to hold this node's buckets", false
	}
	return "", false
}

func (n *Node) holdLacksOf(p *peer, lasts Time) string {
	switch {
	case p.unlike || p.left || p.silent && !p.member():
		return ""
	case p.silent:
		return "is silent"
	case !p.mutual:
		return "does not hear this node"
	case n.hold.seq == 0 || p.echoSeq < n.hold.seq:
		return "has not answered"
	case p.member() && p.bound < lasts:
		return "does not promise to hold this node's buckets"
	case p.member() && p.beat.Hold != 0 && (p.vouched == 0 || p.echoSeq < p.vouched):
		return "has not had this node's own promise"
	}
	return ""
}

// holdAsked is the Hold of the next beat. A node that cannot do without the
// promise of one that restarts needs a longer one as well.
func (n *Node) holdAsked() Time {
	if n.hold.since == 0 && !n.leansOnRestarting() {
		return 0
	}
	if n.hold.since != 0 && n.hold.seq == 0 {
		n.hold.seq = n.seq
	}
	n.hold.until = n.now + HoldTime(n.lease)
	return HoldTime(n.lease)
}

// leaseToTell is L, or what is left of a longer one from before the timing was
// changed. What has been promised to be held is no part of it: whoever promised that
// has noted it, and nobody else has to wait for it.
func (n *Node) leaseToTell() Time {
	if n.now < n.hold.until {
		return n.lease
	}
	return max(n.lease, n.leaseUntil-n.now)
}

func (n *Node) leansOnRestarting() bool {
	if n.cfg.Quorum != QuorumMajority || !n.serving() {
		return false
	}
	others, restart := 0, false
	for _, p := range n.peers {
		switch {
		case !p.mutual || !p.member():
		case p.restarts():
			restart = true
		default:
			others++
		}
	}
	return restart && others+1 < n.majority()
}

// restarts: the peer has said so, and may be silent for its Hold.
func (p *peer) restarts() bool { return p.beat.Flags&FlagHolding != 0 && !p.silent }

// takeFrom is how long nothing has been heard of a peer that is silent.
func (n *Node) takeFrom(p *peer) Time { return Take(max(n.lease, p.beat.Hold)) }

// bind is how long a promise on this beat binds the one who gives it.
func (b *Beat) bind(held bool) Time {
	if held {
		return Take(max(b.Lease, b.Hold))
	}
	return Take(b.Lease)
}

// vouch tells whether the promise to the peer is for its Hold: only once this node
// has been assured that its own next start would know of it.
func (n *Node) vouch(p *peer) bool {
	if p.beat.Hold == 0 || !p.member() {
		p.vouched = 0
		return false
	}
	take := Take(p.beat.Hold)
	if p.heard+take > n.hold.remembered {
		if p.heard+take > n.hold.asked {
			n.hold.asked = n.now + take + take/8 // the next beats are covered too
			n.out = append(n.out, Remember{Until: n.hold.asked})
		}
		p.vouched = 0
		return false
	}
	if p.vouched == 0 {
		p.vouched = n.seq
	}
	return true
}

// takeHold notes that a peer's daemon restarts, and that it is back: both
// directions of each path then have time to show, as after a silence.
func (n *Node) takeHold(p *peer, old *Beat) {
	before := old != nil && old.Flags&FlagHolding != 0
	if before {
		p.ways.service, p.ways.carried = n.awake, n.awake
	}
	switch now := p.beat.Flags&FlagHolding != 0; {
	case now && !before:
		n.changed = true // it waits for the promise
		n.note(NotePeerHold, p.ref.Name, "its daemon restarts: what it owns is held for up to %v", round(p.beat.Hold))
	case before && !now:
		p.echoAwake = n.awake // it has not heard this node meanwhile, and hears it now
		p.vouched = 0         // what it asks to be held from now on has not been promised
		n.missBack(p)
		n.note(NotePeerHold, p.ref.Name, "is back from the restart of its daemon")
	}
}
