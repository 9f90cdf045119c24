package model

import (
	"flag"
	"strings"
	"testing"
	"time"
)

var (
	proposals = flag.Int("proposals", 0, "also run with that many views proposed (3 needs minutes); -1: any number")
	restarts  = flag.Int("restarts", 0, "and that many restarts; -1: any number")
	views     = flag.Int("views", 3, "and that many views that matter at one moment")
)

// explore runs and tells how much there was to see.
func explore(t *testing.T, b Bounds, f Fault) Result {
	t.Helper()
	began := time.Now()
	r, err := Explore(b, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v: %d states, %d moves tried, up to %d moves away, all visited: %v, in %v",
		b, r.States, r.Steps, r.Depth, r.Complete, time.Since(began).Round(10*time.Millisecond))
	return r
}

func TestOneOwner(t *testing.T) {
	rows := []struct {
		name   string
		bounds Bounds
	}{
		{"two view changes and any number of restarts, from a cluster in force", Bounds{Views: 3, Proposals: 2, Restarts: -1}},
		{"the first views, a change and any number of restarts, from nothing", Bounds{Views: 3, Proposals: 2, Restarts: -1, Cold: true}},
		{"any number of view changes, of which two matter at a time, without restarts", Bounds{Views: 2, Proposals: -1, Restarts: 0}},
	}
	if *proposals != 0 {
		rows = append(rows, struct {
			name   string
			bounds Bounds
		}{"as asked", Bounds{Views: *views, Proposals: *proposals, Restarts: *restarts}})
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := explore(t, row.bounds, 0)
			if r.Story != "" {
				t.Fatalf("two datapaths accept the bucket:\n%s", r.Story)
			}
			if !r.Complete {
				t.Fatal("the run is not complete")
			}
			for kind, count := range r.Moves {
				restarts := kind == actRestart.String() && row.bounds.Restarts == 0
				room := kind == actForget.String()
				if count == 0 && !restarts && !room {
					t.Errorf("no %q was ever possible: the run shows nothing about it", kind)
				}
			}
		})
	}
}

// A model that cannot fail shows nothing: each rule, left out, must lead to two
// owners.
func TestBrokenRules(t *testing.T) {
	one := Bounds{Views: 3, Proposals: 1}
	two := Bounds{Views: 3, Proposals: 2}
	crash := Bounds{Views: 3, Proposals: 1, Restarts: 1}
	both := Bounds{Views: 3, Proposals: 2, Restarts: 1}
	lapsed := Bounds{Views: 3, Proposals: 2, Begin: []string{
		"B proposes view 2 {AB}, the bucket to A",
		"the lease of A ends: L after the beat it rests on",
		"A adopts view 2",
	}}
	rows := []struct {
		fault  Fault
		bounds Bounds
	}{
		{LeaseOnSend, one},
		{NoFence, one},
		{SameViewAgain, two},
		{KeepAfterLapse, two},
		{NewerPromise, two},
		{NoRelease, one},
		{NoStartWait, crash},
		{EarlyPromise, both},
		{OldPromise, two},
		{StickyFenced, lapsed},
		{Minority, one},
		{StaleReady, two},
		{EarlyReturn, two},
	}
	for _, row := range rows {
		t.Run(row.fault.String(), func(t *testing.T) {
			t.Parallel()
			r := explore(t, row.bounds, row.fault)
			if r.Story == "" {
				t.Fatal("the model does not mind that this rule is broken")
			}
			t.Logf("two owners after %d moves:\n%s", strings.Count(r.Story, "\n")-1, r.Story)
		})
	}
}

// What the model without clocks takes for granted.
func TestFencesOutlastPromises(t *testing.T) {
	states, early := Fences(RightTiming)
	t.Logf("%d states", states)
	if early {
		t.Fatal("a fence was over while a promise was not")
	}
	for wrong, what := range map[Timing]string{
		NoDriftAllowance: "fences of L",
		FromReceipt:      "leases counted from the receipt of a promise",
		FromEcho:         "leases counted from the newest own beat",
	} {
		if states, early := Fences(wrong); !early {
			t.Errorf("%s: not noticed in %d states", what, states)
		}
	}
}
