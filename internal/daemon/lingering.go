package daemon

import (
	"slices"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// settling is how long a packet that the filter has passed may be on its way to
// its socket (behind RPS on a busy processor), and a look at the sockets may miss
// the connection that it opens.
const settling = 50 * time.Millisecond

// lingering remembers since when each bucket has been handed over, so that a
// look at the host's sockets never ends one that it came too early for, and
// none outlasts the pool's drain timeout.
type lingering struct {
	timeouts []time.Duration // per pool
	// drainTimeout is a drain's own, which counts instead; 0: it has none.
	drainTimeout time.Duration
	since        []map[uint32]ownership.Time
	// connections are those in what lingered at the last look at the sockets.
	connections []int
}

func newLingering(timeouts []time.Duration) *lingering {
	l := &lingering{timeouts: timeouts, since: make([]map[uint32]ownership.Time, len(timeouts)), connections: make([]int, len(timeouts))}
	for i := range l.since {
		l.since[i] = map[uint32]ownership.Time{}
	}
	return l
}

// lingersOn is what is remembered for these pools, by their names as before.
func (l *lingering) lingersOn(before, pools []string, timeouts []time.Duration) *lingering {
	next := newLingering(timeouts)
	next.drainTimeout = l.drainTimeout
	for i, pool := range pools {
		if was := slices.Index(before, pool); was >= 0 {
			next.since[i] = l.since[was]
		}
	}
	return next
}

// follow notes which buckets of the pool linger by its new table.
func (l *lingering) follow(pool int, states []ownership.BucketState, now ownership.Time) {
	for b, s := range states {
		k := uint32(b)
		if s != ownership.Lingering {
			delete(l.since[pool], k)
			continue
		}
		if _, ok := l.since[pool][k]; !ok {
			l.since[pool][k] = now
		}
	}
}

// timeout of a pool's handovers now.
func (l *lingering) timeout(pool int) time.Duration {
	if l.drainTimeout > 0 {
		return l.drainTimeout
	}
	return l.timeouts[pool]
}

// left is for how long at most the pool may have connections in what was handed over.
func (l *lingering) left(pool int, now ownership.Time) time.Duration {
	var most time.Duration
	for _, since := range l.since[pool] {
		most = max(most, since+l.timeout(pool)-now)
	}
	return most
}

// count the connections, by bucket, that a look at the sockets has found in what lingers.
func (l *lingering) count(pool int, found []uint32) {
	l.connections[pool] = 0
	for b := range l.since[pool] {
		if int(b) < len(found) {
			l.connections[pool] += int(found[b])
		}
	}
}

// open are the pool's connections in what lingers, as of the last look at the sockets.
func (l *lingering) open(pool int) int {
	if len(l.since[pool]) == 0 {
		return 0
	}
	return l.connections[pool]
}

// any tells whether anything lingers.
func (l *lingering) any() bool {
	for _, s := range l.since {
		if len(s) > 0 {
			return true
		}
	}
	return false
}

// keep decides which of the pool's lingering buckets go on, given a look at
// the sockets that began at looked: those with connections, and those that
// began to linger too late to be judged by it. The second result counts the
// buckets that reached the drain timeout with connections left.
func (l *lingering) keep(pool int, live ownership.Bitmap, looked, now ownership.Time) (keep ownership.Bitmap, expired int) {
	keep = live.Clone()
	timeout := l.timeout(pool)
	for b, since := range l.since[pool] {
		for uint32(len(keep)) <= b>>6 {
			keep = append(keep, 0)
		}
		switch {
		case now-since >= timeout:
			if keep.Has(b) {
				expired++
			}
			keep.Clear(b)
		case since+settling > looked:
			keep.Set(b)
		}
	}
	return keep, expired
}
