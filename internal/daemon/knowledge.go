package daemon

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rota-cluster/rota/internal/check"
	"github.com/rota-cluster/rota/internal/health"
	"github.com/rota-cluster/rota/internal/ownership"
	"github.com/rota-cluster/rota/internal/sign"
	"github.com/rota-cluster/rota/internal/turn"
)

// knowledge is what a ward knows, for the one that comes in its place: after a reload, or in the next daemon.
// Without it an ill node would take its share back until it has been seen to be ill again, and what only a
// change tells, such as a file system that was remounted read-only, would be forgotten.
type knowledge struct {
	Boot   string         // under which the clock runs
	At     ownership.Time // when it was noted
	Checks []knownCheck
	Signs  []knownSign
	Blame  health.Blame
}

type knownCheck struct {
	ID checkID
	checkHistory
	turn turn.Turn
}

type knownSign struct {
	Name string
	signHistory
	turn  turn.Turn
	items []string // that turn is about
}

// checkID tells which check is the same one, however often it is made and whatever must be so for it to pass.
type checkID struct{ Pool, Name, Kind, Target string }

// checkHistory is what is known of a check.
type checkHistory struct {
	Tally health.Tally
	State health.State
	Last  check.Report
	Known bool // there is a verdict
	// Failure is the newest one.
	Failure failure
	// What the node can carry. A result that is lost says nothing of it: it does not make a busy node
	// a free one.
	Load health.Load
}

type failure struct {
	Text string
	At   time.Time // zero: there was none
}

// signHistory is what is known of a sign.
type signHistory struct {
	Watch   health.Watch
	Targets health.Targets // in place of Watch, of a sign that is Shared
	State   health.State
	Last    sign.Report
}

func (w *ward) id(c *checkSeat) checkID {
	return checkID{w.pools[c.pool].Name, c.Name, c.Kind, strings.Join(c.Target, "\x00")}
}

// knows is all that is known now; the caller has mu.
func (w *ward) knows() knowledge {
	k := knowledge{At: now(), Blame: health.Blame{Until: maps.Clone(w.blame.Until)}}
	for i := range w.ofChecks {
		c := &w.ofChecks[i]
		k.Checks = append(k.Checks, knownCheck{w.id(c), c.checkHistory, w.checks.Turn(i)})
	}
	for i := range w.ofSigns {
		s := &w.ofSigns[i]
		was := knownSign{s.Name, s.signHistory, w.signs.Turn(i), s.turnOf}
		was.Targets.All = slices.Clone(s.Targets.All)
		k.Signs = append(k.Signs, was)
	}
	return k
}

// learns takes over what was known of checks and signs that are still there. The next look at each
// goes on from there, by the thresholds of now. It is for before run.
func (w *ward) learns(k knowledge) {
	checks := map[checkID]knownCheck{}
	for _, was := range k.Checks {
		checks[was.ID] = was
	}
	for i := range w.ofChecks {
		c := &w.ofChecks[i]
		was := checks[w.id(c)]
		c.checkHistory = was.checkHistory
		c.Last.Check = i
		w.checks.Await(i, was.turn)
		last := c.Last
		if !c.Known { // who waits for a verdict does not wait for longer than it takes
			last.At = time.Time{}
		}
		if err := w.checks.Recall(i, last); err != nil {
			w.log.Warn("a check begins anew", "error", err)
		}
	}
	for i := range w.ofSigns {
		s := &w.ofSigns[i]
		s.signHistory = signHistory{}
		for _, was := range k.Signs {
			if was.Name != s.Name {
				continue
			}
			if s.Off { // it keeps the turn for when it is looked at again
				s.turnOf = was.items
			}
			if slices.Equal(was.items, s.turnOf) {
				w.signs.Await(i, was.turn)
			}
			if s.Off {
				continue
			}
			s.signHistory = was.signHistory
			s.Last.Sign = i
			if err := w.signs.Recall(i, s.Last.Memory); err != nil {
				w.log.Warn("a sign begins anew", "error", err)
			}
		}
	}
	w.blame = k.Blame
}

// anew is what counts for a daemon that starts anew: who joins a pool is to have seen its checks pass, and
// levels are of the past when nobody has looked for as long as it takes to forget a relapse.
func (k knowledge) anew(now ownership.Time) knowledge {
	if gap := now - k.At; gap < health.Forget {
		for i := range k.Checks {
			c := &k.Checks[i]
			c.Known = false
			c.Tally.Anew()
			c.Tally.Unseen(gap)
			c.Load.Unseen(gap)
			if c.State.Level < health.Leave { // it is no more than awaited: what was seen is of the past
				c.Last = check.Report{Memory: c.Last.Memory}
			}
		}
		for i := range k.Signs {
			k.Signs[i].Watch.Unseen(gap)
			k.Signs[i].Targets.Unseen(gap)
		}
		return k
	}
	k.Blame = health.Blame{}
	for i, c := range k.Checks {
		k.Checks[i].checkHistory = checkHistory{Last: check.Report{Memory: c.Last.Memory}}
	}
	for i, s := range k.Signs {
		k.Signs[i].signHistory = signHistory{Last: sign.Report{Memory: s.Last.Memory}}
	}
	return k
}
