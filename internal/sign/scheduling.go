package sign

import (
	"time"

	"github.com/rota-cluster/rota/internal/health"
)

// scheduling is how late this process gets a core when it asks for one: the
// worst of a few short sleeps.
type scheduling struct{ now func() time.Time }

const (
	sleeps    = 5
	sleepTime = 2 * time.Millisecond
)

func (s scheduling) read() health.Reading {
	worst := time.Duration(0)
	for range sleeps {
		start := s.now()
		time.Sleep(sleepTime)
		worst = max(worst, s.now().Sub(start)-sleepTime)
	}
	ms := float64(worst) / float64(time.Millisecond)
	return measured(ms, "woke up to %.1f ms late", ms)
}
