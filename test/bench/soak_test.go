//go:build soak

package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
)

var minutes = flag.Float64("minutes", 10, "how long the clusters are watched under load")

// hogsPerCore is how many busy processes compete for each core.
const hogsPerCore = 2

// TestUnderLoad watches two clusters of three, one at the default beat and one
// at the fast one, on a machine whose every core is busy: nothing fails, so
// nobody may take anything over. At the default beat that is held to; at the
// fast one it is only told.
func TestUnderLoad(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(*minutes*float64(time.Minute)))
	defer cancel()
	var watches []*watch
	for _, p := range profiles {
		watches = append(watches, newWatch(t, serving(t, 3, p), p))
	}
	stop, err := watches[0].lab.Load(hogsPerCore * runtime.NumCPU())
	must(t, err)
	var watching sync.WaitGroup
	for _, w := range watches {
		watching.Go(func() { w.run(ctx) })
	}
	watching.Wait()
	load, _ := os.ReadFile("/proc/loadavg")
	must(t, stop())
	for _, w := range watches {
		must(t, w.err)
		changes := w.changes(t)
		t.Logf("beat %s, lease %s, %g min at a load of %s:", w.p.interval, w.p.lease, *minutes, strings.Fields(string(load))[0])
		t.Logf("  %d views after the first; events: %s", changes, w.told())
		t.Logf("  %s", w.pauses)
		t.Logf("  the lease was over at %s", lapses(t, w.lab).since(w.before).worst())
		t.Logf("  clients: %s", w.flows)
		for _, line := range w.story {
			t.Log("    " + line)
		}
		if w.p == standard && (changes > 0 || len(w.events) > 0) {
			t.Errorf("at the default beat %d views and the events %s came without a cause", changes, w.told())
		}
	}
}

// storyBound bounds the events that are told one by one.
const storyBound = 60

// watch is a cluster under observation.
type watch struct {
	p      profile
	lab    *lab.Lab
	view   uint64 // number at the beginning
	before lapseCounts
	since  map[string]uint64 // the newest event of each node at the beginning

	mu     sync.Mutex
	events map[string]int // by kind, of all nodes, since the beginning
	story  []string       // the first of them
	pauses pauses
	flows  probe.FlowReport
	err    error
}

func newWatch(t *testing.T, l *lab.Lab, p profile) *watch {
	t.Helper()
	w := &watch{p: p, lab: l, since: make(map[string]uint64), events: make(map[string]int)}
	all, err := l.WaitAgreed(soon(t))
	must(t, err)
	w.view = all[0].View.Number
	w.before = lapses(t, l)
	for _, n := range l.Nodes() {
		must(t, n.API().Events(soon(t), 0, false, func(e api.Event) error {
			w.since[n.Name()] = e.Seq
			return nil
		}))
	}
	return w
}

// run watches until ctx ends.
func (w *watch) run(ctx context.Context) {
	var parts sync.WaitGroup
	part := func(do func() error) {
		parts.Go(func() {
			err := do()
			w.mu.Lock()
			defer w.mu.Unlock()
			w.err = errors.Join(w.err, err)
		})
	}
	part(func() (err error) { w.pauses, err = newBeats(w.lab, w.p).run(ctx); return err })
	part(func() error { return sample(ctx, w.lab.Client()) })
	part(func() (err error) { w.flows, err = w.ask(ctx); return err })
	for _, n := range w.lab.Nodes() {
		part(func() error {
			err := n.API().Events(ctx, w.since[n.Name()], true, func(e api.Event) error {
				w.note(n.Name(), e)
				return nil
			})
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("the events of %s ended: %w", n.Name(), err)
		})
	}
	parts.Wait()
}

func (w *watch) ask(ctx context.Context) (probe.FlowReport, error) {
	flows, err := w.lab.Client().Flows(probe.FlowOptions{To: web(), Flows: 24, Every: 50 * time.Millisecond, Patience: time.Second})
	if err != nil {
		return probe.FlowReport{}, err
	}
	return flows.Run(ctx)
}

func (w *watch) note(teller string, e api.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events[e.Kind]++
	if len(w.story) < storyBound {
		w.story = append(w.story, fmt.Sprintf("%s %s: %s", e.Time.Format("15:04:05.000"), teller, e.Text))
	}
}

// changes is how many views were proposed since the beginning.
func (w *watch) changes(t *testing.T) uint64 {
	t.Helper()
	var newest uint64
	for _, n := range w.lab.Nodes() {
		s, err := n.Status(soon(t))
		must(t, err)
		newest = max(newest, s.View.Number)
	}
	return newest - w.view
}

func (w *watch) told() string {
	var all []string
	for _, kind := range slices.Sorted(maps.Keys(w.events)) {
		all = append(all, fmt.Sprintf("%d %s", w.events[kind], kind))
	}
	if all == nil {
		return "none"
	}
	return strings.Join(all, ", ")
}
