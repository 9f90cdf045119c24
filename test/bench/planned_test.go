package bench

import (
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/lab"
)

const (
	// newWithin is what a new connection may wait for its answer.
	newWithin = 150 * time.Millisecond
	// newAfter is how many new connections to each address are waited for after
	// a change, 2 s: that shows what waits for TCP's retransmission, after 1 s.
	newAfter = 200
)

// BenchmarkPlanned changes a cluster by plan again and again under 500
// connections that are asked every 20 ms and 200 new ones a second, IPv4 and IPv6,
// and tells for each change what the clients saw of it.
func BenchmarkPlanned(b *testing.B) {
	measured(b, func(b *testing.B) {
		l := serving(b, 3, standard)
		clients, err := l.StartClients(soon(b), lab.ClientOptions{
			Live: 500, Every: 20 * time.Millisecond, NewEvery: 5 * time.Millisecond, SlowOver: newWithin,
		})
		must(b, err)
		defer func() {
			_, err := clients.Stop()
			must(b, err)
		}()
		var sum plannedSum
		lap := func(what string) {
			must(b, clients.WaitNew(soon(b), newAfter))
			r, err := clients.Lap()
			must(b, err)
			sum.add(b, what, r)
		}
		lap("nothing changes")
		for _, c := range lab.PlannedChanges() {
			must(b, c.Make(soon(b), l))
			lap(c.Name)
		}
		sum.report(b)
	})
}

// plannedSum of all changes.
type plannedSum struct {
	broken, failed, twice, slow int
	slowest                     time.Duration
}

func (s *plannedSum) add(b *testing.B, what string, r lab.ClientReport) {
	b.Helper()
	b.Logf("%-32s %s", what, r)
	if err := r.Check(); err != nil {
		b.Errorf("%s: %v", what, err)
	}
	if len(r.Slow) > 0 {
		b.Logf("  %d of them slow or failed; the first: %s", len(r.Slow), r.Slow[0])
	}
	s.broken += len(r.Broken)
	s.failed += r.Failed
	s.twice += r.Tapped.Twice
	s.slow += len(r.Slow) - r.Failed
	s.slowest = max(s.slowest, r.Slowest)
}

func (s *plannedSum) report(b *testing.B) {
	b.Helper()
	b.ReportMetric(float64(s.broken), "broken")
	b.ReportMetric(float64(s.failed), "failed")
	b.ReportMetric(float64(s.twice), "twice")
	b.ReportMetric(float64(s.slow), "slow")
	b.ReportMetric(milliseconds(s.slowest), "slowest-new-ms")
}
