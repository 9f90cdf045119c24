package sign

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/health"
)

// unsynchronised is for how long nobody has disciplined the clock, adjtimex(2).
type unsynchronised struct {
	now    func() time.Time
	status func() (int32, error)
	since  time.Time
}

func clockStatus() (int32, error) {
	var t unix.Timex
	_, err := unix.Adjtimex(&t)
	return t.Status, err
}

const staUnsync = 0x0040 // STA_UNSYNC, linux/timex.h

func (u *unsynchronised) read() health.Reading {
	status, err := u.status()
	if err != nil {
		return broken(err)
	}
	if status&staUnsync == 0 {
		u.since = time.Time{}
		return measured(0, "synchronised")
	}
	now := u.now()
	if u.since.IsZero() {
		u.since = now
	}
	seconds := now.Sub(u.since).Seconds()
	return measured(seconds, "not synchronised for %.0f s that were watched", seconds)
}

// stepped is the largest jump of the clock of late: how much further it went
// than the time that passed.
type stepped struct {
	// look gives the time that has passed since some moment, and what the clock has shown since then.
	look          func() (passed, shown time.Duration)
	passed, shown time.Duration
	begun         bool
	steps         []step
}

type step struct {
	at time.Duration
	by time.Duration
}

func newStepped(now func() time.Time) sensor {
	start := now()
	return &stepped{look: func() (passed, shown time.Duration) {
		t := now()
		return t.Sub(start), t.Round(0).Sub(start.Round(0)) // without Round, Sub takes the monotonic clock
	}}
}

// smallestStep: less is how a clock that is slewed differs between two looks.
const smallestStep = 50 * time.Millisecond

func (s *stepped) read() health.Reading {
	passed, shown := s.look()
	if by := ((shown - s.shown) - (passed - s.passed)).Abs(); s.begun && by >= smallestStep {
		s.steps = append(s.steps, step{passed, by})
	}
	s.passed, s.shown, s.begun = passed, shown, true
	for len(s.steps) > 0 && passed-s.steps[0].at >= memory {
		s.steps = s.steps[1:]
	}
	most := time.Duration(0)
	for _, x := range s.steps {
		most = max(most, x.by)
	}
	if most == 0 {
		return measured(0, "no step in %v", memory)
	}
	return measured(most.Seconds(), "stepped by %v within %v", most.Round(time.Millisecond), memory)
}
