package daemon

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/ownership"
)

const (
	// The first bin of the histogram counts what is late by at most so much, each of the
	// others by twice as much as the one before, and the last by anything more.
	leastLate = 125 * time.Microsecond
	lateBins  = 14
	// lateWindow: the worst of the last one to two is what a person is told.
	lateWindow = time.Minute
)

// lateness is how late the loop comes to what it has to do at a time: what the
// host's scheduler, the runtime and the loop's own work cost together. It
// belongs to the loop.
type lateness struct {
	log *slog.Logger
	// bears is how late a beat may be before peers count this node as silent, or its own
	// lease is in danger: the lease less two intervals.
	bears time.Duration

	bins  [lateBins]uint64
	worst time.Duration

	window       ownership.Time // when the current one began
	last, before time.Duration  // the worst in it, and in the one before
	told         ownership.Time // when it was last logged; 0: never
}

func newLateness(interval, lease time.Duration, log *slog.Logger) *lateness {
	return &lateness{bears: lease - 2*interval, log: log}
}

// done notes that what was due at a time is done now.
func (l *lateness) done(due, now ownership.Time) {
	if due == 0 {
		return // the first turn
	}
	late := max(now-due, 0)
	i := 0
	for limit := leastLate; late > limit && i < lateBins-1; limit *= 2 {
		i++
	}
	l.bins[i]++
	l.worst = max(l.worst, late)
	if age := now - l.window; age >= lateWindow {
		l.before = l.last
		if age >= 2*lateWindow {
			l.before = 0
		}
		l.last, l.window = 0, now
	}
	l.last = max(l.last, late)
	if late > l.bears/2 && (l.told == 0 || now-l.told >= lateWindow) {
		l.told = now
		l.log.Warn("the daemon ran late: the host keeps it from its processor", "late", late.Round(time.Millisecond), "bears", l.bears)
	}
}

// recent is the worst of the last minute or two.
func (l *lateness) recent(now ownership.Time) time.Duration {
	switch age := now - l.window; {
	case age >= 2*lateWindow:
		return 0
	case age >= lateWindow:
		return l.last
	default:
		return max(l.last, l.before)
	}
}

// tell fills in a status.
func (l *lateness) tell(h *api.Heartbeat, now ownership.Time) {
	h.LateMaxMS, h.LateRecentMS = millis(l.worst), millis(l.recent(now))
	limit := leastLate
	for i, n := range l.bins {
		bin := api.LateBin{UptoMS: millis(limit), Wakes: n}
		if i == lateBins-1 {
			bin.UptoMS = 0
		}
		h.Late = append(h.Late, bin)
		limit *= 2
	}
}

// warning is for those who should look at the host.
func (l *lateness) warning(now ownership.Time) (api.Warning, bool) {
	late := l.recent(now)
	return api.Warning{Code: api.WarnLate, Text: fmt.Sprintf(
		"the daemon ran up to %v late in the last minutes, and a lease of this length bears %v: the host is too busy, or keeps the daemon from real-time scheduling",
		late.Round(time.Millisecond), l.bears)}, late > l.bears/2
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
