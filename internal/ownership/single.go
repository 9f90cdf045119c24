package ownership

import (
	"cmp"
	"slices"
)

// Spread says how a pool's buckets are shared.
type Spread uint8

const (
	// SpreadEven: among all nodes, by weight.
	SpreadEven Spread = iota
	// SpreadSingle: one node, the active one, has them all; the others stand by.
	SpreadSingle
)

func (s Spread) String() string {
	if s == SpreadSingle {
		return "single"
	}
	return "even"
}

// ActiveReason is why a node is the active one of a single pool.
type ActiveReason uint8

const (
	// ActiveNobody: nobody is, there is no view.
	ActiveNobody ActiveReason = iota
	// ActivePinned: an operator's order.
	ActivePinned
	// ActiveOnly: nobody else has a weight.
	ActiveOnly
	// ActiveLast: all have weight 0; who was active goes on.
	ActiveLast
	// ActiveHighest: its priority is higher than that of all others.
	ActiveHighest
	// ActiveEqual: others have the same priority. It was active before, or none of them was
	// and it has the lowest name.
	ActiveEqual
	// ActiveStays: others have a higher priority, and do not preempt.
	ActiveStays
)

var activeReasons = [...]string{
	"nobody is", "it is pinned there", "no other node has a weight", "all have weight 0, and somebody must serve",
	"it has the highest priority", "no other node has a higher priority", "it stays there, because preempt is off",
}

func (r ActiveReason) String() string {
	if int(r) < len(activeReasons) {
		return activeReasons[r]
	}
	return "unknown"
}

// activeIn is the active node of one of the view's pools, "" if it names none.
func (v *View) activeIn(pool int) string {
	for _, a := range v.Actives {
		if int(a.Pool) == pool {
			return a.Node
		}
	}
	return ""
}

// pinnedIn is where a single pool is pinned to, "" if nowhere. It goes as a whole: if its
// pins name several nodes, the one of the lowest bucket counts.
func (v *View) pinnedIn(pool int) string {
	i, _ := slices.BinarySearchFunc(v.Pins, pool, func(p Pin, pool int) int {
		return cmp.Or(cmp.Compare(int(p.Pool), pool), 1) // the first of the pool
	})
	if i < len(v.Pins) && int(v.Pins[i].Pool) == pool {
		return v.Pins[i].Node
	}
	return ""
}

// spreadOf is how a pool is spread, and whether preempted. A proposer may not have it:
// those who have it tell, and agree.
func (n *Node) spreadOf(pool string) (spread Spread, preempt bool) {
	if i, ok := slices.BinarySearchFunc(n.cfg.Pools, pool, func(c PoolConfig, pool string) int { return compareNames(c.Name, pool) }); ok {
		return n.cfg.Pools[i].Spread, n.cfg.Pools[i].Preempt
	}
	for _, p := range n.peers {
		if b := p.inPool(pool); b != nil && p.shares() {
			return b.Spread, b.Preempt
		}
	}
	return SpreadEven, false
}

// inPool is what the peer's beat says of a pool, nil if it does not have it.
func (p *peer) inPool(pool string) *PoolBeat {
	i, ok := slices.BinarySearchFunc(p.beat.Pools, pool, func(b PoolBeat, pool string) int { return compareNames(b.Name, pool) })
	if !ok {
		return nil
	}
	return &p.beat.Pools[i]
}

// chooseActives names the active nodes of the single pools among v's members.
func (n *Node) chooseActives(v *View) []Active {
	var actives []Active
	for i, pool := range v.Pools {
		if spread, preempt := n.spreadOf(pool); spread == SpreadSingle {
			if node, _ := n.chooseActive(i, v, preempt); node != "" {
				actives = append(actives, Active{Pool: uint16(i), Node: node})
			}
		}
	}
	return actives
}

// activesStay tells whether the view in force gives every single pool to whom this node would.
func (n *Node) activesStay() bool {
	for i, pool := range n.view.Pools {
		spread, preempt := n.spreadOf(pool)
		if spread != SpreadSingle {
			continue
		}
		if node, _ := n.chooseActive(i, &n.view, preempt); node != n.view.activeIn(i) {
			return false
		}
	}
	return true
}

// chooseActive names the active node of one of v's pools, a single one, among those members
// that have it, after the view in force. Who has weight 0 is passed over, unless all have.
func (n *Node) chooseActive(pool int, v *View, preempt bool) (string, ActiveReason) {
	name := v.Pools[pool]
	before, pinned := n.view.activeIn(n.view.pool(name)), v.pinnedIn(pool)
	idle := !slices.ContainsFunc(v.Members, func(m Member) bool { return m.Weights[pool] > 0 && m.Weights[pool] != NoShare })
	best, highest, able, rivals, stays := "", uint16(0), 0, 0, false
	for _, m := range v.Members {
		if w := m.Weights[pool]; w == NoShare || w == 0 && !idle {
			continue
		}
		able++
		if m.Name == pinned {
			return pinned, ActivePinned
		}
		stays = stays || m.Name == before
		switch p := n.priorityOf(m.Ref, name); {
		case best == "" || p > highest:
			best, highest, rivals = m.Name, p, 0
		case p == highest:
			rivals++
			if m.Name == before {
				best = before
			}
		}
	}
	switch {
	case best == "":
		return "", ActiveNobody
	case idle && stays:
		return before, ActiveLast
	case able == 1:
		return best, ActiveOnly
	case stays && best != before && !preempt:
		return before, ActiveStays
	case rivals > 0:
		return best, ActiveEqual
	default:
		return best, ActiveHighest
	}
}

// priorityOf is what the node has said last.
func (n *Node) priorityOf(r Ref, pool string) uint16 {
	if r == n.cfg.Self {
		for _, own := range n.cfg.Pools {
			if own.Name == pool {
				return own.Priority
			}
		}
	} else if p := n.memberPeer(r); p != nil {
		if b := p.inPool(pool); b != nil {
			return b.Priority
		}
	}
	return 0
}

func (n *Node) ownPriorities() []uint16 {
	priorities := make([]uint16, len(n.cfg.Pools))
	for i, pool := range n.cfg.Pools {
		priorities[i] = pool.Priority
	}
	return priorities
}

// activesTo tells in words which single pools v moves, and why if this node can see it.
func (n *Node) activesTo(v *View) []string {
	var parts []string
	for i, pool := range v.Pools {
		spread, preempt := n.spreadOf(pool)
		to := v.activeIn(i)
		if spread != SpreadSingle || to == n.view.activeIn(n.view.pool(pool)) {
			continue
		}
		if to == "" {
			parts = append(parts, text("nobody has pool %s any more", pool))
			continue
		}
		part := text("pool %s goes to %s", pool, to)
		if node, why := n.chooseActive(i, v, preempt); node == to {
			part += text(" (%s)", why)
		}
		parts = append(parts, part)
	}
	return parts
}
