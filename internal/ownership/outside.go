package ownership

import "time"

// What keeps a node outside a view, for people. Nothing here decides anything.

// Waits is why a peer that is heard, and could share, is not in this node's view.
type Waits struct {
	// Full: as many are in it as are expected (QuorumMajority).
	Full bool
	// Flaps is how often it fell out lately, and For how much longer it must last therefore.
	Flaps int
	For   time.Duration
}

func (n *Node) waitsOf(p *peer) Waits {
	if p.member() || !p.shares() || p.deaf() || !n.serving() || n.stage != StageActive {
		return Waits{}
	}
	if n.cfg.Quorum == QuorumMajority && len(n.view.Members) >= n.cfg.ExpectedNodes {
		return Waits{Full: true}
	}
	flaps := n.flapsLeft(p)
	if left := n.patience(p) - (n.awake - p.mutualSince); flaps > 0 && p.mutual && left > 0 {
		return Waits{Flaps: int(flaps), For: left}
	}
	return Waits{}
}

// outsiders are, in words for all other nodes, those that this node, who proposes, lets wait
// because they keep falling out.
func (n *Node) outsiders() []string {
	var lines []string
	for _, p := range n.peers {
		if p.member() && p.mutual && p.ref.Name < n.cfg.Self.Name {
			return nil // that one proposes
		}
		if w := n.waitsOf(p); w.Flaps > 0 {
			lines = append(lines, text("%s fell out %s lately: is taken in when it has been heard without a break for %v", p.ref.Name, times(w.Flaps), round(n.patience(p))))
		}
	}
	return lines
}

func times(count int) string {
	if count == 1 {
		return "once"
	}
	return text("%d times", count)
}

// whyOutside tells why this node, which owns nothing, is in no view, or stands by; it is otherwise if nobody
// is heard who serves.
func (n *Node) whyOutside(otherwise string) string {
	var alien, host *peer
	for _, p := range n.peers {
		switch {
		case p.silent || p.left || !p.beat.owns():
		case p.unlike:
			alien = p
		default:
			host = p
		}
	}
	switch {
	case host == nil && alien != nil:
		return text("shares nothing with %s, which serves: %s", alien.ref.Name, n.difference(alien.beat, alien.pools))
	case host == nil:
		return otherwise
	case n.cfg.Quorum == QuorumMajority && !host.includes && len(host.beat.View.Members) >= n.cfg.ExpectedNodes:
		return text("there is no room: %d nodes serve, as many as expected_nodes says; waits until one of them leaves", len(host.beat.View.Members))
	default:
		return "waits to be taken in by those who serve"
	}
}
