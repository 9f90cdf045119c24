package ownership

import "time"

// Every node sees every SYN. One that came when its bucket's owner was dead, or
// between a handover's end and beginning, has had no answer, and the client would not
// ask again for a second: those who dropped it can see to that. A SYN that somebody
// did answer must be left alone: two answers end in a reset.

// askedAgain is after how long a client repeats its SYN (RFC 6298, 2.1). What is older
// need not be replayed.
const askedAgain = time.Second

// estate is what a peer had when it died.
type estate struct {
	pools []PoolBeat // of its last beat; nil: nothing
	since Time       // what came from then on it may not have answered
}

// dies notes what the peer leaves behind. It lived when it sent its last beat; an
// interval for what was on its way.
func (n *Node) dies(p *peer, last *Beat, lived Time) {
	p.estate = estate{pools: last.Pools, since: lived - n.interval}
}

// inherit asks for a replay of what was missed in the buckets just gained whose owner is
// dead. Not where somebody alive lingers: he may have answered what seems missed.
func (n *Node) inherit(pool int, gained Bitmap) {
	alive := n.lingeredByOthers(pool)
	missed, since := NewBitmap(n.cfg.Pools[pool].Buckets), n.now
	for _, p := range n.peers {
		for w, word := range claimsIn(p.estate.pools, n.cfg.Pools[pool].Name) {
			if w < len(missed) && word&gained[w]&^alive[w] != 0 {
				missed[w] |= word & gained[w] &^ alive[w]
				since = min(since, p.estate.since)
			}
		}
	}
	if !missed.Empty() {
		n.after = append(n.after, Replay{Pool: pool, Buckets: missed, Since: max(since, n.now-askedAgain)})
	}
}

// settleEstates: all is taken over but what the members had that have died meanwhile.
func (n *Node) settleEstates() {
	for _, p := range n.peers {
		if !p.member() || !p.silent && !p.left {
			p.estate = estate{}
		}
	}
}

// release notes what this node hands over: what comes until somebody claims it has no answer.
func (n *Node) release(pool, word int, moved uint64) {
	n.unclaimed[pool][word] |= moved
	n.released = n.now
}

// handOn asks to send on what came since this node's release of buckets that a peer now
// says it has begun to accept. old is the peer's beat before, or nil.
func (n *Node) handOn(p *peer, old *Beat) {
	if p.unlike {
		return
	}
	for i := range n.unclaimed {
		if n.unclaimed[i].Empty() {
			continue
		}
		var before Bitmap
		if old != nil {
			before = claimsIn(old.Pools, n.cfg.Pools[i].Name)
		}
		begun := NewBitmap(n.cfg.Pools[i].Buckets)
		for w, word := range p.claims(i) {
			if w >= len(begun) {
				break
			}
			if w < len(before) {
				word &^= before[w]
			}
			begun[w] = word & n.unclaimed[i][w] & n.lingers[i][w]
			n.unclaimed[i][w] &^= word
		}
		if !begun.Empty() {
			n.after = append(n.after, Resend{Pool: i, Buckets: begun, Since: n.released})
		}
	}
}

// claimsIn are those of a pool by name.
func claimsIn(pools []PoolBeat, name string) Bitmap {
	for i := range pools {
		if pools[i].Name == name {
			return pools[i].Claims
		}
	}
	return nil
}
