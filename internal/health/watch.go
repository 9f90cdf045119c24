package health

import "time"

// Rule says when the readings of a sign are too much.
type Rule struct {
	Warn, Leave Limit
	Low         bool          // what counts is too little: a reading at the limit or below it
	For         time.Duration // every reading of so long must be past a limit before it counts
	Slack       float64       // a reading is good again when it has come back by this part of the limit
	Stay        time.Duration // readings must have been good for so long before the level goes down
}

// State is what is known of a sign or check.
type State struct {
	Level Level
	Since Time
	// Limit is the threshold that the level stands for, none with OK and of checks.
	Limit   Limit
	Reading Reading
	// Seen is the level of the newest reading alone, whatever For, Stay and patience say; one that is Broken
	// and has no value leaves it as it was.
	Seen Level
	// Held is how much longer the level stays although the readings are good.
	Held time.Duration
	// Targets are those that are not well, of a sign that looks at several.
	Targets []TargetState
}

// Watch judges the readings of one sign. The zero Watch has read nothing.
type Watch struct {
	Ladder ladder
	Past   [Leave + 1]bool // the readings have been past the level's limit,
	From   [Leave + 1]Time // since then
	Unread [Leave + 1]int  // how many things could not be read when one was last past the level's limit
	Looked Time            // when it was read last, 0: never
	Seen   Level           // by the last reading with a value
}

// Unseen: for so long nobody has looked. That counts neither as past a limit nor as good.
func (w *Watch) Unseen(gap time.Duration) {
	w.Ladder.unseen(gap)
	if w.Looked > 0 {
		w.Looked += gap
	}
	for level := range w.From {
		w.From[level] += gap
	}
}

// Read takes a reading. One without a value is no evidence of illness; one that should have a value
// is none that it is over either, as if nobody had looked: a host that stalls answers late, or not at all.
// One that could be read only partly makes ill, or keeps as ill, and makes better only if no less could be read than
// when it was ill. A level whose limit has been taken away since is left all the same.
func (w *Watch) Read(now Time, rule Rule, r Reading) State {
	limits := [...]Limit{OK: {}, Warn: rule.Warn, Leave: rule.Leave}
	past := rule.past(r)
	seen := highest(past)
	if r.Answer != Broken || r.valued() {
		w.Seen = seen
	}
	gap := time.Duration(0)
	if w.Looked > 0 {
		gap = now - w.Looked
	}
	if seen < w.Ladder.Level && limits[w.Ladder.Level].Set && w.unsure(w.Ladder.Level, r) {
		w.Unseen(gap)
		return State{
			Level: w.Ladder.Level, Since: w.Ladder.Since, Limit: limits[w.Ladder.Level], Reading: r,
			Seen: w.Seen, Held: w.Ladder.held(now, rule.Stay),
		}
	}
	w.Looked = max(now, 1)
	rise, keep := OK, OK
	for level := Warn; level <= Leave; level++ {
		if !past[level] && w.unsure(level, r) { // what could not be read may be past it
			w.From[level] += gap
			if w.Past[level] && limits[level].Set && level <= w.Ladder.Level {
				keep = level
			}
			continue
		}
		if past[level] && !w.Past[level] {
			w.From[level] = now
		}
		w.Past[level] = past[level]
		if past[level] && now-w.From[level] >= rule.For {
			rise = level
		}
		if r.valued() && limits[level].passed(r.Value, rule.Low, rule.Slack) && level <= w.Ladder.Level {
			keep = level
		}
		if past[level] || keep == level {
			w.Unread[level] = r.Unread
		}
	}
	w.Ladder.move(now, rise, max(rise, keep), rule.Stay)
	if seen > OK {
		r.Answer = Measured
	}
	return State{
		Level: w.Ladder.Level, Since: w.Ladder.Since, Limit: limits[w.Ladder.Level], Reading: r,
		Seen: w.Seen, Held: w.Ladder.held(now, rule.Stay),
	}
}

// unsure tells whether a reading that is not past the level's limit may not have shown what was. What could not
// be read then either was not it.
func (w *Watch) unsure(level Level, r Reading) bool {
	return r.Answer == Broken && (!r.valued() || r.Unread > w.Unread[level])
}

// past tells which limits a reading is past.
func (rule Rule) past(r Reading) (past [Leave + 1]bool) {
	past[Warn] = r.valued() && rule.Warn.passed(r.Value, rule.Low, 0)
	past[Leave] = r.valued() && rule.Leave.passed(r.Value, rule.Low, 0)
	return past
}

func highest(past [Leave + 1]bool) Level {
	switch {
	case past[Leave]:
		return Leave
	case past[Warn]:
		return Warn
	}
	return OK
}
