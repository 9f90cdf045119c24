package sign

import (
	"sync"
	"time"
)

// moment is how long an answer serves those who ask the same. They are to be asked at the same
// time, and no look is repeated as soon.
const moment = 50 * time.Millisecond

// together asks once for several signs that look at the same thing.
type together[T any] struct {
	ask func() (T, error)
	now func() time.Time

	mu     sync.Mutex
	at     time.Time // of the answer, zero if there is none
	answer T
	err    error
}

func (t *together[T]) get() (T, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := t.now(); t.at.IsZero() || now.Sub(t.at) >= moment {
		t.answer, t.err = t.ask()
		t.at = now
	}
	return t.answer, t.err
}
