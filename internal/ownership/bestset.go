package ownership

import (
	"slices"
	"time"
)

// heardMembers are the members of the view in force that are not silent,
// without this node.
func (n *Node) heardMembers() []*peer {
	heard := make([]*peer, 0, len(n.view.Members))
	for _, p := range n.peers {
		if p.member() && !p.silent && !p.left && !p.unlike {
			heard = append(heard, p)
		}
	}
	return heard
}

// inTouch tells whether all members of the view are heard, and all find each
// other mutual.
func (n *Node) inTouch() bool {
	touched := 1
	for _, p := range n.peers {
		if p.member() && p.mutual && !p.misses {
			touched++
		}
	}
	return touched == len(n.view.Members)
}

// keptMembers are the members of the view in force that the next one keeps,
// without this node. Members that have let go while this node serves come back
// as joiners, unless the quorum needs them.
func (n *Node) keptMembers() []*peer {
	var heard []*peer
	touch := n.inTouch()
	if !touch {
		heard = n.heardMembers()
	}
	all := make([]*peer, 0, len(n.view.Members))
	for _, p := range n.peers {
		if p.member() && fit(p) && (touch || !n.convicted(p, heard)) {
			all = append(all, p)
		}
	}
	if !slices.ContainsFunc(all, n.letGo) {
		return all
	}
	kept := slices.DeleteFunc(slices.Clone(all), n.letGo)
	if n.cfg.Quorum == QuorumMajority && len(kept)+1 < n.majority() {
		return all
	}
	return kept
}

// fit tells whether a peer may be in a view: it has not left, is not deaf and
// has the same pools.
func fit(p *peer) bool { return !p.unlike && p.beat.Flags&(FlagDeaf|FlagLeaving) == 0 }

// letGo: the member owns nothing any more in the view in which this node serves.
func (n *Node) letGo(p *peer) bool {
	return n.bar == barNone && p.beat.Flags&FlagFenced != 0 && p.beat.View.ID == n.view.ID
}

// convicted: of the members at hand a majority misses the peer: this node now,
// the others within the last lease. One report of several convicts nobody.
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
		if n.missedLately(q.ref.Name, p.ref.Name) {
			reports++
		}
	}
	return 2*reports > voters
}

// judgeSplit notes since when members that stay miss each other.
func (n *Node) judgeSplit(kept []*peer) {
	switch {
	case n.inTouch() || n.whole(kept):
		n.split = 0
	case n.split == 0:
		n.split = max(n.awake, 1)
	}
}

// splitFor tells whether members have missed each other for so long.
func (n *Node) splitFor(d time.Duration) bool { return n.split != 0 && n.awake-n.split >= d }

func (n *Node) whole(set []*peer) bool {
	for i, a := range set {
		if !n.edge(nil, a) {
			return false
		}
		for _, b := range set[:i] {
			if !n.edge(a, b) {
				return false
			}
		}
	}
	return true
}

// cut drops, while a pair is not mutual, the node with most missing edges
// (ties: see moreSuspect), this node included. Every node that sees the same
// rows finds the same set. The second result tells whether this node is in it.
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

// moreSuspect decides between two nodes that miss as many edges: one that has
// been silent for U, then the one with more trouble, then one that drains, then
// the highest name.
func (n *Node) moreSuspect(a, b *peer) bool {
	quietA, quietB := a != nil && n.quietFor(a), b != nil && n.quietFor(b)
	if quietA != quietB {
		return quietA
	}
	if x, y := n.trouble(n.nameOf(a)), n.trouble(n.nameOf(b)); x != y {
		return x > y
	}
	if x, y := n.drains(a), n.drains(b); x != y {
		return x
	}
	return n.nameOf(a) > n.nameOf(b)
}

// drains tells whether a peer (nil: this node) hands everything over.
func (n *Node) drains(p *peer) bool {
	if p == nil {
		return n.leaves()
	}
	return p.beat.Flags&FlagDraining != 0
}

// quietFor: nothing has been heard from it for U.
func (n *Node) quietFor(p *peer) bool { return n.awake-p.heardAwake >= n.quiet() }

// edge tells whether both say of the other that they are mutual; nil is this node.
func (n *Node) edge(a, b *peer) bool {
	switch {
	case a == nil:
		return b.mutual && b.mine.mutual()
	case b == nil:
		return a.mutual && a.mine.mutual()
	default:
		return a.beat.echo(b.ref).mutual() && b.beat.echo(a.ref).mutual()
	}
}

func (e *Echo) mutual() bool { return e != nil && e.Mutual }

// echo is what the sender says of a node, nil if nothing.
func (b *Beat) echo(r Ref) *Echo {
	i, ok := slices.BinarySearchFunc(b.Echo, r.Name, func(e Echo, name string) int {
		return compareNames(e.Name, name)
	})
	if !ok || b.Echo[i].Ref != r {
		return nil
	}
	return &b.Echo[i]
}

func (n *Node) nameOf(p *peer) string {
	if p == nil {
		return n.cfg.Self.Name
	}
	return p.ref.Name
}
