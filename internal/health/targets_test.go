package health

import (
	"slices"
	"testing"
	"time"
)

func TestTargets(t *testing.T) {
	rule := Rule{Warn: At(3), Leave: At(5), Stay: 10 * time.Second}
	var all Targets
	for _, row := range []struct {
		name   string
		at     time.Duration
		a, b   float64 // 100: not looked at
		level  Level
		seen   Level
		unwell []string
	}{
		{"both answer", 0, 0, 0, OK, OK, nil},
		{"one is lost", 4 * time.Second, 4, 0, Warn, Warn, []string{"a warn"}},
		{"for longer", 6 * time.Second, 6, 0, Leave, Leave, []string{"a leave"}},
		{"the other too", 9 * time.Second, 9, 3, Leave, Leave, []string{"a leave", "b warn"}},
		{"the first answers", 10 * time.Second, 0, 4, Leave, Warn, []string{"a leave", "b warn"}},
		{"and has for a while", 20 * time.Second, 0, 4, Warn, Warn, []string{"b warn"}},
		{"the other is looked at no longer", 21 * time.Second, 0, 100, Warn, OK, []string{"b warn"}},
		{"and is forgotten", 31 * time.Second, 0, 100, OK, OK, nil},
		{"it comes back as a new one", 32 * time.Second, 0, 3, Warn, Warn, []string{"b warn"}},
	} {
		var r Reading
		for name, value := range map[string]float64{"a": row.a, "b": row.b} {
			if value != 100 {
				r.Targets = append(r.Targets, Target{Name: name, Value: value, Text: name})
			}
		}
		got := all.Read(row.at, rule, r)
		var unwell []string
		for _, x := range got.Targets {
			unwell = append(unwell, x.Target+" "+x.Level.String())
		}
		slices.Sort(unwell)
		if got.Level != row.level || got.Seen != row.seen || !slices.Equal(unwell, row.unwell) {
			t.Errorf("%s: %v, seen %v, %v", row.name, got.Level, got.Seen, unwell)
		}
	}
	if len(all.All) != 2 {
		t.Errorf("remembers %d", len(all.All))
	}
}

// The limit, since when and for how long are those of the worst.
func TestTargetsAreToldByTheWorst(t *testing.T) {
	rule := Rule{Warn: At(3), Leave: At(5), Stay: time.Minute}
	var all Targets
	all.Read(1*time.Second, rule, Reading{Targets: []Target{{Name: "a", Value: 4}, {Name: "b"}}})
	got := all.Read(2*time.Second, rule, Reading{Text: "both", Targets: []Target{{Name: "a"}, {Name: "b", Value: 5}}})
	if got.Level != Leave || got.Since != 2*time.Second || got.Limit != At(5) || got.Held != 0 || got.Reading.Text != "both" {
		t.Errorf("%+v", got)
	}
	got = all.Read(3*time.Second, rule, Reading{Targets: []Target{{Name: "a"}, {Name: "b"}}})
	if got.Level != Leave || got.Since != 2*time.Second || got.Held != time.Minute || got.Seen != OK {
		t.Errorf("%+v", got)
	}
	got = all.Read(2*time.Minute, rule, Reading{Answer: Broken, Text: "no socket"})
	if got.Level != Leave || len(got.Targets) != 2 || got.Targets[1].Level != Leave || got.Targets[1].Reading.Text != "no socket" {
		t.Errorf("what cannot be asked is not good again: %+v", got)
	}
	all.Read(3*time.Minute, rule, Reading{Targets: []Target{{Name: "a", Value: 9}, {Name: "b"}}})
	got = all.Read(4*time.Minute, rule, Reading{Answer: Broken, Text: "no socket"})
	if got.Seen != Leave || len(got.Targets) != 1 || got.Targets[0].Seen != Leave {
		t.Errorf("what was lost, and cannot be asked, is still lost: %+v", got)
	}
	if got := new(Targets).Read(0, rule, Reading{Answer: CannotTell, Text: "no default route"}); got.Level != OK || got.Reading.Text != "no default route" {
		t.Errorf("%+v", got)
	}
}
