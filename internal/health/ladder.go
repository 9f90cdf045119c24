package health

import "time"

// How patiently something that has been ill is met. Its first return is not
// delayed; then each relapse doubles the wait, until it has been well for
// Forget. What flaps as fast as it is looked at falls ill five times in the
// first minute, and in the end once in MostPatience.
const (
	FirstPatience = 5 * time.Second
	MostPatience  = 5 * time.Minute
	Forget        = 10 * time.Minute
)

// ladder holds a level: up at once, down only after stay and after the
// patience that relapses have earned.
type ladder struct {
	level    Level
	since    Time // of level
	calm     bool // everything asks for a lower level,
	calmFrom Time // since then
	dropped  bool // the last change was down
	relapses int  // in a row
}

// move takes the level asked for: rise is the one to go up to, keep (not below
// rise) the one that is not left downward.
func (l *ladder) move(now Time, rise, keep Level, stay time.Duration) {
	if l.since == 0 { // the first answer
		l.since = max(now, 1)
	}
	switch {
	case rise > l.level:
		l.relapsed(now)
		l.level, l.since, l.calm, l.dropped = rise, now, false, false
	case keep >= l.level:
		l.calm = false
	default:
		if !l.calm {
			l.calm, l.calmFrom = true, now
		}
		if l.held(now, stay) == 0 {
			l.level, l.since, l.calm, l.dropped = keep, now, false, true
		}
	}
}

func (l *ladder) relapsed(now Time) {
	switch {
	case !l.dropped: // the first time, or from bad to worse
	case now-l.since >= Forget:
		l.relapses = 0
	default:
		l.relapses++
	}
}

// held is how much longer the level stays although everything asks for a lower one.
func (l *ladder) held(now Time, stay time.Duration) time.Duration {
	if !l.calm {
		return 0
	}
	wait := time.Duration(0)
	if l.relapses > 0 {
		wait = FirstPatience
	}
	for i := 1; i < l.relapses && wait < MostPatience; i++ {
		wait *= 2
	}
	return max(0, max(stay, min(wait, MostPatience))-(now-l.calmFrom))
}
