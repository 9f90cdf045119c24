package health

import "time"

// LoadSteady is how long a host must be able to carry more before it is given more: an agent
// that swings moves buckets at most twice in that time, and what it carried least counts.
const LoadSteady = 5 * time.Second

// Load is what a host can carry, in percent, by the word of an agent. The zero Load has not been told.
type Load struct {
	Known bool
	Can   int  // in percent
	Since Time // since when more could be carried, 0: it cannot
	More  int  // the least of what was said since
}

// Told takes an agent's word: less at once, more when that has lasted.
func (l *Load) Told(now Time, percent int) {
	switch {
	case !l.Known || percent <= l.Can:
		*l = Load{Known: true, Can: percent}
		return
	case l.Since == 0:
		l.Since, l.More = max(now, 1), percent
	}
	if l.More = min(l.More, percent); now-l.Since >= LoadSteady {
		*l = Load{Known: true, Can: l.More}
	}
}

// Unseen: for so long nothing was told. More has not lasted meanwhile.
func (l *Load) Unseen(gap time.Duration) {
	if l.Since > 0 {
		l.Since += gap
	}
}

// Percent is 100 before anything was told.
func (l *Load) Percent() int {
	if !l.Known {
		return 100
	}
	return l.Can
}
