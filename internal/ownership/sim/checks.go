package sim

import (
	"fmt"
	"math/bits"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// never stands for a time that has not come.
const never = time.Duration(-1)

// checks is what the run is judged by. Sets of nodes are words of bits.
type checks struct {
	// What every datapath does with each bucket, leases included.
	accept []uint32 // who accepts new connections
	mine   []uint32 // and among them, who lets the stack reset what it does not know
	linger []uint32 // who serves old connections only

	free     []gap // each bucket's time without an owner
	giver    []giver
	heirs    []uint32 // since whose own time somebody else has begun to accept a bucket, be its lease over or not yet there
	pairs    []pair
	side     int // pairs are a square of that side
	parts    []part
	lastOp   time.Duration // when something last changed
	formed   bool          // all agreed at some time
	agreed   time.Duration // since when all agree; never
	settled  snapshot
	tables   viewTables
	well     bool // everybody runs and hears everybody
	opsLeft  int
	pins     pinModel
	answered map[uint64]bool
	soft     int  // 1 if the story has ailments that only a third node can judge
	done     bool // the run has nothing more to tell
	bounds   struct{ heal, cover, handover, takeover, agree time.Duration }
}

// mostBeats is how many beats a node may send within an interval: each change is
// told at once and twice more.
const mostBeats = 200

// gap is a bucket's time without an owner.
type gap struct {
	since time.Duration // never: it has one
	lost  int8          // the node that accepted last; -1: none yet
	// handed: it was given away to a live node.
	handed bool
	moves  uint16 // changes of the owner since the last snapshot
	stuck  time.Duration
	total  time.Duration
}

func newChecks(w *world) checks {
	n, b := len(w.nodes), w.s.Buckets()
	c := checks{
		accept: make([]uint32, b), mine: make([]uint32, b), linger: make([]uint32, b),
		free: make([]gap, b), giver: make([]giver, b), heirs: make([]uint32, b), pairs: newPairs(w.nodes, &w.net, w.s.Interval), side: n, agreed: never, answered: map[uint64]bool{},
	}
	for i := range c.free {
		c.free[i] = gap{since: 0, lost: -1, stuck: never}
	}
	c.parts = make([]part, 0, n)
	for _, op := range w.s.Ops {
		if op.Verb != Expect {
			c.opsLeft++
		}
		switch op.Verb {
		case Slow, Lag, Dawdle, Cut, Flip, Loss, Delay:
			if !op.Second {
				c.soft = 1
			}
		}
	}
	bound := w.opt.Bounds
	trips := 4 * (w.s.Delay + w.s.Jitter)
	c.bounds.heal = bound.Heal.of(w.s) + trips
	c.bounds.cover = bound.Cover.of(w.s) + trips
	c.bounds.handover = bound.Handover.of(w.s) + trips
	c.bounds.takeover = bound.Takeover.of(w.s) + trips
	if c.soft > 0 {
		c.bounds.takeover += bound.Doubt.of(w.s)
	}
	c.bounds.agree = agreeWithin(bound, w.s) + trips
	if holds := w.s.holds(); holds > 0 { // a daemon may never come back from its restart
		c.bounds.cover += holds
		c.bounds.takeover += holds
		c.bounds.agree += holds
	}
	return c
}

// changed is called when a line of the story has been carried out.
func (c *checks) changed(w *world) {
	c.lastOp, c.agreed = w.now, never
	for _, n := range w.nodes {
		n.views = 0
	}
	c.learnPairs(w)
	c.findParts(w)
}

// shifted is a bucket whose verdict at a node has changed.
func (c *checks) shifted(w *world, n *node, b int, from, to ownership.BucketState) {
	c.mine[b] &^= n.bit
	c.linger[b] &^= n.bit
	switch to {
	case ownership.Mine:
		c.mine[b] |= n.bit
	case ownership.Lingering:
		c.linger[b] |= n.bit
	}
	switch {
	case owns(to) && !owns(from):
		c.gained(w, n, b)
	case owns(from) && !owns(to):
		c.accept[b] &^= n.bit
		c.parted(w, n, b)
		if c.accept[b] == 0 {
			g := &c.free[b]
			g.since, g.lost, g.handed = w.now, int8(n.id), to == ownership.Lingering
		}
	}
	if c.linger[b] != 0 && c.mine[b] != 0 {
		c.checkReset(w, b)
	}
}

func (c *checks) gained(w *world, n *node, b int) {
	others := c.accept[b]
	c.accept[b] |= n.bit
	g := &c.free[b]
	c.giver[b] = giver{node: g.lost, handed: g.handed && others == 0}
	if g.since != never {
		c.closed(w, n, b, g)
		g.since = never
	}
	if g.lost != int8(n.id) {
		g.moves++
	}
	g.lost = int8(n.id)
	for others != 0 && w.failure == nil {
		o := bits.TrailingZeros32(others)
		others &= others - 1
		c.overlap(w, n, w.nodes[o], b)
	}
}

// closed is a gap that ends: n accepts what nobody did.
func (c *checks) closed(w *world, n *node, b int, g *gap) {
	if !c.formed || g.lost < 0 {
		return
	}
	length := w.now - g.since
	g.total += length
	judged := c.healthyServe(w) || c.stable(w)
	switch {
	case !judged || length == 0:
	case g.handed:
		w.stats.Handover.add(w.s, length)
	default:
		w.stats.Takeover.add(w.s, length)
	}
	if int(g.lost) == n.id && w.s.Healthy&n.bit != 0 && c.healthyServe(w) {
		if !g.handed {
			w.fail(RuleLocality, fmt.Sprintf("%s is healthy and stopped accepting %s for %v, with nobody else to take it",
				n.spec.Label, w.bucketName(b), length))
		}
		w.stats.Undone++
	}
}

// expired is called before a node whose lease is over accepts nothing.
func (c *checks) expired(w *world, n *node) {
	if c.formed && w.s.Healthy&n.bit != 0 && n.machine != nil && !n.stopping && c.healthyServe(w) {
		w.fail(RuleLocality, fmt.Sprintf("%s is healthy and its lease ran out", n.spec.Label))
	}
}

// beat looks at what a node says of itself.
func (c *checks) beat(w *world, n *node, b *ownership.Beat) {
	c.oneStays(w, n, b)
	if w.now-n.burstAt >= w.s.Interval {
		n.burstAt, n.burst = w.now, 0
	}
	if n.burst++; n.burst > mostBeats {
		w.fail(RuleContract, fmt.Sprintf("%s has sent %d beats within an interval", n.spec.Label, n.burst))
	}
	if n.last == nil || n.last.View.ID != b.View.ID {
		w.stats.Views++
		n.views++
		leases, most := int((w.now-c.lastOp)/w.s.Lease), 0
		if c.well {
			most = churnFreeWell + churnLeaseWell*leases
		} else {
			most = churnFree + churnLease*leases
		}
		if n.views > most {
			w.fail(RuleChurn, fmt.Sprintf("%s has adopted %d views in %v without any change", n.spec.Label, n.views, w.now-c.lastOp))
		}
	}
	const out = ownership.FlagFenced | ownership.FlagStandby | ownership.FlagDeaf
	if c.formed && w.s.Healthy&n.bit != 0 && b.Flags&out != 0 && n.last != nil && n.last.Flags&out == 0 && c.healthyServe(w) {
		w.fail(RuleLocality, fmt.Sprintf("%s is healthy and stepped aside: %s", n.spec.Label, flagText(b.Flags)))
	}
}

// healthyServe tells whether the healthy nodes can serve without the others.
// One alone need not where the other is only hard to hear, or slow: of two
// nodes nobody can tell then which one is sick.
func (c *checks) healthyServe(w *world) bool {
	running := 0
	for _, n := range w.nodes {
		switch {
		case w.s.Healthy&n.bit == 0:
			if w.s.Quorum == ownership.QuorumNone && w.heedlessLately(n) {
				return false
			}
		case n.machine == nil || w.now-n.started < 3*w.s.Lease: // it may not be in a view yet
		default:
			running++
		}
	}
	if w.s.Loss > 0 && running == 1 && w.now-c.lastOp < 2*w.s.Lease {
		return false // the last answer of who died may be lost, see quiet
	}
	return running > w.checks.soft && (w.s.Quorum == ownership.QuorumNone || running > w.s.Expected/2)
}

// heedlessLately: a client that reached it counts for max(10 leases, 3 s), and what it
// claimed meanwhile is settled some leases after, be it dead by then.
func (w *world) heedlessLately(n *node) bool {
	if w.heedless(n) {
		n.heedlessTill = w.now + 4*time.Second + 10*w.s.Lease
	}
	return w.now < n.heedlessTill
}

// heedless tells whether a sick node is heard by healthy ones and does not hear
// them, while clients reach it: it goes on, and the others make way.
func (w *world) heedless(sick *node) bool {
	if sick.machine == nil || sick.mute {
		return false
	}
	if sick.deaf || sick.unflooded { // clients that have reached it count for a while
		return sick.last != nil && sick.last.Flags&ownership.FlagClients != 0
	}
	for _, n := range w.nodes {
		in, out := w.net.link(n.id, sick.id), w.net.link(sick.id, n.id)
		if w.s.Healthy&n.bit != 0 && n.machine != nil && !in.good(w.s.Interval) && !out.dead() {
			return true
		}
	}
	return false
}

// forgotten is a bucket that a daemon made foreign.
func (c *checks) forgotten(w *world, n *node, b int) {
	if w.s.Planned && n.datapath.accepts && n.datapath.connected[b] > w.now {
		w.fail(RuleBroken, fmt.Sprintf("%s still has connections in %s and drops them", n.spec.Label, w.bucketName(b)))
	}
}

// checkReset: a node that accepts what another still serves must be contested.
func (c *checks) checkReset(w *world, b int) {
	for l := c.linger[b]; l != 0; l &= l - 1 {
		old := w.nodes[bits.TrailingZeros32(l)]
		if old.datapath.connected[b] <= w.now || old.sick(w.s.Interval) || w.now-old.thawed < w.s.Lease {
			continue // nothing to save, or nobody who can be told from the dead
		}
		for m := c.mine[b]; m != 0; m &= m - 1 {
			owner := w.nodes[bits.TrailingZeros32(m)]
			if c.pair(old.id, owner.id).learned && !owner.sick(w.s.Interval) && w.failure == nil {
				w.fail(RuleReset, fmt.Sprintf("%s resets the connections that %s still serves in %s",
					owner.spec.Label, old.spec.Label, w.bucketName(b)))
			}
		}
	}
}

// stable tells whether nothing has changed for long enough that every bucket must have an owner.
func (c *checks) stable(w *world) bool { return w.now-c.lastOp > c.bounds.cover }

// audit looks at what happens by time passing alone.
func (c *checks) audit(w *world) {
	c.auditParts(w)
	if w.failure == nil && c.formed && c.healthyServe(w) {
		c.auditTakeover(w)
	}
	if w.failure == nil {
		c.auditReach(w)
	}
	if w.failure == nil {
		c.auditAgreement(w)
	}
}

func (c *checks) auditTakeover(w *world) {
	for b := range c.free {
		g := &c.free[b]
		if g.since == never || g.lost < 0 { // what nobody has had yet, nobody takes over
			continue
		}
		if open := w.now - max(g.since, c.lastOp); open > c.bounds.takeover && w.servedSince(w.poolAt(b), w.s.Healthy, w.now-c.bounds.takeover) {
			w.fail(RuleTakeover, fmt.Sprintf("nobody accepts %s for %v, and healthy nodes are there", w.bucketName(b), open))
			return
		}
	}
}

// end closes the books of a run that went well.
func (c *checks) end(w *world) {
	worst := time.Duration(0)
	for b := range c.free {
		worst = max(worst, c.free[b].total)
	}
	if c.formed && w.s.Healthy != 0 {
		w.stats.Outage.add(w.s, worst)
	}
	c.checkMoves(w)
	if w.failure == nil && w.s.Settle && c.agreed == never && len(c.parts) > 0 {
		w.fail(RuleAgreement, "the run ends without agreement")
	}
}

func (w *world) bucketName(b int) string {
	for p := len(w.s.Pools) - 1; p > 0; p-- {
		if first := w.nodes[0].datapath.first[p]; b >= first {
			return fmt.Sprintf("bucket %d of %s", b-first, w.s.Pools[p].Name)
		}
	}
	if len(w.s.Pools) > 1 {
		return fmt.Sprintf("bucket %d of %s", b, w.s.Pools[0].Name)
	}
	return fmt.Sprintf("bucket %d", b)
}
