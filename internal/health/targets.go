package health

import (
	"cmp"
	"slices"
)

// Target is one of several things outside that a sign looks at.
type Target struct {
	Name  string // in words that all nodes have for it
	Value float64
	Text  string
}

// TargetState is what is known of a target.
type TargetState struct {
	Target string
	State
}

// Targets judges a sign that looks at several targets, each for itself: all nodes may
// have lost one of them while this node alone loses another. The zero Targets has read nothing.
type Targets struct{ all []watched }

type watched struct {
	name  string
	watch Watch
	state State
}

// Read takes a reading of the sign. The state is that of the worst target, and has those
// that are not well; one that is no longer looked at stays for as long as one that is well again.
func (t *Targets) Read(now Time, rule Rule, r Reading) State {
	for _, x := range r.Targets {
		if !slices.ContainsFunc(t.all, func(w watched) bool { return w.name == x.Name }) {
			t.all = append(t.all, watched{name: x.Name})
		}
	}
	whole := State{Reading: r}
	for i := range t.all {
		w := &t.all[i]
		one := Reading{Answer: CannotTell, Text: w.name + ": no longer looked at"}
		if j := slices.IndexFunc(r.Targets, func(x Target) bool { return x.Name == w.name }); j >= 0 {
			one = Reading{Value: r.Targets[j].Value, Text: r.Targets[j].Text}
		}
		w.state = w.watch.Read(now, rule, one)
		if i == 0 || w.state.worseThan(whole) {
			whole.Level, whole.Since, whole.Limit, whole.Held = w.state.Level, w.state.Since, w.state.Limit, w.state.Held
		}
		whole.Seen = max(whole.Seen, w.state.Seen)
		if max(w.state.Level, w.state.Seen) > OK {
			whole.Targets = append(whole.Targets, TargetState{w.name, w.state})
		}
	}
	t.all = slices.DeleteFunc(t.all, func(w watched) bool {
		return w.state.Reading.Answer == CannotTell && w.state.Level == OK
	})
	return whole
}

// worseThan: of two that are equally ill one that is still seen so is worse, and then the older.
func (s State) worseThan(other State) bool {
	return cmp.Or(cmp.Compare(s.Level, other.Level), cmp.Compare(s.Seen, other.Seen), cmp.Compare(other.Since, s.Since)) > 0
}
