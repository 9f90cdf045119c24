package ownership

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// setHealth takes shares and keeps what is told. Others judge by it who of all that are
// ill goes on, so they know at once; the lines for people can wait for the next beat.
func (n *Node) setHealth(h SetHealth) {
	h.Illness, h.Blame = slices.Clone(h.Illness), slices.Clone(h.Blame)
	for i, pool := range n.cfg.Pools {
		if at(h.Shares, i) == SameShare && i < len(h.Illness) {
			h.Illness[i] = at(n.health.Illness, i)
		}
		if at(h.Shares, i) == SameShare && i < len(h.Blame) {
			h.Blame[i] = at(n.health.Blame, i)
		}
		before, wasIll := n.healthyWeight(i), at(n.health.Illness, i) > 0
		if i < len(h.Shares) && h.Shares[i] != SameShare {
			n.shares[i] = h.Shares[i]
		}
		w, isIll := n.healthyWeight(i), at(h.Illness, i) > 0
		blamesAnew := isIll && at(h.Blame, i) != at(n.health.Blame, i) // a cause that shows after what follows from it
		if w != before || isIll != wasIll || blamesAnew {
			n.note(NoteHealth, "", "pool %s: %s", pool.Name, healthText(before, w, at(h.Why, i)))
		}
		n.changed = n.changed || w != before
	}
	if !slices.Equal(h.Illness, n.health.Illness) || !slices.Equal(h.Sees, n.health.Sees) {
		n.changed = true
	}
	n.health = SetHealth{Illness: h.Illness, Blame: h.Blame, Sees: slices.Clone(h.Sees), Lines: slices.Clone(h.Lines)}
}

func at[T any](all []T, i int) (v T) {
	if i < len(all) {
		v = all[i]
	}
	return v
}

// reasonsTold is how many of them a note has: if more is wrong than that, a person looks at the status.
const reasonsTold = 3

// healthText tells what becomes of a weight, and why.
func healthText(was, is uint16, why []string) string {
	text := cmp.Or(strings.Join(why[:min(len(why), reasonsTold)], "; "), "all is well")
	if more := len(why) - reasonsTold; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	if was == is {
		return fmt.Sprintf("goes on with weight %d: %s", is, text)
	}
	return fmt.Sprintf("weight %d, was %d: %s", is, was, text)
}

// takeHealth tells when a peer's health has changed what it carries. What operators
// order, or their files say, changes that too.
func (n *Node) takeHealth(p *peer, old *Beat) {
	b := p.beat
	if old == nil || (old.Flags|b.Flags)&FlagDraining != 0 {
		return
	}
	for i := range b.Pools {
		is := &b.Pools[i]
		j := slices.IndexFunc(old.Pools, func(o PoolBeat) bool { return o.Name == is.Name })
		if j < 0 {
			continue
		}
		was := &old.Pools[j]
		byHealth := (was.Illness > 0) != (is.Illness > 0) || was.Weight != is.Weight && len(old.Health)+len(b.Health) > 0
		switch {
		case byHealth:
			n.note(NotePeerHealth, p.ref.Name, "pool %s: %s", is.Name, healthText(was.Weight, is.Weight, b.Health))
		case was.Weight != is.Weight && was.Weight != NoShare && is.Weight != NoShare:
			n.note(NoteWeight, p.ref.Name, weightWords, is.Name, is.Weight, was.Weight)
		}
	}
}

// healthyWeight is what the node's health leaves of its weight: at least 1 unless one of the two is 0.
func (n *Node) healthyWeight(pool int) uint16 {
	w, share := n.weights[pool], n.shares[pool]
	if w == NoShare || w == 0 || share >= 100 {
		return w
	}
	if share == 0 {
		return 0
	}
	return max(1, uint16(uint32(w)*uint32(share)/100))
}

// firstShare of a pool, in percent.
func (p PoolConfig) firstShare() uint16 {
	if p.Waits {
		return 0
	}
	return 100
}

// illness of this node in a pool. Without a weight it would not serve if it were well.
func (n *Node) illness(pool int) uint16 {
	if w := n.weights[pool]; pool < len(n.health.Illness) && w != 0 && w != NoShare {
		return n.health.Illness[pool]
	}
	return 0
}
