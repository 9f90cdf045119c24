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
	change := []string{"B proposes view 2 {BC}, the bucket to B", "C adopts view 2"}
	rows := []struct {
		fault               Fault
		proposals, restarts int
		begin               []string // so that the way to go is not too long
	}{
		{LeaseOnSend, 1, 0, nil},
		{NoFence, 1, 0, nil},
		{SameViewAgain, 1, 0, nil},
		{KeepAfterLapse, 2, 0, change},
		{NewerPromise, 2, 0, []string{"B proposes view 2 {BC}, the bucket to C"}},
		{NoRelease, 1, 0, nil},
		{NoStartWait, 1, 1, nil},
		{EarlyPromise, 2, 1, change},
		{OldPromise, 2, 0, []string{
			"B proposes view 2 {BC}, the bucket to C",
			"the lease of B ends: L after the beat it rests on",
			"C proposes view 2 {AC}, the bucket to A",
			"the lease of A ends: L after the beat it rests on",
		}},
		{StickyFenced, 2, 0, []string{
			"B proposes view 2 {AB}, the bucket to A",
			"the lease of A ends: L after the beat it rests on",
			"A adopts view 2",
		}},
		{Minority, 1, 0, nil},
		{StaleReady, 2, 0, change},
		{EarlyReturn, 2, 0, change},
	}
	for _, row := range rows {
		t.Run(row.fault.String(), func(t *testing.T) {
			t.Parallel()
			bounds := Bounds{Views: 3, Proposals: row.proposals, Restarts: row.restarts, Begin: row.begin}
			r := explore(t, bounds, row.fault)
			if r.Story == "" {
				t.Fatal("the model does not mind that this rule is broken")
			}
			t.Logf("two owners after %d more moves:\n%s", strings.Count(r.Story, "\n")-1, r.Story)
		})
	}
}

// A model that never does anything shows nothing either: these are ways that
// the cluster must be able to go.
func TestWays(t *testing.T) {
	rows := []struct {
		name string
		way  []string
	}{
		{"a node is cut off, its lease ends, another takes over", []string{
			"B proposes view 2 {BC}, the bucket to B",
			"C adopts view 2",
			"C: fence for A over, L_take after its beat",
			"B: fence for A over, L_take after its beat",
			"C promises B, and says that it is ready",
			"B accepts",
		}},
		{"a bucket moves between live nodes, with no fence to wait for", []string{
			"B proposes view 2 {ABC}, the bucket to B",
			"A adopts view 2",
			"C adopts view 2",
			"A drops",
			"A promises B, and says that it is ready",
			"C promises B, and says that it is ready",
			"B accepts",
		}},
		{"a node that restarted is taken in and given the bucket, without waiting for the view that left it out", []string{
			"B proposes view 2 {BC}, the bucket to B",
			"C adopts view 2",
			"A crashes and restarts",
			"C promises B, and says that it is ready",
			"B accepts",
			"A: fence for B over, L_take after its beat",
			"A: fence for C over, L_take after its beat",
			"C proposes view 2 {ABC}, the bucket to A",
			"A adopts view 2",
			"C promises A, and says that it is ready",
			"B adopts view 2",
			"B drops",
			"B promises A, and says that it is ready",
			"A has a lease by the promise of C",
			"A accepts",
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r, err := Explore(Bounds{Views: 3, Proposals: 2, Restarts: 1, States: 1, Begin: row.way}, 0)
			if err != nil {
				t.Fatal(err)
			}
			if r.Story != "" {
				t.Fatal(r.Story)
			}
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
		HoldUnsaid:       "leases of H on promises of L",
		HoldUnfenced:     "fences of Take(L) for promises of H",
		Shortened:        "a fence that a later promise makes shorter",
	} {
		if states, early := Fences(wrong); !early {
			t.Errorf("%s: not noticed in %d states", what, states)
		}
	}
}
