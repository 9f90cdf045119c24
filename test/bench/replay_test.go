package bench

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
)

const (
	arrivalEvery = 5 * time.Millisecond // 200 a second
	// arrivalsAfter a takeover are waited for, 2 s: a SYN that is sent again is after 1 s.
	arrivalsAfter = 400
	// resetFlows and resetWithin: half of them are the lost node's, about.
	resetFlows  = 300
	resetWithin = 10 * time.Millisecond
)

// slowestWithin is what a new connection may wait for a survivor's answer.
func (p profile) slowestWithin() time.Duration {
	if p == fast {
		return 200 * time.Millisecond
	}
	return p.lease + 100*time.Millisecond
}

// BenchmarkNewInTakeover cuts a node off while 200 new connections a second
// arrive, and measures how long the slowest of those waited that a survivor answered:
// with replay, and as it is without.
func BenchmarkNewInTakeover(b *testing.B) {
	for _, p := range profiles {
		for _, without := range []bool{false, true} {
			name := p.String() + "/replay"
			if without {
				name = p.String() + "/no-replay"
			}
			b.Run(name, func(b *testing.B) {
				measured(b, func(b *testing.B) { newInTakeovers(b, p, without) })
			})
		}
	}
}

func newInTakeovers(b *testing.B, p profile, without bool) {
	const nodes = 3
	l := clusterAs(b, p, lab.Options{Nodes: nodes, NoReplay: without})
	var slowest []time.Duration
	var replayed uint64
	for i := range min(*cuts, nodes) {
		restart(b, l)
		lost := l.Node(i)
		time.Sleep(rand.N(p.interval)) // any moment between two beats is as likely as any other
		r, err := arrivalsInTakeover(soon(b), l, lost)
		must(b, err)
		slowest = append(slowest, r.Latency.Max)
		for _, n := range l.Others(lost) {
			s, err := n.Status(soon(b))
			must(b, err)
			replayed += s.Pools[0].SYNs.Replayed
		}
		b.Logf("%s cut off: %s", lost.Name(), r)
		must(b, lost.Heal())
	}
	worst := slices.Max(slowest)
	b.ReportMetric(milliseconds(worst), "slowest-ms")
	b.ReportMetric(float64(replayed)/float64(len(slowest)), "replayed")
	switch {
	case !without && worst > p.slowestWithin():
		b.Errorf("the slowest waited %v, want no longer than %v", short(worst), p.slowestWithin())
	case !without && replayed == 0:
		b.Error("nothing was replayed")
	case without && worst < time.Second:
		b.Errorf("without replay the slowest waited %v: this shows nothing", short(worst))
	}
}

// restart makes all begin anew: who fell out is taken in again with growing patience.
func restart(b *testing.B, l *lab.Lab) {
	b.Helper()
	for _, n := range l.Nodes() {
		if n.Running() {
			must(b, n.Stop())
		}
	}
	must(b, l.StartDaemons())
	agree(b, l)
}

// arrivalsInTakeover is what new clients saw of one, from the cut on.
func arrivalsInTakeover(ctx context.Context, l *lab.Lab, lost *lab.Node) (probe.ArrivalReport, error) {
	arrivals, err := l.Client().Arrivals(probe.ArrivalOptions{To: web(), Every: arrivalEvery})
	if err != nil {
		return probe.ArrivalReport{}, err
	}
	arriving := probe.Start(ctx, arrivals.Run)
	err = arrivals.WaitEnded(ctx, 100)
	if err == nil {
		arrivals.Lap()
		err = lost.Cut()
	}
	if err == nil {
		_, err = l.WaitAgreed(ctx, l.Others(lost)...)
	}
	if err == nil {
		err = arrivals.WaitEnded(ctx, arrivalsAfter)
	}
	report, stopped := arriving.Stop()
	return report, errors.Join(err, stopped)
}

// BenchmarkReset measures after a takeover how long the dead node's clients wait,
// from the next thing that they send, until they are told that their connection is lost.
func BenchmarkReset(b *testing.B) {
	for _, p := range profiles {
		b.Run(p.String(), func(b *testing.B) {
			measured(b, func(b *testing.B) {
				l := serving(b, 2, p)
				conns := open(b, l.Client(), resetFlows)
				lost := l.Node(1)
				must(b, lost.Cut())
				agree(b, l, l.Others(lost)...)
				waited := knock(b, conns[lost.Name()])
				for _, c := range conns[l.Node(0).Name()] {
					must(b, c.Ask(patience))
				}
				p99, most := quantile(waited, 0.99), quantile(waited, 1)
				b.Logf("beat %s, lease %s: %d connections of the lost node were reset, 99 %% within %s, max %s",
					p.interval, p.lease, len(waited), short(p99), short(most))
				b.ReportMetric(milliseconds(p99), "p99-ms")
				if p99 > resetWithin {
					b.Errorf("99 %% were reset within %v, want %v", short(p99), resetWithin)
				}
			})
		})
	}
}

// open has n connections, by the node that answers on them.
func open(b *testing.B, client *probe.Client, n int) map[string][]*probe.Conn {
	b.Helper()
	conns := make(map[string][]*probe.Conn)
	for range n {
		c, err := client.Dial(lines(), patience)
		must(b, err)
		b.Cleanup(func() { _ = c.Close() }) // it may be broken
		conns[c.Node] = append(conns[c.Node], c)
	}
	return conns
}

// knock sends something on each connection and tells, sorted, how long it took
// until it was reset.
func knock(b *testing.B, conns []*probe.Conn) []time.Duration {
	b.Helper()
	if len(conns) == 0 {
		b.Fatal("the lost node had no connection")
	}
	var waited []time.Duration
	for _, c := range conns {
		began := time.Now()
		if err := c.Ask(patience); !errors.Is(err, unix.ECONNRESET) {
			b.Fatalf("not reset but: %v", err)
		}
		waited = append(waited, time.Since(began))
	}
	slices.Sort(waited)
	return waited
}
