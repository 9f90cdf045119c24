package ownership

import (
	"cmp"
	"slices"
	"strings"

	"github.com/rota-cluster/rota/internal/assign"
)

// Nodes need not have the same pools: each pool is shared by those who have it.
// Views and beats list pools by name, in order; what this node does with one it
// keeps at the pool's place in its own configuration.

// absent is the place of a pool in a list that lacks it.
const absent = -1

// matchPools finds for each of this node's pools its place in another list, in names,
// which is as sorted.
func (n *Node) matchPools(to []int, count int, name func(i int) string) []int {
	to = to[:0]
	i := 0
	for _, pool := range n.cfg.Pools {
		for i < count && name(i) < pool.Name {
			i++
		}
		if i < count && name(i) == pool.Name {
			to = append(to, i)
		} else {
			to = append(to, absent)
		}
	}
	return to
}

// poolsIn are the places of this node's pools in a beat; it may write into places.
func (n *Node) poolsIn(b *Beat, places []int) []int {
	return n.matchPools(places, len(b.Pools), func(i int) string { return b.Pools[i].Name })
}

// claims are the peer's in one of this node's pools.
func (p *peer) claims(pool int) Bitmap {
	if i := p.pools[pool]; i != absent {
		return p.beat.Pools[i].Claims
	}
	return nil
}

// lingers is what the peer lingers on in one of this node's pools.
func (p *peer) lingers(pool int) Bitmap {
	if i := p.pools[pool]; i != absent {
		return p.beat.Pools[i].Lingers
	}
	return nil
}

// priority is the peer's in one of this node's pools.
func (p *peer) priority(pool int) uint16 {
	if i := p.pools[pool]; i != absent {
		return p.beat.Pools[i].Priority
	}
	return 0
}

// illness is the peer's in one of this node's pools.
func (p *peer) illness(pool int) uint16 {
	if i := p.pools[pool]; i != absent {
		return p.beat.Pools[i].Illness
	}
	return 0
}

// weight is the peer's in one of this node's pools.
func (p *peer) weight(pool int) uint16 {
	if i := p.pools[pool]; i != absent {
		return p.beat.Pools[i].Weight
	}
	return NoShare
}

// difference says why nothing is shared with the sender, "" if something may be.
func (n *Node) difference(b *Beat, places []int) string {
	if want := n.expected(); b.Expected != want {
		return text("it counts a majority of %s nodes, this node of %s", countText(b.Expected), countText(want))
	}
	for i, at := range places {
		if at != absent && b.Pools[at].Fingerprint != n.cfg.Pools[i].Fingerprint {
			return differs(&n.cfg.Pools[i], &b.Pools[at])
		}
	}
	return ""
}

// differs names the keys of a pool that are not the same, as far as a beat has them; its
// fingerprint covers all that must be.
func differs(here *PoolConfig, there *PoolBeat) string {
	var keys []string
	if here.Spread != there.Spread {
		keys = append(keys, text("spread is %s there, %s here", there.Spread, here.Spread))
	} else if here.Preempt != there.Preempt {
		keys = append(keys, text("preempt is %t there, %t here", there.Preempt, here.Preempt))
	}
	if c := len(there.Claims); c > 0 && c != len(NewBitmap(here.Buckets)) {
		keys = append(keys, text("buckets are not %d there", here.Buckets))
	}
	if len(keys) == 0 {
		keys = []string{"hash, buckets, mac or seed; compare what rota status says of the pool on both, and if that is equal, the seed and the key file's line hash"}
	}
	return text("pool %s is configured otherwise: %s", here.Name, strings.Join(keys, ", "))
}

func countText(expected uint16) string {
	if expected == 0 {
		return "no number of"
	}
	return text("%d", expected)
}

// expected is what beats say of how this node counts.
func (n *Node) expected() uint16 {
	if n.cfg.Quorum == QuorumMajority {
		return uint16(n.cfg.ExpectedNodes)
	}
	return 0
}

// apartIn names the pools that only one of the two nodes has, and those whose
// addresses differ.
func (n *Node) apartIn(p *peer) (theirs, ours, addresses []string) {
	next := 0
	for i, pool := range n.cfg.Pools {
		at := p.pools[i]
		if at == absent {
			ours = append(ours, pool.Name)
			continue
		}
		for ; next < at; next++ {
			theirs = append(theirs, p.beat.Pools[next].Name)
		}
		next = at + 1
		if p.beat.Pools[at].Addresses != pool.Addresses {
			addresses = append(addresses, pool.Name)
		}
	}
	for ; next < len(p.beat.Pools); next++ {
		theirs = append(theirs, p.beat.Pools[next].Name)
	}
	return theirs, ours, addresses
}

