package ownership

import (
	"slices"
	"time"
)

// reconfigure replaces pools and timing. What is known of a pool is kept by its name.
func (n *Node) reconfigure(e Reconfigure) {
	before := *n
	count := len(e.Pools)
	n.cfg.Pools = slices.Clone(e.Pools)
	n.table, n.want = make([][]int16, count), make([]Bitmap, count)
	n.owned, n.lingers = make([]Bitmap, count), make([]Bitmap, count)
	n.unclaimed = make([]Bitmap, count)
	n.states, n.weights = make([][]BucketState, count), make([]uint16, count)
	n.shares = make([]uint16, count)
	illness, blame := make([]uint16, count), make([]string, count)
	for i, pool := range n.cfg.Pools {
		was := slices.IndexFunc(before.cfg.Pools, func(p PoolConfig) bool { return p.Name == pool.Name })
		if was >= 0 {
			n.table[i], n.want[i] = before.table[was], before.want[was]
			n.owned[i], n.lingers[i] = before.owned[was], before.lingers[was]
			n.unclaimed[i] = before.unclaimed[was]
			n.states[i], n.weights[i] = before.states[was], before.weights[was]
			n.shares[i], illness[i], blame[i] = before.shares[was], at(before.health.Illness, was), at(before.health.Blame, was)
			n.setWeight(i, pool.Weight)
			continue
		}
		n.note(NoteReload, "", "pool %s is new here", pool.Name)
		n.owned[i], n.lingers[i], n.unclaimed[i] = NewBitmap(pool.Buckets), NewBitmap(pool.Buckets), NewBitmap(pool.Buckets)
		n.states[i], n.weights[i] = make([]BucketState, pool.Buckets), pool.Weight // the datapath begins with all foreign
		n.shares[i] = pool.firstShare()
		n.want[i] = NewBitmap(pool.Buckets)
		if n.view.ID.Number != 0 {
			n.plan(i)
		}
	}
	for _, pool := range before.cfg.Pools {
		if !slices.ContainsFunc(n.cfg.Pools, func(p PoolConfig) bool { return p.Name == pool.Name }) {
			n.note(NoteReload, "", "pool %s is here no more", pool.Name)
		}
	}
	for _, p := range n.peers {
		n.compare(p)
	}
	n.judgePins()
	n.health.Illness, n.health.Blame = illness, blame
	n.setTiming(e.Interval, e.Lease)
	n.tableDirty, n.changed = true, true
}

func (n *Node) setTiming(interval, lease time.Duration) {
	if interval != n.cfg.Interval || lease != n.cfg.Lease {
		n.note(NoteReload, "", "beats every %v with a lease of %v, was %v and %v", interval, lease, n.cfg.Interval, n.cfg.Lease)
	}
	n.cfg.Interval, n.cfg.Lease = interval, lease
	n.hasten(interval)
}

// hasten brings the next beat forward, but not the first, before which this node listens.
func (n *Node) hasten(interval time.Duration) {
	if n.seq > 0 {
		n.nextBeat = min(n.nextBeat, n.now+interval)
	}
}

// weightWords tell of a weight that people changed.
const weightWords = "weight in pool %s: %d, was %d"

func (n *Node) setWeight(pool int, w uint16) {
	switch old := n.weights[pool]; {
	case w == old:
		return
	case w == NoShare:
		n.note(NoteWeight, "", "pool %s is to go: hands it over", n.cfg.Pools[pool].Name)
	case old == NoShare:
		n.note(NoteWeight, "", "pool %s stays: weight %d", n.cfg.Pools[pool].Name, w)
	default:
		n.note(NoteWeight, "", weightWords, n.cfg.Pools[pool].Name, w, old)
	}
	n.weights[pool], n.changed = w, true
}

// Carries is the weight that was set last, drains aside: by the configuration or an order.
func (n *Node) Carries() uint16 {
	for _, w := range n.weights {
		if w != NoShare {
			return w
		}
	}
	return 0
}

// Settled tells whether nothing of a pool is left here: neither buckets nor connections.
func (n *Node) Settled(pool int) bool { return n.owned[pool].Empty() && n.lingers[pool].Empty() }

// retime finds the timing in force. Nodes may be configured one after the other, so all
// go by the longest lease that one of those who share asks for; and a node speaks often
// enough for the shortest lease that one of them still goes by, until it has heard.
func (n *Node) retime() {
	interval, lease := n.cfg.Interval, n.cfg.Lease
	for _, p := range n.peers {
		if !p.shares() {
			continue
		}
		lease = max(lease, p.beat.Asks)
		if p.beat.Lease > 0 && p.beat.Lease < n.cfg.Lease {
			interval = min(interval, n.cfg.Interval*p.beat.Lease/n.cfg.Lease)
		}
	}
	if interval < n.interval {
		n.hasten(interval)
	}
	n.changed = n.changed || lease != n.lease
	n.interval, n.lease = interval, lease
}
