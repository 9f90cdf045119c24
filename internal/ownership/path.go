package ownership

import (
	"slices"
	"time"
)

// Path is the way by which a beat came. All are as good for what a beat says;
// only the service's own tells that the network brings a node what clients send.
type Path uint8

const (
	// PathService: as the service's traffic comes, to the cluster's MAC on its interface.
	PathService Path = iota
	// PathSecond: on another interface.
	PathSecond
	// PathUnicast: to the node's own address.
	PathUnicast
)

var pathNames = [...]string{"service", "second", "unicast"}

func (p Path) String() string {
	if int(p) < len(pathNames) {
		return pathNames[p]
	}
	return "unknown"
}

// ways is by which paths a peer and this node hear each other. Times are awake.
type ways struct {
	serviceSeq uint64 // the newest of its beats that came by the service path
	service    Time   // when that was
	second     Time   // when a beat last came by another path
	by         Path   // which one
	// carried is when the peer last did not say that it hears this node by a
	// second path only.
	carried Time
	direct  Time // when it was last sent a beat by unicast while it was silent
}

// newWays gives both directions time to show, as hear does after a silence.
func (n *Node) newWays() ways { return ways{service: n.awake, carried: n.awake} }

// came notes by which path a beat has come, also one that came before by another.
func (n *Node) came(p *peer, b *Beat, by Path) {
	switch {
	case by != PathService:
		p.ways.second, p.ways.by, n.secondAwake = n.awake, by, max(n.awake, 1)
	case b.Seq > p.ways.serviceSeq:
		p.ways.serviceSeq, p.ways.service = b.Seq, n.awake
		n.beatAwake = n.awake
	}
}

// takeWays reads from the beat by which path the peer hears this node.
func (n *Node) takeWays(p *peer) {
	if p.mine == nil || !p.mine.Second {
		p.ways.carried = n.awake
	} else {
		n.secondAwake = max(n.awake, 1)
	}
}

// bySecondOnly: for d none of its beats has come by the service path, and
// another path still brings them.
func (n *Node) bySecondOnly(p *peer, d Time) bool {
	return p.ways.second > p.ways.service && n.awake-p.ways.service >= d && n.awake-p.ways.second < n.seldom()
}

// heardBySecondOnly: for d the peer has said so of this node, and it hears it.
func (n *Node) heardBySecondOnly(p *peer, d Time) bool {
	return p.ways.carried < p.heardAwake && n.awake-p.ways.carried >= d && p.echoed && n.awake-p.echoAwake < n.seldom()+n.interval
}

// seldom is U, and longer than a beat may be late.
func (n *Node) seldom() Time { return max(n.quiet(), 2*n.interval) }

// apart: a second path joins the peer to this node, the service's network does
// not, in one direction or both. Its word for the one is as old as this
// node's own finding for the other: it begins to say so after U.
func (n *Node) apart(p *peer) bool {
	return n.bySecondOnly(p, n.lease) || n.heardBySecondOnly(p, 4*n.interval)
}

// shares tells whether the peer is heard and could own beside this node.
func (p *peer) shares() bool { return !p.silent && !p.left && !p.unlike }

func (p *peer) deaf() bool { return p.beat.Flags&FlagDeaf != 0 }

// pathOf is by which path the peer is heard now.
func (n *Node) pathOf(p *peer) Path {
	if n.bySecondOnly(p, n.seldom()) {
		return p.ways.by
	}
	return PathService
}

// InDoubt tells whether the service's network seems to be broken between this
// node and some peer, or may be between it and all: then TrafficSeen counts. It is
// early in doubt, so that it knows of clients when it has to decide.
func (n *Node) InDoubt() bool {
	return n.bar == barDeaf && n.cutOut || n.lonely() || n.secondUsed() && slices.ContainsFunc(n.peers, func(p *peer) bool {
		return p.shares() && (n.bySecondOnly(p, 2*n.interval) || n.heardBySecondOnly(p, 0))
	})
}

// lonely: of two or more peers that owned beside this node none is heard.
func (n *Node) lonely() bool {
	return n.cfg.Quorum == QuorumNone && len(n.lastActive) > 2 && !slices.ContainsFunc(n.peers, (*peer).shares)
}

// secondUsed tells whether any beat has gone by a second path lately.
func (n *Node) secondUsed() bool { return n.secondAwake != 0 && n.awake-n.secondAwake < n.take() }

// usualBeats are sent within a lease, as a rule.
const usualBeats = 6

// directEvery is how often a silent peer is sent a beat by unicast.
const directEvery = time.Second

// direct are the peers that get the next beat by unicast too: those with whom
// the service path does not work. One that is silent altogether gets one a
// second, in case it has no other way to hear that somebody is there.
func (n *Node) direct() []Recipient {
	var to []Recipient
	for _, p := range n.peers {
		w := &p.ways
		every := max(n.interval, p.beat.Asks/usualBeats) // it may be slower
		answers := n.awake-w.service <= 2*every && n.awake-max(p.echoAwake, p.heardSince) <= 3*every
		if p.left || p.beat.Address == "" || !p.silent && answers || p.silent && n.awake-w.direct < directEvery {
			continue
		}
		if p.silent {
			w.direct = n.awake
		}
		to = append(to, Recipient{Name: p.ref.Name, Address: p.beat.Address})
	}
	return to
}
