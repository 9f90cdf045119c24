package test

import (
	"context"
	"net/netip"
	"time"

	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
)

// How long a flow may go unanswered, on a busy machine. What a quiet one
// reaches is for the benchmarks.
const (
	takeover = 1500 * time.Millisecond // of a node that died
	locality = time.Second             // of the others
)

// witness sees what a client sees for as long as faults come and go: fixed flows
// ask all the time, and a tap reads what their sockets hide.
type witness struct {
	c      *cluster
	flows  *probe.Flows
	asking *probe.Running[probe.FlowReport]
	tapped *probe.Running[probe.TapReport]
}

// witness begins to ask and to look.
func (c *cluster) witness() *witness {
	c.t.Helper()
	return c.witnessAt(c.Shared()[0])
}

// witnessAt is witness of any shared address.
func (c *cluster) witnessAt(to netip.Addr) *witness {
	c.t.Helper()
	tap, err := c.OpenTap()
	must(c.t, err)
	flows, err := c.Client().Flows(probe.FlowOptions{To: web(to), Flows: 30, Every: 25 * time.Millisecond})
	must(c.t, err)
	w := &witness{c: c, flows: flows, tapped: probe.Start(context.Background(), tap.Run), asking: probe.Start(context.Background(), flows.Run)}
	c.t.Cleanup(func() { // no more than once: if the test ends before its time
		_, _ = w.asking.Stop()
		_, _ = w.tapped.Stop()
	})
	return w
}

// answered waits until every flow has been answered, so many times one after the other.
func (w *witness) answered(when string, times int) {
	w.c.t.Helper()
	for range times {
		if err := w.flows.WaitAnswered(soon(w.c.t)); err != nil {
			report, failed := w.asking.Stop()
			w.c.t.Fatalf("%s: %v; %s, %v; the client's neighbours: %v", when, err, report, failed, w.c.neighbours())
		}
	}
}

// judge ends the witness: nothing may have been answered twice, nor a connection
// been reset by another node than its own, unless that was lost; and nobody may
// have waited too long.
func (w *witness) judge(since time.Time, lost ...*lab.Node) {
	w.c.t.Helper()
	asked, seen := w.end()
	var dead []string
	for _, n := range lost {
		dead = append(dead, n.Name())
	}
	if err := seen.Check(dead...); err != nil {
		w.c.t.Error(err)
	}
	w.judgeWaits(asked, since, lost...)
}

// end of the witness, and what it has to say.
func (w *witness) end() (probe.FlowReport, probe.TapReport) {
	w.c.t.Helper()
	asked, err := w.asking.Stop()
	must(w.c.t, err)
	seen, err := w.tapped.Stop()
	must(w.c.t, err)
	w.c.t.Logf("%s; %s", asked, seen)
	return asked, seen
}

// judgeWaits expects that from since on no flow went unanswered for longer than
// the limits, allowing for what the client itself was held up.
func (w *witness) judgeWaits(asked probe.FlowReport, since time.Time, lost ...*lab.Node) {
	w.c.t.Helper()
	limits := make(map[string]time.Duration)
	for _, n := range lost {
		limits[n.Name()] = takeover
	}
	for _, gap := range asked.Gaps(since) {
		limit := max(limits[gap.Before], locality)
		if gap.Length > limit+asked.Stalled {
			w.c.t.Errorf("a flow went unanswered for %s between %q and %q, want %s at most (and the client's own delay of %s)",
				gap.Length.Round(time.Millisecond), gap.Before, gap.After, limit, asked.Stalled.Round(time.Millisecond))
		}
	}
}
