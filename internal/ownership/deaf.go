package ownership

import (
	"slices"
	"time"
)

// judgeDeaf: a node that its network does not serve owns nothing and says so,
// either because nothing reaches it, or because it is cut off while a second
// path still joins it to the others.
func (n *Node) judgeDeaf() {
	hears := !n.hearsNothing()
	n.judgeDoubt(hears)
	cut := n.cutOff()
	switch {
	case n.bar != barDeaf && !hears:
		n.note(NoteDeaf, "", "the interface has received no frame for %v: owns nothing until it does", round(n.nothingFor()))
		n.goDeaf("the interface receives no frames")
		n.proven = false
	case n.bar != barDeaf && cut:
		why := n.whyCutOff()
		n.note(NoteDeaf, "", "%s: owns nothing", why)
		n.goDeaf(why)
		n.cutOut, n.cutAwake = true, n.awake
	case n.bar != barDeaf:
	case cut:
		n.cutOut, n.cutAwake = true, n.awake
		if hears {
			n.deafWhy = n.whyCutOff()
		}
	case n.cutOut && (n.staysOut() || n.forsaken()):
	case hears && n.cutOut:
		n.note(NoteDeaf, "", "%s", n.whyBack())
		if slices.ContainsFunc(n.peers, (*peer).shares) {
			n.endDeafness()
		} else {
			n.hearAgain()
		}
	case hears:
		n.note(NoteDeaf, "", "the interface receives again")
		n.hearAgain()
	case n.awake-n.deafSince >= n.alone():
		n.note(NoteDeaf, "", "no frame for %v: goes on as if the segment were quiet", round(n.nothingFor()))
		n.quietSegment = true
		n.hearAgain()
	}
}

// receive: the interface has received a frame.
func (n *Node) receive() {
	n.frameAwake, n.quietSegment = n.awake, false
	if !n.proven {
		n.proven, n.provenAt = true, n.awake
	}
}

// connected tells whether the network has brought this node frames for two
// intervals, time enough to hear a peer if there is one. Before that the datapath
// gets no lease: a node to which nothing came had nothing to answer, and as its
// cable is plugged in again clients are faster than the first beat.
func (n *Node) connected() bool { return n.proven && n.awake-n.provenAt >= 2*n.interval }

// hearsNothing: the interface has received nothing at all since the last beat that
// was heard while this node had peers (two intervals aside: a frame counter may
// be read late). Then it is not the peers that are gone. One frame ends it,
// until a peer has been heard again. So does patience: after so long without a
// frame the segment may just be quiet, and a node that nothing reaches does no
// harm; it goes on unproven. Who stood still has not looked yet at what came meanwhile.
func (n *Node) hearsNothing() bool {
	peers := slices.ContainsFunc(n.peers, func(p *peer) bool { return !p.left && !p.restarts() && (n.view.ID.Number == 0 || p.member()) })
	return peers && n.frameAwake <= n.beatAwake+2*n.interval &&
		min(n.nothingFor(), n.awake-n.thawed) >= n.deafAfter() && !n.quietSegment
}

// nothingFor is how long the interface has received nothing at all.
func (n *Node) nothingFor() Time { return n.awake - n.frameAwake }

// judgeDoubt notes since when the service's network seems to be broken, since when
// clients reach a node across the break that is out, and since when that looks as if
// this node was mute; and whether anything at all comes from the network.
func (n *Node) judgeDoubt(hears bool) {
	doubt := n.InDoubt()
	wanted := doubt && n.bestAcross() == clientsCome
	n.since(&n.doubtSince, doubt)
	n.since(&n.wantedSince, wanted)
	n.since(&n.muteSince, wanted && n.seemsMute())
	n.frameless = !hears || n.nothingFor() >= n.alone()
}

// since notes when it began to hold; 0: it does not.
func (n *Node) since(at *Time, holds bool) {
	switch {
	case !holds:
		*at = 0
	case *at == 0:
		*at = max(n.awake, 1)
	}
}

// staysOut: a network may come and go, so who was cut off must find for a lease
// that it is not; and if nobody goes on, for as long as all need to hear the
// same of each other, or two would go on at once.
func (n *Node) staysOut() bool {
	if n.ownerHeard() {
		n.ownerAwake = n.awake
		return n.awake-n.cutAwake < n.lease
	}
	return n.awake-max(n.cutAwake, n.ownerAwake) < 2*n.interval
}

// forsaken: the second path has fallen silent as well, and the service's network has
// brought neither a beat nor a client since it left this node out.
func (n *Node) forsaken() bool {
	return max(n.beatAwake, n.trafficAwake) <= n.cutAwake && !slices.ContainsFunc(n.peers, (*peer).shares)
}

// ownerHeard: a peer is heard that goes on.
func (n *Node) ownerHeard() bool {
	return slices.ContainsFunc(n.peers, func(p *peer) bool { return p.shares() && !p.deaf() })
}

func (n *Node) goDeaf(why string) {
	n.yield(barDeaf)
	n.deafSince, n.deafWhy, n.cutOut = n.awake, why, false
}

// endDeafness: the node owns again once it is in a newer view.
func (n *Node) endDeafness() { n.bar, n.changed = barFenced, true }

// hearAgain ends deafness. The silence was this node's own: peers have U to be heard.
func (n *Node) hearAgain() {
	n.endDeafness()
	n.thawed = n.awake
	for _, p := range n.peers {
		p.heardAwake, p.silent = max(p.heardAwake, n.awake-n.take()+n.quiet()), false
	}
}

// deafAfter is earlier than U, so that a peer that waits for this node's promise
// is told in time.
func (n *Node) deafAfter() time.Duration {
	return max(n.lease-3*n.interval, 2*n.interval)
}
