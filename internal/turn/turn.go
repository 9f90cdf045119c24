// Package turn lets no look begin while one at the same thing has not come back.
//
// A system call that a dead file server does not answer cannot be given up: it keeps its thread. Whoever is
// to look next, be it another configuration's, waits for the turn instead of keeping one more.
package turn

import "context"

// Turn is had by one look at a time.
type Turn chan struct{}

// New returns a turn that nobody has.
func New() Turn { return make(Turn, 1) }

// Take waits for the turn, and tells whether it was got before ctx was over.
func (t Turn) Take(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case t <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// Give gives the turn back.
func (t Turn) Give() { <-t }
