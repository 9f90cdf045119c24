package health

import (
	"cmp"
	"slices"
	"time"
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
type Targets struct{ All []watched }

type watched struct {
	Name  string
	Watch Watch
	State State
}

// Unseen is as of Watch.
func (t *Targets) Unseen(gap time.Duration) {
	for i := range t.All {
		t.All[i].Watch.Unseen(gap)
	}
}

// Read takes a reading of the sign. The state is that of the worst target, and has those
// that are not well; one that is no longer looked at stays for as long as one that is well again.
func (t *Targets) Read(now Time, rule Rule, r Reading) State {
	for _, x := range r.Targets {
		if !slices.ContainsFunc(t.All, func(w watched) bool { return w.Name == x.Name }) {
			t.All = append(t.All, watched{Name: x.Name})
		}
	}
	whole := State{Reading: r}
	for i := range t.All {
		w := &t.All[i]
		one := r
		if r.Answer != Broken {
			one = Reading{Answer: CannotTell, Text: w.Name + ": no longer looked at"}
		}
		if j := slices.IndexFunc(r.Targets, func(x Target) bool { return x.Name == w.Name }); j >= 0 {
			one = Reading{Value: r.Targets[j].Value, Text: r.Targets[j].Text}
		}
		w.State = w.Watch.Read(now, rule, one)
		if i == 0 || w.State.worseThan(whole) {
			whole.Level, whole.Since, whole.Limit, whole.Held = w.State.Level, w.State.Since, w.State.Limit, w.State.Held
		}
		whole.Seen = max(whole.Seen, w.State.Seen)
		if max(w.State.Level, w.State.Seen) > OK {
			whole.Targets = append(whole.Targets, TargetState{w.Name, w.State})
		}
	}
	t.All = slices.DeleteFunc(t.All, func(w watched) bool {
		return w.State.Reading.Answer == CannotTell && w.State.Level == OK
	})
	return whole
}

// worseThan: of two that are equally ill one that is still seen so is worse, and then the older.
func (s State) worseThan(other State) bool {
	return cmp.Or(cmp.Compare(s.Level, other.Level), cmp.Compare(s.Seen, other.Seen), cmp.Compare(other.Since, s.Since)) > 0
}
