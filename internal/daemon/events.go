package daemon

import (
	"sync"

	"github.com/rota-cluster/rota/internal/api"
)

// eventsKept is how many events those who ask afterwards can still read.
const eventsKept = 2048

// journal keeps the newest events. Any number of readers; adding never waits for them.
type journal struct {
	mu    sync.Mutex
	ring  []api.Event
	seq   uint64
	added chan struct{} // closed and replaced at each addition
}

func newJournal() *journal { return &journal{added: make(chan struct{})} }

// add numbers the event and keeps it.
func (j *journal) add(e api.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	e.Seq = j.seq
	if len(j.ring) < eventsKept {
		j.ring = append(j.ring, e)
	} else {
		j.ring[(j.seq-1)%eventsKept] = e
	}
	close(j.added)
	j.added = make(chan struct{})
}

// all are those kept, oldest first.
func (j *journal) all() []api.Event {
	events, _ := j.since(0)
	return events
}

// resume goes on with the events of an earlier daemon, oldest first.
func (j *journal) resume(events []api.Event) {
	if len(events) == 0 {
		return
	}
	j.seq = events[0].Seq - 1
	for _, e := range events {
		j.add(e)
	}
}

// since returns what came after seq and is still kept, oldest first, and a
// channel that is closed when there is more. A number that is still to come is
// of an earlier start: whoever asks so has seen nothing of this one.
func (j *journal) since(seq uint64) ([]api.Event, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if seq > j.seq {
		seq = 0
	}
	var es []api.Event
	for s := max(seq, j.seq-uint64(len(j.ring))) + 1; s <= j.seq; s++ {
		es = append(es, j.ring[(s-1)%eventsKept])
	}
	return es, j.added
}
