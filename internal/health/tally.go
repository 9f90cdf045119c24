package health

import "time"

// Result is one run of a check.
type Result struct {
	// Level is OK, Warn (passed, but worth a look) or Leave (failed).
	Level Level
	Text  string // what was seen, above all why it is not OK: one line
}

// Tally judges the results of one check. The zero Tally has none.
type Tally struct {
	Ladder ladder
	Begun  bool
	Failed bool // by rise and fall
	Others int  // results in a row that say otherwise
}

// Anew asks for the next result to be a verdict, unless the check has failed: whoever joins
// with a check has not seen it pass.
func (t *Tally) Anew() { t.Begun = t.Failed }

// Unseen: for so long there were no results. That counts for no patience.
func (t *Tally) Unseen(gap time.Duration) { t.Ladder.unseen(gap) }

// Result takes a result. The first is a verdict at once; after it rise passes
// in a row are needed to pass again, and fall failures in a row to fail.
func (t *Tally) Result(now Time, rise, fall int, r Result) State {
	failed := r.Level == Leave
	need := rise
	if failed {
		need = fall
	}
	if failed == t.Failed {
		t.Others = 0
	} else if t.Others++; t.Others >= need || !t.Begun {
		t.Failed, t.Others = failed, 0
	}
	t.Begun = true

	level := r.Level
	switch {
	case t.Failed:
		level = Leave
	case failed: // but not often enough to count
		level = min(t.Ladder.Level, Warn)
	}
	t.Ladder.move(now, level, level, 0)
	return State{
		Level: t.Ladder.Level, Since: t.Ladder.Since, Seen: r.Level, Held: t.Ladder.held(now, 0),
		Reading: Reading{Text: r.Text},
	}
}
