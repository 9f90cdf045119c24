package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/lab/probe"
)

var (
	cuts     = flag.Int("cuts", 10, "takeovers measured at the default beat")
	fastCuts = flag.Int("fast-cuts", 30, "takeovers measured at the fast beat")
)

// What the client asks. Each flow asks over a fresh connection, so a stretch
// without an answer is told to one interval between questions; many flows, out
// of step, tell it better.
const (
	askEvery = 5 * time.Millisecond
	// askPatience with a connection whose node was lost before it answered.
	// Shorter than any lease, so that it is not what is measured.
	askPatience = 20 * time.Millisecond
	// flowsOfLost is about how many flows the lost node has.
	flowsOfLost = 8
)

// BenchmarkTakeover cuts a node off the switch without its knowing, again and
// again, and measures for how long its clients get no answer: the longest time
// of any flow, for each cut. keepalived does the same beside it: at the same
// beat, of which it lets three be lost where rota lets six; and at the beat with
// which it bears a silence as long as rota's lease.
func BenchmarkTakeover(b *testing.B) {
	for _, s := range []struct {
		p    profile
		cuts *int
	}{{standard, cuts}, {fast, fastCuts}} {
		b.Run("rota/"+s.p.String(), func(b *testing.B) {
			measured(b, func(b *testing.B) { takeovers(b, s.p, *s.cuts) })
		})
		for _, beat := range []time.Duration{s.p.interval, vrrpBeat(s.p.lease)} {
			b.Run("keepalived/"+beat.String(), func(b *testing.B) {
				measured(b, func(b *testing.B) { vrrpTakeovers(b, beat, *s.cuts) })
			})
		}
	}
}

// takeovers of the nodes of a cluster of three in turn. After each has had its
// turn all daemons start anew: who keeps falling out is taken back with growing
// patience, which is not what is measured.
func takeovers(b *testing.B, p profile, n int) {
	const nodes = 3
	l := cluster(b, nodes, p)
	var all series
	for i := range n {
		if i%nodes == 0 {
			for _, node := range l.Nodes() {
				if node.Running() {
					must(b, node.Stop())
				}
			}
			must(b, l.StartDaemons())
		}
		agree(b, l)
		lost := l.Node(i % nodes)
		// Any moment between two beats is as likely as any other.
		time.Sleep(rand.N(p.interval))
		s, err := measureCut(soon(b), l.Client(), nodes*flowsOfLost, lost.Name(), lost.Cut)
		must(b, err)
		all = append(all, s)
		agree(b, l, l.Others(lost)...)
		must(b, lost.Heal())
	}
	all.report(b, fmt.Sprintf("rota, beat %s, lease %s", p.interval, p.lease))
}

// takeover is what clients saw of one.
type takeover struct {
	longest time.Duration // without an answer, of the lost node's flows
	others  time.Duration // likewise of the others' flows
	flows   int           // of the lost node
	stalled time.Duration // how long the probe itself was held up
}

var errNothingLost = errors.New("the node that was cut off had no flow")

// measureCut asks, cuts, and waits until everything is answered again.
func measureCut(ctx context.Context, client *probe.Client, n int, lost string, cut func() error) (takeover, error) {
	flows, err := client.Flows(probe.FlowOptions{
		To: web(), Flows: n, Every: askEvery, Patience: askPatience, GapOver: askEvery,
	})
	if err != nil {
		return takeover{}, err
	}
	asking := probe.Start(ctx, flows.Run)
	var at time.Time
	err = flows.WaitAnswered(ctx)
	if err == nil {
		at = time.Now()
		err = cut()
	}
	if err == nil {
		err = flows.WaitAnswered(ctx)
	}
	report, runErr := asking.Stop()
	if err := errors.Join(err, runErr); err != nil {
		return takeover{}, fmt.Errorf("lose %s: %w", lost, err)
	}
	return judge(&report, at, lost)
}

func judge(report *probe.FlowReport, cut time.Time, lost string) (takeover, error) {
	s := takeover{stalled: report.Stalled}
	for _, gap := range report.Gaps(cut) {
		if gap.Before == lost {
			s.longest = max(s.longest, gap.Length)
			s.flows++
		} else {
			s.others = max(s.others, gap.Length)
		}
	}
	if s.flows == 0 {
		return s, fmt.Errorf("lose %s: %w", lost, errNothingLost)
	}
	return s, nil
}

// series of takeovers.
type series []takeover

func (s series) report(b *testing.B, what string) {
	b.Helper()
	if len(s) == 0 {
		b.Fatal("nothing to measure: ask for one cut at least")
	}
	longest := s.sorted(func(t takeover) time.Duration { return t.longest })
	others := s.sorted(func(t takeover) time.Duration { return t.others })
	stalled := s.sorted(func(t takeover) time.Duration { return t.stalled })
	median, p90, most := quantile(longest, 0.5), quantile(longest, 0.9), quantile(longest, 1)
	b.Logf("%s: %d takeovers, longest time without an answer: median %s, 90 %% %s, max %s; the other nodes' flows: max %s; the probe itself was held up %s at most",
		what, len(s), short(median), short(p90), short(most), short(quantile(others, 1)), short(quantile(stalled, 1)))
	b.Logf("each: %v", each(s))
	b.ReportMetric(milliseconds(median), "median-ms")
	b.ReportMetric(milliseconds(p90), "p90-ms")
	b.ReportMetric(milliseconds(most), "max-ms")
}

func (s series) sorted(of func(takeover) time.Duration) []time.Duration {
	var all []time.Duration
	for _, t := range s {
		all = append(all, of(t))
	}
	slices.Sort(all)
	return all
}

func each(s series) []time.Duration {
	var all []time.Duration
	for _, t := range s {
		all = append(all, t.longest.Round(time.Millisecond))
	}
	return all
}

// quantile is the smallest of the sorted values that the share q of them does
// not exceed.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	i := int(q*float64(len(sorted)) + 0.999999)
	return sorted[min(max(i, 1), len(sorted))-1]
}
