package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// giver is who accepted a bucket before its owner does.
type giver struct {
	node   int8 // -1: nobody yet
	handed bool // it gave the bucket away
}

// replay is a node that asks itself what the dead one did not answer: of buckets
// that it accepts, and that nobody gave it who is alive and may have answered.
func (w *world) replay(n *node, e ownership.Replay) {
	w.mix(uint64(e.Pool)<<32 | uint64(e.Buckets.Count()))
	w.tell(n, "replays what %d buckets of pool %s missed for %v", e.Buckets.Count(), w.s.Pools[n.places[e.Pool]].Name, w.ago(n, e.Since))
	w.stats.Replays++
	w.eachBucket(n.places[e.Pool], e.Buckets, func(b int) {
		if !owns(n.datapath.states[b]) {
			w.fail(RuleReplay, fmt.Sprintf("%s replays for %s, which is %v to it", n.spec.Label, w.bucketName(b), n.datapath.states[b]))
		}
		g := w.checks.giver[b]
		if g.node < 0 || int(g.node) == n.id || !g.handed {
			return
		}
		from := w.nodes[g.node]
		likeDead := from.machine == nil || from.sick(w.s.Interval) || w.now-from.thawed < w.s.Lease
		if !likeDead && from.datapath.states[b] == ownership.Lingering && w.checks.pair(n.id, from.id).learned {
			w.fail(RuleReplay, fmt.Sprintf("%s replays for %s, which %s handed over and lingers on", n.spec.Label, w.bucketName(b), from.spec.Label))
		}
	})
}

// resend is a node that sends on what it dropped, of buckets that it handed over and
// somebody has begun to accept since, or accepts.
func (w *world) resend(n *node, e ownership.Resend) {
	w.mix(uint64(e.Pool)<<32 | uint64(e.Buckets.Count()))
	w.tell(n, "sends on what came to %d buckets of pool %s for %v", e.Buckets.Count(), w.s.Pools[n.places[e.Pool]].Name, w.ago(n, e.Since))
	w.stats.Resends++
	w.eachBucket(n.places[e.Pool], e.Buckets, func(b int) {
		switch {
		case owns(n.datapath.states[b]):
			w.fail(RuleReplay, fmt.Sprintf("%s sends on what came to %s, which it accepts itself", n.spec.Label, w.bucketName(b)))
		case w.checks.heirs[b]&n.bit == 0 && !slices.ContainsFunc(w.nodes, func(o *node) bool { return o != n && w.claimedLately(o, b) }):
			w.fail(RuleReplay, fmt.Sprintf("%s sends on what came to %s, which nobody has accepted yet", n.spec.Label, w.bucketName(b)))
		}
	})
}

// claimedLately: the node accepts the bucket, lease apart, or has let go of it while a beat
// that says otherwise may be on its way.
func (w *world) claimedLately(o *node, b int) bool {
	gaveUp, did := o.gaveUp[b]
	return owns(o.datapath.states[b]) || did && w.now-gaveUp < w.s.Lease
}

func (w *world) eachBucket(pool int, buckets ownership.Bitmap, do func(b int)) {
	for i := range w.s.Pools[pool].Buckets {
		if buckets.Has(i) && w.failure == nil {
			do(w.nodes[0].datapath.first[pool] + int(i))
		}
	}
}

// ago is how long a time of the node's clock is past.
func (w *world) ago(n *node, at ownership.Time) time.Duration {
	return (w.now - n.clock.when(at)).Round(100 * time.Microsecond)
}
