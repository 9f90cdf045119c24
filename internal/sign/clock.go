package sign

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/health"
)

// unsynchronised is for how long nobody has disciplined the clock, adjtimex(2).
type unsynchronised struct {
	now    func() time.Time
	status func() (int32, error)
	past   watchedFor
}

// watchedFor is how long something was so, of what was watched.
type watchedFor struct {
	For    time.Duration
	looked time.Time
}

// still tells for how long it has been so, if it still is.
func (w *watchedFor) still(now time.Time) time.Duration {
	if !w.looked.IsZero() {
		w.For += now.Sub(w.looked)
	}
	w.looked = now
	return w.For
}

func (u *unsynchronised) memory() any { return &u.past }

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
		u.past = watchedFor{}
		return measured(0, "synchronised")
	}
	seconds := u.past.still(u.now()).Seconds()
	return measured(seconds, "not synchronised for %.0f s that were watched", seconds)
}

// stepped is the largest jump of the clock of late: how much further it went
// than the time that passed.
type stepped struct {
	now func() time.Time
	// look gives the time that has passed since some moment, and what the clock has shown since then.
	look          func() (passed, shown time.Duration)
	passed, shown time.Duration
	begun         bool
	steps         []step
}

type step struct {
	At time.Time // by the clock as it was set then
	By time.Duration
}

func newStepped(now func() time.Time) sensor {
	start := now()
	return &stepped{now: now, look: func() (passed, shown time.Duration) {
		t := now()
		return t.Sub(start), t.Round(0).Sub(start.Round(0)) // without Round, Sub takes the monotonic clock
	}}
}

func (s *stepped) memory() any { return &s.steps }

// smallestStep: less is how a clock that is slewed differs between two looks.
const smallestStep = 50 * time.Millisecond

func (s *stepped) read() health.Reading {
	now := s.now()
	passed, shown := s.look()
	if by := ((shown - s.shown) - (passed - s.passed)).Abs(); s.begun && by >= smallestStep {
		s.steps = append(s.steps, step{now, by})
	}
	s.passed, s.shown, s.begun = passed, shown, true
	s.steps = slices.DeleteFunc(s.steps, func(x step) bool { return !within(now, x.At, memory) })
	most := time.Duration(0)
	for _, x := range s.steps {
		most = max(most, x.By)
	}
	if most == 0 {
		return measured(0, "no step in %v", memory)
	}
	return measured(most.Seconds(), "stepped by %v within %v", most.Round(time.Millisecond), memory)
}
