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
	Level    Level
	Since    Time // of Level
	Calm     bool // everything asks for a lower level,
	CalmFrom Time // since then
	Dropped  bool // the last change was down
	Relapses int  // in a row
}

// move takes the level asked for: rise is the one to go up to, keep (not below
// rise) the one that is not left downward.
func (l *ladder) move(now Time, rise, keep Level, stay time.Duration) {
	if l.Since == 0 { // the first answer
		l.Since = max(now, 1)
	}
	switch {
	case rise > l.Level:
		l.relapsed(now)
		l.Level, l.Since, l.Calm, l.Dropped = rise, now, false, false
	case keep >= l.Level:
		l.Calm = false
	default:
		if !l.Calm {
			l.Calm, l.CalmFrom = true, now
		}
		if l.held(now, stay) == 0 {
			l.Level, l.Since, l.Calm, l.Dropped = keep, now, false, true
		}
	}
}

// unseen: for so long nobody has looked, which does not count as calm.
func (l *ladder) unseen(gap time.Duration) { l.CalmFrom += gap }

func (l *ladder) relapsed(now Time) {
	switch {
	case !l.Dropped: // the first time, or from bad to worse
	case now-l.Since >= Forget:
		l.Relapses = 0
	default:
		l.Relapses++
	}
}

// held is how much longer the level stays although everything asks for a lower one.
func (l *ladder) held(now Time, stay time.Duration) time.Duration {
	if !l.Calm {
		return 0
	}
	wait := time.Duration(0)
	if l.Relapses > 0 {
		wait = FirstPatience
	}
	for i := 1; i < l.Relapses && wait < MostPatience; i++ {
		wait *= 2
	}
	return max(0, max(stay, min(wait, MostPatience))-(now-l.CalmFrom))
}
