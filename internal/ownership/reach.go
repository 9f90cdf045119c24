package ownership

import (
	"cmp"
	"time"
)

// A node whom the service's network does not join to the others owns nothing:
// clients, too, may not reach it, or not get its answers. Without a second path
// it hears nobody and finds all silent; with one it knows better. Which side of
// a break that is, all nodes judge by the same facts, so that one side goes on.
// See docs/agreement.md, "A second path".

// side is what a node sees of a break in the service's network.
type side struct {
	here, there int // nodes that may own: this one and those joined to it; those apart
	unheard     int // of those there: whom this node does not hear by the service path
	heedless    int // and who do not hear it
	clients     bool
	clientsFar  bool
	first       bool // the lowest name of all is here
}

// evidence is what reaches a node's service interface.
type evidence uint8

const (
	nothingComes evidence = iota
	framesCome            // of any kind
	clientsCome           // packets for a shared address
)

const minClientsFor = 3 * time.Second

// evidence counts a client's packet for long, but not one from before the
// service path fell silent (an interval aside: packets are counted late).
func (n *Node) evidence() evidence {
	brings := n.awake-n.beatAwake < n.seldom() || n.trafficAwake > n.beatAwake+n.interval
	switch {
	case brings && n.doubtSince != 0 && n.trafficAwake > n.doubtSince && n.awake-n.trafficAwake < n.clientsFor():
		return clientsCome
	case n.frameless:
		return nothingComes
	default:
		return framesCome
	}
}

func (p *peer) evidence() evidence {
	switch {
	case p.beat.Flags&FlagClients != 0:
		return clientsCome
	case p.beat.Flags&FlagUnproven != 0:
		return nothingComes
	default:
		return framesCome
	}
}

// clientsFor is how long a client's packet counts. Who serves keeps to it for so
// long before it makes way for one that clients reach.
func (n *Node) clientsFor() Time { return max(10*n.lease, minClientsFor) }

// survey looks who is on which side.
func (n *Node) survey() side {
	s := side{here: 1, clients: n.evidence() == clientsCome, first: true}
	lowest := n.cfg.Self.Name
	for _, p := range n.peers {
		if !p.shares() || p.deaf() {
			continue
		}
		clients, apart := p.evidence() == clientsCome, n.apart(p)
		if apart {
			s.there++
			s.clientsFar = s.clientsFar || clients
			if n.bySecondOnly(p, n.seldom()) {
				s.unheard++
			}
			if n.heardBySecondOnly(p, 0) {
				s.heedless++
			}
		} else {
			s.here++
			s.clients = s.clients || clients
		}
		if p.ref.Name < lowest {
			lowest, s.first = p.ref.Name, !apart
		}
	}
	return s
}

// loses tells whether the other side goes on: the larger; of two as large the one
// that clients reach. If they reach both, or neither, and only one hears the
// other: who does not hear is right if clients reach it (the other is mute),
// and deaf if none do. Else the side with the lowest name goes on.
func (s side) loses() bool {
	switch {
	case s.there != s.here:
		return s.there > s.here
	case s.clients != s.clientsFar:
		return s.clientsFar
	case s.unheard != s.heedless:
		return (s.unheard > s.heedless) != s.clients
	default:
		return !s.first
	}
}

// cutOff tells whether a break in the service's network leaves this node out.
// Whoever is out stays out while one that goes on is heard across the break,
// unless it is joined to more of them; and goes on if all are out and it
// is the best of them. A side that no client reaches makes way for a node that
// clients do reach.
func (n *Node) cutOff() bool {
	if !n.secondUsed() && !(n.bar == barDeaf && n.cutOut) {
		return false
	}
	s := n.survey()
	switch {
	case n.bar != barDeaf:
		return s.there > 0 && s.loses() || n.makesWay(s)
	case s.here+s.there > 1:
		return s.there >= s.here
	default:
		return n.betterIsOut()
	}
}

// makesWay: across the break stands a node that clients reach, and for long none
// has reached this side, or this node is alone and only it hears the other: it is mute.
// Or one that receives frames, and this receives none.
func (n *Node) makesWay(s side) bool {
	since := n.doubtSince
	if s.clients {
		since = n.muteSince
	}
	switch n.bestAcross() {
	case clientsCome:
		return since != 0 && n.awake-since >= n.clientsFor() && n.awake-n.wantedSince >= n.lease
	case framesCome:
		return s.here == 1 && n.frameless && n.evidence() == nothingComes
	default:
		return false
	}
}

// bestAcross is what reaches a node across the break that is out.
func (n *Node) bestAcross() evidence {
	best := nothingComes
	for _, p := range n.peers {
		if p.shares() && p.deaf() && n.apart(p) {
			best = max(best, p.evidence())
		}
	}
	return best
}

// seemsMute: no node that goes on is joined to this one, and those across the break do
// not hear it by the service path, while it hears them.
func (n *Node) seemsMute() bool {
	mute := false
	for _, p := range n.peers {
		switch {
		case !p.shares():
		case !n.apart(p):
			if !p.deaf() {
				return false
			}
		case n.bySecondOnly(p, n.seldom()):
			return false
		default:
			mute = true
		}
	}
	return mute
}

// betterIsOut: another node that is out goes on before this one: whom clients
// reach, whom frames reach, who hears more peers by the service path, then the
// lowest name.
func (n *Node) betterIsOut() bool {
	hears := 0 // as the echoes tell it, so that all come to one order
	for _, p := range n.peers {
		if !p.silent && !n.bySecondOnly(p, n.seldom()) {
			hears++
		}
	}
	for _, p := range n.peers {
		if !p.shares() || !p.deaf() {
			continue
		}
		if cmp.Or(cmp.Compare(p.evidence(), n.evidence()), cmp.Compare(p.hearsByService(), hears), cmp.Compare(n.cfg.Self.Name, p.ref.Name)) > 0 {
			return true
		}
	}
	return false
}

// hearsByService is of how many nodes the peer says that it hears them so.
func (p *peer) hearsByService() int {
	hears := 0
	for i := range p.beat.Echo {
		if e := &p.beat.Echo[i]; !e.Silent && !e.Second {
			hears++
		}
	}
	return hears
}

func (n *Node) whyBack() string {
	if n.ownerHeard() {
		return "the service path joins this node to its peers again"
	}
	return "nobody who serves is heard: goes on"
}

// whyCutOff says it for people.
func (n *Node) whyCutOff() string {
	s := n.survey()
	switch {
	case s.there > 0 && s.heedless > s.unheard:
		return "peers hear this node by another path only: the network does not carry its service traffic"
	case s.there > 0:
		return "peers are heard by another path only: the network does not bring this node the service's traffic"
	default:
		return "no client reaches this node, and the service's network is broken: makes way for one that clients reach"
	}
}
