package peer

import "sync/atomic"

// Queue hands what is received from the goroutine of Run to a reader that may
// be slow. When it is full the oldest is dropped: of two beats the newer says more.
type Queue[T any] struct {
	c       chan T
	dropped atomic.Uint64
}

// NewQueue makes a queue for size elements, 1 or more.
func NewQueue[T any](size int) *Queue[T] {
	return &Queue[T]{c: make(chan T, max(1, size))}
}

// Put adds v and never waits.
func (q *Queue[T]) Put(v T) {
	for {
		select {
		case q.c <- v:
			return
		default:
		}
		select {
		case <-q.c:
			q.dropped.Add(1)
		default: // the reader was faster
		}
	}
}

// C is where the reader takes from. It is never closed.
func (q *Queue[T]) C() <-chan T { return q.c }

// Dropped counts what was dropped for newer ones.
func (q *Queue[T]) Dropped() uint64 { return q.dropped.Load() }
