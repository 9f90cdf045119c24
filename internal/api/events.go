package api

import (
	"context"
	"sync"
	"time"
)

// Event is a change that a person can read afterwards.
type Event struct {
	Seq   uint64    `json:"seq"` // from 1 since the daemon's start, without gaps
	Time  time.Time `json:"time"`
	Kind  string    `json:"kind"`
	Node  string    `json:"node"` // whom it is about
	View  string    `json:"view,omitempty"`
	Text  string    `json:"text"`            // one line in plain words
	Moved int       `json:"moved,omitempty"` // buckets gained (+) or given away (-)
}

// EventLog keeps the newest events in memory. Any number of readers; adding
// never waits for them.
type EventLog struct {
	mu   sync.Mutex
	ring []Event
	last uint64        // Seq of the newest, 0 if none
	more chan struct{} // closed and replaced when one is added
}

// NewEventLog keeps room events, at least one.
func NewEventLog(room int) *EventLog {
	return &EventLog{ring: make([]Event, max(room, 1)), more: make(chan struct{})}
}

// Add numbers an event and keeps it.
func (l *EventLog) Add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	e.Seq = l.last
	l.ring[l.last%uint64(len(l.ring))] = e
	close(l.more)
	l.more = make(chan struct{})
}

// Since are the events after seq that are still kept, oldest first.
func (l *EventLog) Since(seq uint64) []Event {
	events, _ := l.since(seq)
	return events
}

// Wait is Since, once there is at least one. It ends with the context's error.
func (l *EventLog) Wait(ctx context.Context, seq uint64) ([]Event, error) {
	for {
		events, more := l.since(seq)
		if len(events) > 0 {
			return events, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-more:
		}
	}
}

func (l *EventLog) since(seq uint64) ([]Event, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	room := uint64(len(l.ring))
	if l.last > room {
		seq = max(seq, l.last-room)
	}
	var out []Event
	for s := seq + 1; s <= l.last && s > seq; s++ {
		out = append(out, l.ring[s%room])
	}
	return out, l.more
}
