package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// pair is two nodes and whether they hear each other. After links between
// them have healed they need some time to learn of each other; having
// learned, they never overlap.
type pair struct {
	good    bool
	learned bool
	since   time.Duration // when learning began; never: it has not
	healed  time.Duration // when good began
	gen     uint32
	shared  int // buckets that both accept
	overlap time.Duration
}

// newPairs: nobody owns anything yet, so there is nothing to learn.
func newPairs(nodes []*node, net *network, interval time.Duration) []pair {
	pairs := make([]pair, len(nodes)*len(nodes))
	for i := range pairs {
		from, to := i/len(nodes), i%len(nodes)
		good := from != to && net.hearByService(from, to, interval)
		pairs[i] = pair{good: good, learned: good, since: never}
	}
	return pairs
}

func (net *network) hearByService(i, j int, interval time.Duration) bool {
	return net.link(i, j).good(interval) && net.link(j, i).good(interval)
}

// hear tells whether two nodes hear each other by some path.
func (w *world) hear(i, j int) bool { return w.hears(i, j) && w.hears(j, i) }

// pair of two nodes, in any order.
func (c *checks) pair(i, j int) *pair {
	if i > j {
		i, j = j, i
	}
	return &c.pairs[i*c.side+j]
}

// learnPairs looks which pairs can hear each other now.
func (c *checks) learnPairs(w *world) {
	for i, a := range w.nodes {
		for j := i + 1; j < len(w.nodes); j++ {
			b := w.nodes[j]
			p := c.pair(i, j)
			good := w.hear(i, j)
			if !good {
				p.good, p.learned, p.since = false, false, never
				continue
			}
			if !p.good {
				p.good, p.healed = true, w.now
			}
			if p.learned {
				continue
			}
			if a.sick(w.s.Interval) || b.sick(w.s.Interval) {
				p.since = never
			} else if p.since == never {
				p.since = w.now
				p.gen++
				w.queue.push(event{at: w.now + c.bounds.heal, kind: evLearned, node: uint8(i), peer: uint8(j), gen: p.gen})
			}
		}
	}
}

// learn is the end of a pair's time to learn.
func (c *checks) learn(w *world, i, j int, gen uint32) {
	p := c.pair(i, j)
	if p.since == never || p.gen != gen {
		return
	}
	p.learned, p.since = true, never
	if p.shared > 0 {
		c.twoOwners(w, w.nodes[i], w.nodes[j], p)
		return
	}
	for b := range c.linger {
		if c.linger[b] != 0 && c.mine[b] != 0 {
			c.checkReset(w, b)
		}
	}
}

// overlap is a bucket that two nodes accept from now on.
func (c *checks) overlap(w *world, a, b *node, bucket int) {
	p := c.pair(a.id, b.id)
	if p.shared++; p.shared == 1 {
		p.overlap = w.now
	}
	if w.s.Quorum != 0 || p.learned && !w.missed(a, b) && !w.missed(b, a) {
		c.twoOwners(w, a, b, p)
	}
}

// missed tells whether n's daemon ended to be restarted before o's began, and o finds nobody who heard
// that it would: so o cannot know (docs/agreement.md, "Hold").
func (w *world) missed(n, o *node) bool {
	if n.machine != nil || n.restart.state == nil || o.machine == nil || o.started < n.restart.left {
		return false
	}
	return !slices.ContainsFunc(w.nodes, func(m *node) bool {
		return w.found(o, m) && n.restart.toldTo(m)
	})
}

// found: what m knows o can know.
func (w *world) found(o, m *node) bool {
	return m == o || o.last != nil && memberOf(&o.last.View, m) ||
		w.checks.pair(o.id, m.id).learned && !m.sick(w.s.Interval)
}

// toldTo: m promised to hold what the daemon owned, which its next start knows too, or still runs and
// heard the daemon when it ended.
func (r *restart) toldTo(m *node) bool {
	member := func(v ownership.Member) bool { return v.Name == m.spec.Name }
	heard := func(e ownership.Echo) bool {
		return e.Name == m.spec.Name && e.Incarnation == m.incarnation && !e.Silent
	}
	return slices.ContainsFunc(r.last.View.Members, member) || slices.ContainsFunc(r.last.Echo, heard)
}

// meet is n's daemon that is back from a restart: whoever missed it has to learn of it first.
func (c *checks) meet(w *world, n *node) {
	for _, o := range w.nodes {
		if o != n && w.missed(n, o) {
			p := c.pair(n.id, o.id)
			p.learned, p.since = false, never
		}
	}
}

// parted is a bucket that n accepts no more.
func (c *checks) parted(w *world, n *node, b int) {
	for o := range w.nodes {
		if c.accept[b]&(1<<o) == 0 {
			continue
		}
		p := c.pair(n.id, o)
		if p.shared--; p.shared == 0 && p.good {
			w.stats.Overlap.add(w.s, w.now-max(p.overlap, p.healed))
		}
	}
}

func (c *checks) twoOwners(w *world, a, b *node, p *pair) {
	if w.failure != nil {
		return
	}
	bucket := 0
	for i, set := range c.accept {
		if set&a.bit != 0 && set&b.bit != 0 {
			bucket = i
			break
		}
	}
	why := "and hear each other"
	if w.s.Quorum != 0 {
		why = "under quorum majority"
	}
	w.fail(RuleExclusion, fmt.Sprintf("%s and %s both accept %s (%v and %v), %s; %s's lease is over in %v, %s's in %v",
		a.spec.Label, b.spec.Label, w.bucketName(bucket), a.datapath.states[bucket], b.datapath.states[bucket], why,
		a.spec.Label, a.datapath.end-w.now, b.spec.Label, b.datapath.end-w.now))
}
