package sim

import (
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// part is a set of well nodes that all hear each other, and nothing of any
// well node outside. Such nodes must cover every bucket.
type part struct {
	members uint32
	// reach are the members and those, sick or not, that members can hear or
	// be heard by: they may own too.
	reach uint32
	// uncovered is since when each bucket has no owner within reach, as seen
	// by the audits.
	uncovered []time.Duration
	had       []bool // which buckets have had one since the part came to be
	covered   bool   // all had one at some time since then
	// whole: the service path joins them all. Else some of them rightly own
	// nothing, and only coverage is asked for.
	whole bool
}

// findParts splits the nodes after a change. A set of nodes that neither hear
// each other well nor not at all is no part: nothing is asked of it.
func (c *checks) findParts(w *world) {
	old := c.parts
	c.parts = c.parts[:0:cap(c.parts)]
	odd := w.oddOnes()
	var well, seen uint32
	c.well = false
	for _, n := range w.nodes {
		if odd&n.bit == 0 && !n.sick(w.s.Interval) {
			well |= n.bit
		}
	}
	for _, n := range w.nodes {
		if well&n.bit == 0 || seen&n.bit != 0 {
			continue
		}
		members, reach := w.flood(n, well)
		seen |= members
		whole := w.clique(members, func(i, j int) bool { return w.net.hearByService(i, j, w.s.Interval) })
		if !whole && (w.s.Quorum == ownership.QuorumMajority || !w.clique(members, w.hear)) || !w.mustServe(members) || w.deceived(members) {
			continue
		}
		c.well = whole && members == 1<<len(w.nodes)-1
		uncovered, had := w.roomFor(old, len(c.parts))
		c.parts = append(c.parts, part{members: members, reach: reach, uncovered: uncovered, had: had, whole: whole})
	}
}

// deceived: a node that the switch does not flood to speaks to these, hears them
// by no path, and so thinks itself alone.
func (w *world) deceived(members uint32) bool {
	return slices.ContainsFunc(w.nodes, func(n *node) bool {
		if !n.unflooded || n.machine == nil {
			return false
		}
		for m := members; m != 0; m &= m - 1 {
			if !w.hear(n.id, bits.TrailingZeros32(m)) {
				return true
			}
		}
		return false
	})
}

// roomFor reuses what an earlier split has allocated.
func (w *world) roomFor(old []part, i int) (uncovered []time.Duration, had []bool) {
	if i < len(old) {
		uncovered, had = old[i].uncovered, old[i].had
	} else {
		uncovered, had = make([]time.Duration, w.s.Buckets()), make([]bool, w.s.Buckets())
	}
	for b := range uncovered {
		uncovered[b], had[b] = never, false
	}
	return uncovered, had
}

// flood finds the well nodes that are joined to n in whatever way, and all whom those can reach.
func (w *world) flood(n *node, well uint32) (members, reach uint32) {
	members = n.bit
	for todo := n.bit; todo != 0; {
		i := bits.TrailingZeros32(todo)
		todo &= todo - 1
		reach |= 1 << i
		for j, o := range w.nodes {
			if j == i || w.net.dead(i, j) && w.net.dead(j, i) {
				continue
			}
			reach |= o.bit
			if well&o.bit != 0 && members&o.bit == 0 {
				members |= o.bit
				todo |= o.bit
			}
		}
	}
	return members, reach
}

func (w *world) clique(members uint32, hear func(i, j int) bool) bool {
	for m := members; m != 0; m &= m - 1 {
		i := bits.TrailingZeros32(m)
		for o := m & (m - 1); o != 0; o &= o - 1 {
			if !hear(i, bits.TrailingZeros32(o)) {
				return false
			}
		}
	}
	return true
}

// mustServe tells whether such a part has to own anything.
func (w *world) mustServe(members uint32) bool {
	n := bits.OnesCount32(members)
	if w.s.Quorum == ownership.QuorumMajority {
		return n > w.s.Expected/2
	}
	return !w.s.Quiet || w.receives(members)
}

// receives tells whether beats reach some of the nodes as clients would: an
// interface that receives nothing at all need not accept anything.
func (w *world) receives(members uint32) bool {
	for m := members; m != 0; m &= m - 1 {
		for o := members; o != 0; o &= o - 1 {
			i, j := bits.TrailingZeros32(m), bits.TrailingZeros32(o)
			if i != j && w.net.link(j, i).good(w.s.Interval) {
				return true
			}
		}
	}
	return false
}

// oddOnes are nodes that the others refuse to share with: whose name is taken, or whose
// pool configuration is not that of most.
func (w *world) oddOnes() uint32 {
	var odd uint32
	var configs [4]int
	for _, n := range w.nodes {
		if n.machine == nil {
			continue
		}
		configs[n.config&3]++
		for _, o := range w.nodes {
			if o != n && o.machine != nil && o.spec.Name == n.spec.Name {
				odd |= n.bit
			}
		}
	}
	for _, n := range w.nodes {
		for other, count := range configs {
			if n.machine != nil && other != n.config&3 && count >= configs[n.config&3] {
				odd |= n.bit
			}
		}
	}
	return odd
}

// auditParts checks coverage: once nothing has changed for long enough, no
// bucket is without an owner for longer than a handover takes.
func (c *checks) auditParts(w *world) {
	for i := range c.parts {
		p := &c.parts[i]
		all := true
		for b, set := range c.accept {
			if set&p.reach != 0 || !w.served(w.poolAt(b), p.members) {
				p.uncovered[b], p.had[b] = never, p.had[b] || set&p.reach != 0
				continue
			}
			all = false
			if p.uncovered[b] == never {
				p.uncovered[b] = w.now
			}
			if !c.stable(w) || w.failure != nil || w.waitsForItsOwner(w.poolAt(b), p.members) {
				continue
			}
			if p.had[b] && w.now-p.uncovered[b] <= c.patienceWith(w, p.reach) {
				continue
			}
			w.fail(RuleCoverage, fmt.Sprintf("%s: nobody accepts %s for %v, and nothing has changed for %v",
				w.labels(p.members), w.bucketName(b), w.now-p.uncovered[b], w.now-c.lastOp))
		}
		if all && !p.covered {
			p.covered = true
			w.stats.Cover.add(w.s, w.now-c.lastOp)
		}
	}
}

// patienceWith is for how long a bucket may have no owner among these. Who cannot keep up with
// the beats may lose its lease over a handover, and is taken over from.
func (c *checks) patienceWith(w *world, among uint32) time.Duration {
	for m := among; m != 0; m &= m - 1 {
		if n := w.nodes[bits.TrailingZeros32(m)]; n.machine != nil && n.dawdle > w.s.Interval/10 {
			return c.bounds.takeover + w.dawdling(among)
		}
	}
	return c.bounds.handover + w.dawdling(among)
}

// dawdling is what a handover to or from the slowest of these takes longer: a few
// effects, one after the other.
func (w *world) dawdling(among uint32) time.Duration {
	var most time.Duration
	for m := among; m != 0; m &= m - 1 {
		most = max(most, w.nodes[bits.TrailingZeros32(m)].dawdle)
	}
	return 4 * most
}

// auditAgreement looks whether every part has one view, active everywhere,
// and every bucket the owner that the view gives it.
func (c *checks) auditAgreement(w *world) {
	if !slices.ContainsFunc(c.parts, func(p part) bool { return p.whole }) {
		c.agreed = never
		c.done = c.opsLeft == 0 && w.s.Settle && w.now-c.lastOp > c.bounds.agree
		return
	}
	if w.now-c.lastOp <= 3*w.s.Interval {
		return // the change may not have been told yet
	}
	if !c.inAgreement(w) {
		if c.agreed != never && c.lossless(w) && w.now-c.lastOp > c.bounds.agree {
			w.fail(RuleAgreement, "the nodes agreed, nothing has changed, and they agree no more")
		}
		c.agreed = never
		if c.opsLeft == 0 && w.s.Settle && w.now-c.lastOp > c.bounds.agree {
			w.fail(RuleAgreement, fmt.Sprintf("no agreement for %v: %s", w.now-c.lastOp, c.disagreement(w)))
		}
		return
	}
	c.auditPins(w)
	if c.agreed == never {
		c.agreed = w.now
		if !c.formed {
			w.stats.ColdStart.add(w.s, w.now)
		} else if c.opsLeft == 0 {
			w.stats.Agree.add(w.s, w.now-c.lastOp)
		}
		c.formed = true
	}
	c.auditActives(w)
	if c.opsLeft == 0 && w.s.Settle && w.now-c.agreed > 2*w.s.Lease {
		c.done = true
	}
}

func (c *checks) lossless(w *world) bool {
	for i := range w.net.links {
		if w.net.links[i].loss > 0 && i/len(w.nodes) != i%len(w.nodes) {
			return false
		}
	}
	return true
}

func (c *checks) inAgreement(w *world) bool {
	for i := range c.parts {
		if c.parts[i].whole && c.partDisagrees(w, &c.parts[i]) != "" {
			return false
		}
	}
	return true
}

func (c *checks) disagreement(w *world) string {
	for i := range c.parts {
		if !c.parts[i].whole {
			continue
		}
		if why := c.partDisagrees(w, &c.parts[i]); why != "" {
			return why
		}
	}
	return "no part of the nodes hears each other"
}

// partDisagrees says what is missing, "" if nothing.
func (c *checks) partDisagrees(w *world, p *part) string {
	first := w.nodes[bits.TrailingZeros32(p.members)].last
	if first == nil {
		return "silence"
	}
	const out = ownership.FlagFenced | ownership.FlagStandby | ownership.FlagDeaf
	for m := p.members; m != 0; m &= m - 1 {
		n := w.nodes[bits.TrailingZeros32(m)]
		b := n.last
		switch {
		case b == nil:
			return "silence"
		case b.View.ID != first.View.ID:
			return "not one view"
		case b.Stage != ownership.StageActive:
			return "not active"
		case b.Flags&out != 0:
			return "someone stands aside"
		case !memberOf(&b.View, n):
			return "someone is no member"
		case b.Pins.Digest != first.Pins.Digest:
			return "not the same pins"
		case w.pinsMissed(&b.View, n.kept):
			return "the view has other pins"
		}
	}
	for i := range first.View.Members {
		if !w.known(&first.View.Members[i].Ref, p.reach) {
			return "a member is unknown"
		}
	}
	return c.partMisowns(w, p, &first.View)
}

func memberOf(v *ownership.View, n *node) bool {
	for i := range v.Members {
		if v.Members[i].Name == n.spec.Name && v.Members[i].Incarnation == n.incarnation {
			return true
		}
	}
	return false
}

// known tells whether a running node among these is meant.
func (w *world) known(ref *ownership.Ref, among uint32) bool {
	for m := among; m != 0; m &= m - 1 {
		n := w.nodes[bits.TrailingZeros32(m)]
		if n.spec.Name == ref.Name && n.incarnation == ref.Incarnation && n.machine != nil && !n.frozen {
			return true
		}
	}
	return false
}

// partMisowns compares who accepts with the table of the view.
func (c *checks) partMisowns(w *world, p *part, v *ownership.View) string {
	for pool, first := range w.nodes[0].datapath.first {
		table := w.table(v, pool)
		for b := range int(w.s.Pools[pool].Buckets) {
			set := c.accept[first+b] & p.reach
			if table[b] < 0 && set == 0 && !w.served(pool, p.members) {
				continue
			}
			if bits.OnesCount32(set) != 1 {
				return "not one owner for each bucket"
			}
			n := w.nodes[bits.TrailingZeros32(set)]
			if int(table[b]) >= len(v.Members) || table[b] < 0 || v.Members[table[b]].Name != n.spec.Name {
				return "not the owners of the view's table"
			}
		}
	}
	return ""
}

func (w *world) labels(set uint32) string {
	text := ""
	for ; set != 0; set &= set - 1 {
		text += " " + w.nodes[bits.TrailingZeros32(set)].spec.Label
	}
	return text[1:]
}
