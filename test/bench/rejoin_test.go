package bench

import (
	"context"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
)

const (
	heldConnections = 300
	heldEvery       = 50 * time.Millisecond // a line on each
	// heldAfter is how much longer they are held once the node is back: more
	// than the daemon's looks at the host's sockets take (a second each).
	heldAfter = 3 * time.Second
)

// BenchmarkRejoin brings a node back under live connections: none may break,
// and none shall wait.
func BenchmarkRejoin(b *testing.B) {
	for _, back := range []struct {
		what       string
		lose, undo func(*lab.Node) error
	}{
		{"after-a-cut", (*lab.Node).Cut, (*lab.Node).Heal},
		{"after-a-restart", (*lab.Node).Stop, (*lab.Node).Start},
	} {
		for _, p := range profiles {
			b.Run(back.what+"/"+p.String(), func(b *testing.B) {
				measured(b, func(b *testing.B) {
					l := serving(b, 3, p)
					lost := l.Node(1)
					must(b, back.lose(lost))
					agree(b, l, l.Others(lost)...)
					r := held(b, l, func() { must(b, back.undo(lost)) })
					if err := r.Check(); err != nil {
						b.Error(err)
					}
					b.Logf("a node rejoins %s, beat %s, lease %s: %s", back.what, p.interval, p.lease, r)
					b.ReportMetric(float64(len(r.Broken)), "broken")
					b.ReportMetric(milliseconds(r.Latency.Max), "slowest-ms")
				})
			})
		}
	}
}

// held connections, while what brings a node back is done.
func held(b *testing.B, l *lab.Lab, rejoin func()) probe.HeldReport {
	b.Helper()
	connections, err := l.Client().Held(probe.HeldOptions{To: lines(), Connections: heldConnections, Every: heldEvery})
	must(b, err)
	holding := probe.Start(context.Background(), connections.Run)
	b.Cleanup(func() { _, _ = holding.Stop() })
	must(b, connections.WaitOpen(soon(b)))
	rejoin()
	agree(b, l, l.Nodes()...)
	time.Sleep(heldAfter) // what is measured, not what is waited for
	report, err := holding.Stop()
	must(b, err)
	return report
}
