package health

import "time"

// LoadSteady is how long a host must be able to carry more before it is given more: an agent
// that swings moves buckets at most twice in that time, and what it carried least counts.
const LoadSteady = 5 * time.Second

// Load is what a host can carry, in percent, by the word of an agent. The zero Load has not been told.
type Load struct {
	known   bool
	percent int
	since   Time // since when more could be carried, 0: it cannot
	more    int  // the least of what was said since
}

// Told takes an agent's word: less at once, more when that has lasted.
func (l *Load) Told(now Time, percent int) {
	switch {
	case !l.known || percent <= l.percent:
		*l = Load{known: true, percent: percent}
		return
	case l.since == 0:
		l.since, l.more = max(now, 1), percent
	}
	if l.more = min(l.more, percent); now-l.since >= LoadSteady {
		*l = Load{known: true, percent: l.more}
	}
}

// Percent is 100 before anything was told.
func (l *Load) Percent() int {
	if !l.known {
		return 100
	}
	return l.percent
}
