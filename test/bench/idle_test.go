package bench

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/lab"
)

// idleFor is how long idle daemons are watched.
const idleFor = 10 * time.Second

// BenchmarkIdle measures what a daemon costs in a cluster of three that nobody
// talks to: the most that any of the three takes.
func BenchmarkIdle(b *testing.B) {
	for _, p := range profiles {
		b.Run(p.String(), func(b *testing.B) {
			measured(b, func(b *testing.B) {
				l := serving(b, 3, p)
				most, err := usage(soon(b), l.Nodes())
				must(b, err)
				b.Logf("an idle daemon of three, beat %s, lease %s: %s", p.interval, p.lease, most)
				b.ReportMetric(float64(most.Resident)/(1<<20), "resident-MiB")
				b.ReportMetric(most.CPU*100, "%-of-a-core")
			})
		})
	}
}

// usage is the highest of the nodes', all watched at the same time.
func usage(ctx context.Context, nodes []*lab.Node) (most lab.Usage, err error) {
	all, errs := make([]lab.Usage, len(nodes)), make([]error, len(nodes))
	var watching sync.WaitGroup
	for i, n := range nodes {
		watching.Go(func() { all[i], errs[i] = n.Usage(ctx, idleFor) })
	}
	watching.Wait()
	for i := range nodes {
		if errs[i] != nil {
			return most, errs[i]
		}
		most.CPU = max(most.CPU, all[i].CPU)
		most.Resident = max(most.Resident, all[i].Resident)
	}
	return most, nil
}
