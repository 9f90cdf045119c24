package daemon

import "time"

// spell is since when a node goes on although it would leave.
type spell struct {
	since time.Time // zero: it does not
	// before is since when it did when a ward or a daemon before this one ended. It is the same
	// spell if it goes on by rejoined: what is ill is to be seen again first.
	before, rejoined time.Time
}

// rejoinWithin is more than most signs have to last before they count.
const rejoinWithin = time.Minute

// carryOn takes what was the case before.
func (s *spell) carryOn(before, now time.Time) { s.before, s.rejoined = before, now.Add(rejoinWithin) }

func (s *spell) is(degraded bool, now time.Time) {
	switch {
	case !degraded:
		s.since = time.Time{}
	case s.since.IsZero():
		s.since = now
		if !s.before.IsZero() && now.Before(s.rejoined) {
			s.since = s.before
		}
		s.before = time.Time{}
	}
}

// told is since when, for whoever comes next.
func (s *spell) told(now time.Time) time.Time {
	if s.since.IsZero() && now.Before(s.rejoined) {
		return s.before
	}
	return s.since
}
