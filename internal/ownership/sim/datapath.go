package sim

import (
	"fmt"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// liveEvery is how often a daemon looks which lingering buckets still have connections.
const liveEvery = 150 * time.Millisecond

// datapath is what the kernel of a host does, with or without a daemon.
// Buckets of all pools stand in one row.
type datapath struct {
	first  []int // of each pool in the row
	states []ownership.BucketState
	// until is the lease as the daemon asked for it, and end the true time
	// from which the kernel accepts nothing.
	until    ownership.Time
	end      time.Duration
	expireAt time.Duration // of the evExpire in the queue; 0: none
	liveDue  bool          // an evLive is in the queue
	accepts  bool          // the host is up and the lease not over
	// connected is until when each bucket that the node no longer owns still
	// has connections here.
	connected []time.Duration
}

func newDatapath(s *Scenario) datapath {
	d := datapath{
		states:    make([]ownership.BucketState, s.Buckets()),
		connected: make([]time.Duration, s.Buckets()),
	}
	at := 0
	for _, p := range s.Pools {
		d.first = append(d.first, at)
		at += int(p.Buckets)
	}
	return d
}

func owns(s ownership.BucketState) bool {
	return s == ownership.Mine || s == ownership.Contested
}

// clear is what a new daemon does to the datapath that it finds.
func (w *world) clear(n *node) {
	w.renewLease(n, 0)
	for b := range n.datapath.states {
		w.setState(n, b, ownership.Foreign)
	}
	clear(n.datapath.connected)
	n.datapath.liveDue = false
}

func (w *world) setTable(n *node, t ownership.SetTable) {
	d := &n.datapath
	if t.Pool < 0 || t.Pool >= len(n.places) || len(t.States) != int(w.s.Pools[n.places[t.Pool]].Buckets) {
		w.fail(RuleContract, fmt.Sprintf("%s sets a table of %d buckets for pool %d", n.spec.Label, len(t.States), t.Pool))
		return
	}
	before := w.ownRow(n)
	lingers := false
	for i, state := range t.States {
		b := d.first[n.places[t.Pool]] + i
		lingers = lingers || state == ownership.Lingering
		if d.states[b] != state {
			w.mix(uint64(b)<<8 | uint64(state))
			w.setState(n, b, state)
		}
	}
	if lingers && !d.liveDue {
		d.liveDue = true
		w.queue.push(event{at: w.now + liveEvery, kind: evLive, node: uint8(n.id), gen: n.life})
	}
	w.tellTable(n, before)
	w.settle(n)
}

func (w *world) setState(n *node, b int, state ownership.BucketState) {
	d := &n.datapath
	from := d.states[b]
	d.states[b] = state
	if owns(from) && !owns(state) {
		n.gaveUp[b] = w.now
	}
	if owns(state) && !owns(from) {
		w.checks.heirs[b] = (w.checks.heirs[b] | ^n.bit) &^ n.bit
	}
	if d.accepts {
		w.shift(n, b, from, state)
	}
	if state == ownership.Foreign && n.machine != nil && !n.stopping {
		w.checks.forgotten(w, n, b)
	}
}

func (w *world) renewLease(n *node, until ownership.Time) {
	d := &n.datapath
	if until == 0 {
		d.until, d.end = 0, 0
		w.expire(n)
		return
	}
	d.until, d.end = until, n.clock.when(until)
	if d.end > w.now && n.up && !d.accepts {
		d.accepts = true
		w.tell(n, "may accept")
		for b, state := range d.states {
			w.shift(n, b, ownership.Foreign, state)
		}
	}
	w.watchLease(n)
}

// watchLease has the end of the lease looked at when it comes.
func (w *world) watchLease(n *node) {
	d := &n.datapath
	if d.accepts && (d.expireAt == 0 || d.end < d.expireAt) {
		d.expireAt = d.end
		w.queue.push(event{at: d.end, kind: evExpire, node: uint8(n.id)})
	}
}

// expire looks whether the lease is over, and if so nothing is accepted.
func (w *world) expire(n *node) {
	d := &n.datapath
	if !d.accepts {
		return
	}
	if n.up && w.now < d.end {
		w.watchLease(n)
		return
	}
	w.tell(n, "may accept nothing any more")
	w.checks.expired(w, n)
	for b, state := range d.states {
		w.shift(n, b, state, ownership.Foreign)
	}
	d.accepts = false
}

// powerOff takes everything away at once.
func (w *world) powerOff(n *node) {
	n.up = false
	w.endDaemon(n)
	n.restart = restart{rebooted: true}
	w.expire(n)
	for b := range n.datapath.states {
		n.datapath.states[b] = ownership.Foreign
	}
	clear(n.datapath.connected)
}

// shift is a bucket whose verdict at a node changes, lease included.
func (w *world) shift(n *node, b int, from, to ownership.BucketState) {
	if from == to {
		return
	}
	if owns(from) && !owns(to) {
		d := &n.datapath
		d.connected[b] = w.now + pick(&n.rng, 0, w.s.Interval, w.s.Lease, 3*w.s.Lease, 10*w.s.Lease)
	}
	w.checks.shifted(w, n, b, from, to)
}

// lookForConnections tells the daemon which lingering buckets still live.
func (w *world) lookForConnections(n *node) {
	d := &n.datapath
	d.liveDue = false
	lingers := false
	for place, p := range n.places {
		pool := w.s.Pools[p]
		any := false
		live := ownership.NewBitmap(pool.Buckets)
		for i := range int(pool.Buckets) {
			b := d.first[p] + i
			if d.states[b] == ownership.Lingering {
				any = true
				if d.connected[b] > w.now {
					live.Set(uint32(i))
				}
			}
		}
		if any {
			lingers = true
			n.inbox = append(n.inbox, ownership.Live{Pool: place, Buckets: live})
		}
	}
	if lingers {
		d.liveDue = true
		w.queue.push(event{at: w.now + liveEvery, kind: evLive, node: uint8(n.id), gen: n.life})
		w.pump(n)
	}
}