// unionOfPools are the names of all pools that this node or one of the set has.
// What is beyond the bound is nobody's, and told.
func (n *Node) unionOfPools(set []*peer) []string {
	names := make([]string, 0, len(n.cfg.Pools))
	for _, pool := range n.cfg.Pools {
		names = append(names, pool.Name)
	}
	for _, p := range set {
		if slices.Contains(p.pools, absent) || len(p.beat.Pools) != len(n.cfg.Pools) {
			for i := range p.beat.Pools {
				names = append(names, p.beat.Pools[i].Name)
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return names[:min(len(names), MaxViewPools)]
}

// asked yields what a node asks for, pool by pool in order of name.
type asked func(i int) (pool string, weight uint16)

// asks is what the peer asks for.
func (p *peer) asks(i int) (string, uint16) { return p.beat.Pools[i].Name, p.beat.Pools[i].Weight }

// asks is what this node asks for.
func (n *Node) asks(i int) (string, uint16) { return n.cfg.Pools[i].Name, n.ownWeight(i) }

func (n *Node) ownWeight(pool int) uint16 {
	switch w := n.healthyWeight(pool); {
	case w == NoShare || !n.leaves():
		return w
	case n.last && n.unfit == "" && n.retires == "":
		return n.weights[pool]
	}
	return 0
}

func (n *Node) ownWeights() []uint16 {
	w := make([]uint16, len(n.weights))
	for i := range w {
		w[i] = n.ownWeight(i)
	}
	return w
}

// weightsIn are those that a node asks for, in the order of the view's pools.
func weightsIn(pools []string, count int, ask asked) []uint16 {
	weights := make([]uint16, len(pools))
	next := 0
	for i, pool := range pools {
		weights[i] = NoShare
		for ; next < count; next++ {
			name, weight := ask(next)
			if name > pool {
				break
			}
			if name == pool {
				weights[i] = weight
			}
		}
	}
	return weights
}

// given tells whether these are the weights that a node asks for: a pool that the
// view does not list is one that nobody has, or there is no room for it.
func given(pools []string, weights []uint16, count int, ask asked) bool {
	next := 0
	for i, pool := range pools {
		want := NoShare
		for ; next < count; next++ {
			name, weight := ask(next)
			if name > pool {
				break
			}
			if name == pool {
				want = weight
			} else if weight != NoShare {
				return false
			}
		}
		if weights[i] != want {
			return false
		}
	}
	for ; next < count && len(pools) < MaxViewPools; next++ {
		if _, weight := ask(next); weight != NoShare {
			return false
		}
	}
	return true
}

// fits tells whether the view has a weight of each member for each pool.
func (v *View) fits() bool {
	return !slices.ContainsFunc(v.Members, func(m Member) bool { return len(m.Weights) != len(v.Pools) })
}

// pool is the place of a pool in the view.
func (v *View) pool(name string) int {
	i, ok := slices.BinarySearch(v.Pools, name)
	if !ok {
		return absent
	}
	return i
}

// tableOf computes the table of one pool from the view and nothing else, as indices
// into its members. Who does not have the pool is given nothing of it.
func tableOf(v *View, cfg PoolConfig) []int16 {
	pool := v.pool(cfg.Name)
	nodes := make([]assign.Node, 0, len(v.Members))
	member := make([]int16, 0, len(v.Members))
	for i, m := range v.Members {
		if pool != absent && m.Weights[pool] != NoShare {
			nodes = append(nodes, assign.Node{Name: m.Name, Weight: uint32(m.Weights[pool])})
			member = append(member, int16(i))
		}
	}
	var table []int16
	if cfg.Spread == SpreadSingle {
		table = assign.Single(cfg.Buckets, nodes, v.activeIn(pool))
	} else {
		table = assign.Table(cfg.Name, cfg.Buckets, nodes, v.pinsIn(pool))
	}
	if len(nodes) == len(v.Members) {
		return table
	}
	for b, owner := range table {
		if owner != assign.None {
			table[b] = member[owner]
		}
	}
	return table
}

func (v *View) pinsIn(pool int) (pins []assign.Pin) {
	for _, p := range v.Pins {
		if int(p.Pool) == pool {
			pins = append(pins, assign.Pin{Bucket: p.Bucket, Node: p.Node})
		}
	}
	return pins
}

// pinsFor are the pins of a view for another list of pools. Those of a pool that is in it no more are lost.
func pinsFor(v *View, pools []string) []Pin {
	if slices.Equal(v.Pools, pools) {
		return v.Pins
	}
	var pins []Pin
	for _, p := range v.Pins {
		if int(p.Pool) < len(v.Pools) {
			if i, ok := slices.BinarySearch(pools, v.Pools[p.Pool]); ok {
				p.Pool = uint16(i)
				pins = append(pins, p)
			}
		}
	}
	slices.SortFunc(pins, func(a, b Pin) int { return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.Bucket, b.Bucket)) })
	return pins
}
