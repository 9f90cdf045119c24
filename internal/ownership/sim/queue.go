package sim

import (
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// kind of a thing that happens at a true time.
type kind uint8

const (
	evOp       kind = iota // the next line of the story
	evArrive               // a beat reaches a node's interface
	evSchedule             // a slow node gets the processor
	evWake                 // the timer that the daemon asked for
	evResume               // a daemon that dawdled goes on to its next effect
	evExpire               // a lease may be over
	evLive                 // the daemon looks which lingering connections still live
	evFlip                 // a link that flips changes
	evLearned              // a pair has heard each other long enough to know
	evReturn               // a daemon that restarts is back
	evAudit                // the checks that look at time passing
)

// event is one entry of the queue. gen guards against entries that outlived
// their reason; what it counts depends on the kind.
type event struct {
	at   time.Duration
	seq  uint64
	beat *ownership.Beat
	gen  uint32
	kind kind
	node uint8
	peer uint8
	path ownership.Path
}

// queue is a four-way heap ordered by time, then by order of entry.
type queue struct {
	heap []event
	seq  uint64
}

func (q *queue) push(e event) {
	q.seq++
	e.seq = q.seq
	q.heap = append(q.heap, e)
	i := len(q.heap) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !before(&e, &q.heap[parent]) {
			break
		}
		q.heap[i] = q.heap[parent]
		i = parent
	}
	q.heap[i] = e
}

func (q *queue) pop() event {
	top := q.heap[0]
	last := len(q.heap) - 1
	e := q.heap[last]
	q.heap[last].beat = nil
	q.heap = q.heap[:last]
	if last == 0 {
		return top
	}
	i := 0
	for {
		first := 4*i + 1
		if first >= last {
			break
		}
		least := first
		for c := first + 1; c < first+4 && c < last; c++ {
			if before(&q.heap[c], &q.heap[least]) {
				least = c
			}
		}
		if !before(&q.heap[least], &e) {
			break
		}
		q.heap[i] = q.heap[least]
		i = least
	}
	q.heap[i] = e
	return top
}

func before(a, b *event) bool {
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}
