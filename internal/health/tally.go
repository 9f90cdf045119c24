package health

// Result is one run of a check.
type Result struct {
	// Level is OK, Warn (passed, but worth a look) or Leave (failed).
	Level Level
	Text  string // what was seen, above all why it is not OK: one line
}

// Tally judges the results of one check. The zero Tally has none.
type Tally struct {
	ladder ladder
	begun  bool
	failed bool // by rise and fall
	others int  // results in a row that say otherwise
}

// Result takes a result. The first is a verdict at once; after it rise passes
// in a row are needed to pass again, and fall failures in a row to fail.
func (t *Tally) Result(now Time, rise, fall int, r Result) State {
	failed := r.Level == Leave
	need := rise
	if failed {
		need = fall
	}
	if failed == t.failed {
		t.others = 0
	} else if t.others++; t.others >= need || !t.begun {
		t.failed, t.others = failed, 0
	}
	t.begun = true

	level := r.Level
	switch {
	case t.failed:
		level = Leave
	case failed: // but not often enough to count
		level = min(t.ladder.level, Warn)
	}
	t.ladder.move(now, level, level, 0)
	return State{
		Level: t.ladder.level, Since: t.ladder.since, Seen: r.Level, Held: t.ladder.held(now, 0),
		Reading: Reading{Text: r.Text},
	}
}
