package ownership

import "slices"

// renew counts the promises and moves the lease on. It never goes back.
func (n *Node) renew() {
	for _, p := range n.peers {
		// A promise under a view newer than this node's own does not count: the
		// promiser may have been, in between, in a view that took these buckets.
		// Nor does one under a view in which this node let go: it may be late.
		if p.echoed && p.includes && !p.withheld && p.beat.View.ID.Compare(n.view.ID) <= 0 && p.beat.View.ID.Compare(n.barredIn) > 0 {
			p.promise, p.promised = max(p.promise, p.bound), true
		}
	}
	if n.view.ID.Number == 0 || n.bar == barDeaf || n.muted || n.seq == 0 {
		return
	}
	until := n.byMajority()
	if n.cfg.Quorum == QuorumNone {
		until = max(until, n.bySilence())
	}
	if until > n.now {
		n.leaseUntil = max(n.leaseUntil, until)
	}
}

// cutLease takes off the datapath's lease what this node's own no longer has: its peers are
// bound by what they have promised since, and by nothing else.
func (n *Node) cutLease() {
	if n.renewed > n.leaseUntil {
		n.renewed = n.leaseUntil
		n.out = append(n.out, RenewLease{Until: n.leaseUntil})
	}
}

// spoken is L after this node sent its newest beat. No lease is longer, but for
// what is promised to be held: whoever takes over waits for L_take after that beat,
// or an earlier one.
func (n *Node) spoken() Time { return n.stamps[n.seq%stampRing].bound(false) }

// spokenFor is the same with what that beat asks to be held.
func (n *Node) spokenFor() Time { return n.stamps[n.seq%stampRing].bound(true) }

// bound is until when a promise on this beat holds: for the L that the beat told, or,
// if the promise says so, for its Hold.
func (s *stamp) bound(held bool) Time {
	if held {
		return s.at + max(s.lease, s.hold)
	}
	return s.at + s.lease
}

// byMajority: the k-th latest end of this node's own newest beat and the promises;
// k is a majority of the expected nodes, or of the view's members without a
// quorum.
func (n *Node) byMajority() Time {
	var room [2 * MaxNodes]Time // on the stack: this runs at each step
	ends := append(room[:0], n.spokenFor())
	voters := n.cfg.ExpectedNodes
	if n.cfg.Quorum == QuorumMajority {
		for _, p := range n.peers {
			if p.promised {
				ends = append(ends, p.promise)
			}
		}
	} else {
		voters = len(n.view.Members)
		for _, p := range n.peers {
			if p.member() && p.promised {
				ends = append(ends, p.promise)
			}
		}
	}
	k := voters/2 + 1
	if len(ends) < k {
		return 0
	}
	slices.Sort(ends)
	return ends[len(ends)-k]
}

// bySilence: what is owned goes on while every member that does not promise
// has been silent for U. Exempting a silent peer changes no view; excluding it
// waits for L_take. A joiner that has not yet joined has nothing to promise. Nobody
// who is exempt is known to hold anything for longer than L.
func (n *Node) bySilence() Time {
	end, exempt := n.spokenFor(), n.spoken()
	for _, m := range n.view.Members {
		if m.Ref == n.cfg.Self {
			continue
		}
		p := n.peer(m.Name)
		if p == nil {
			if n.awake-n.viewAwake < n.quiet() {
				return 0
			}
			end = min(end, exempt)
			continue
		}
		gone := p.ref != m.Ref || p.left || p.beat.Flags&FlagDeaf != 0
		joins := p.beat.View.ID != n.view.ID && !slices.Contains(n.lastActive, m.Ref)
		if gone || joins || n.quietFor(p) {
			end = min(end, exempt)
			continue
		}
		if !p.promised {
			return 0
		}
		end = min(end, p.promise)
	}
	return end
}
