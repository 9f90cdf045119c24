package health

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"
)

// Time is the time since an arbitrary origin, never going back.
type Time = time.Duration

// Level is how ill something is.
type Level uint8

const (
	// OK asks for nothing.
	OK Level = iota
	// Warn: worth a look; the node carries less if so configured.
	Warn
	// Leave: the node should serve no longer.
	Leave
)

var levelNames = [...]string{"ok", "warn", "leave"}

func (l Level) String() string { return nameOf(levelNames[:], uint8(l)) }

// UnmarshalJSON takes only levels that there are: what is written down may be of another version.
func (l *Level) UnmarshalJSON(text []byte) error {
	var n uint8
	if err := json.Unmarshal(text, &n); err != nil {
		return err
	}
	if n > uint8(Leave) {
		return fmt.Errorf("%d is no level", n)
	}
	*l = Level(n)
	return nil
}

// Answer is what became of an attempt to read a sign.
type Answer uint8

const (
	// Measured: there is a value.
	Measured Answer = iota
	// CannotTell: this kernel, this hardware or this container does not say.
	CannotTell
	// SwitchedOff: the configuration says not to look.
	SwitchedOff
	// Broken: it should be there and could not be read.
	Broken
)

var answerNames = [...]string{"measured", "cannot tell", "switched off", "broken"}

func (a Answer) String() string { return nameOf(answerNames[:], uint8(a)) }

func nameOf(names []string, i uint8) string {
	if int(i) < len(names) {
		return names[i]
	}
	return "unknown"
}

// Reading is one look at a sign.
type Reading struct {
	Answer Answer
	Value  float64 // if Measured
	Text   string  // what was seen, or why there is no value: one line
	// Unread is how many things could not be read, of a sign that is Broken for them; if it is not 0, Value is
	// of the worst of the others. What could not be read may be worse.
	Unread int
	// Targets are what it is about, of a sign that looks at several; Value is of the worst.
	Targets []Target
}

// valued tells whether Value says anything.
func (r Reading) valued() bool { return r.Answer == Measured || r.Answer == Broken && r.Unread > 0 }

// Limit is a threshold; the zero Limit is none.
type Limit struct {
	Of  float64
	Set bool
}

// At is the limit of that value.
func At(value float64) Limit { return Limit{Of: value, Set: true} }

// Value is the threshold, if there is one.
func (l Limit) Value() (float64, bool) { return l.Of, l.Set }

// passed tells whether v is at the limit or beyond it; with slack, whether it
// has come back by less than that part of the limit.
func (l Limit) passed(v float64, low bool, slack float64) bool {
	back := slack * max(l.Of, -l.Of)
	if low {
		return l.Set && cmp.Compare(v, l.Of+back) <= 0
	}
	return l.Set && cmp.Compare(v, l.Of-back) >= 0
}
