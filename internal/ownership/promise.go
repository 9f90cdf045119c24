package ownership

import "slices"

// formerView is a view that this node has left not long ago, and in which it was
// ready: others may take, until L_take later, what it let them have.
type formerView struct {
	View
	left Time
}

// leave remembers the view in force, if this node was ready in it, before it
// adopts another. Without a quorum both sides of a partition own rightly, and a
// promise withheld from the better one would only take it down.
func (n *Node) leave() {
	n.former = slices.DeleteFunc(n.former, func(f formerView) bool { return n.now >= f.left+n.longestTake() })
	if n.wasReady && n.cfg.Quorum == QuorumMajority {
		n.former = append(n.former, formerView{n.view, n.now})
	}
	n.wasReady = false
}

// withholds tells whether this node must promise nothing to the peer yet: it was
// ready in a view without the peer, and a member of that may take the peer's
// buckets now. Not so once the peer has claimed none in a view newer than that: what
// it owns then it has been given since.
func (n *Node) withholds(p *peer) bool {
	if !p.member() {
		return false
	}
	take := n.longestTake()
	return slices.ContainsFunc(n.former, func(f formerView) bool {
		return n.now < f.left+take && !f.has(p.ref) && p.emptyIn.Compare(f.ID) <= 0
	})
}

// settle notes when all that this host promised before its start is over. A lease
// that becomes longer after that is none of it.
func (n *Node) settle() {
	n.settled = n.settled || n.now >= max(n.start+n.longestTake(), n.cfg.Promised)
}

// longestTake is the longest L_take among the leases that are heard of.
func (n *Node) longestTake() Time {
	longest := n.take()
	for _, p := range n.peers {
		longest = max(longest, Take(p.beat.Lease))
	}
	return longest
}
