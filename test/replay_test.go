package test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
	"github.com/rota-cluster/rota/internal/lab/service"
	"github.com/rota-cluster/rota/internal/ownership"
)

// TestNewConnectionsInATakeover wait for the lease, not until they are asked for
// again after a second.
func TestNewConnectionsInATakeover(t *testing.T) {
	for _, mode := range []string{"tc", "xdp", "xdp-generic"} {
		t.Run(mode, func(t *testing.T) {
			c := started(t, lab.Options{Nodes: 3, Datapath: mode})
			lost := c.Node(2)
			arrivals, err := c.Client().Arrivals(probe.ArrivalOptions{To: netip.AddrPortFrom(c.Shared()[0], service.HTTPPort), Every: 5 * time.Millisecond})
			must(t, err)
			arriving := probe.Start(soon(t), arrivals.Run)
			must(t, arrivals.WaitEnded(soon(t), 100))
			arrivals.Lap()
			must(t, lost.Cut())
			c.even(c.Others(lost)...)
			must(t, arrivals.WaitEnded(soon(t), 300))
			report, err := arriving.Stop()
			must(t, err)
			// On a busy machine it takes longer than on an idle one; see BenchmarkNewInTakeover.
			if report.Latency.Max >= time.Second {
				t.Errorf("the slowest waited %v: %s", report.Latency.Max, report)
			}
			told := 0
			for _, n := range c.Others(lost) {
				s, err := n.Status(soon(t))
				must(t, err)
				if r := s.Pools[0].SYNs; r.Replayed == 0 || r.LeftOut != 0 {
					t.Errorf("%s tells of %+v", n.Name(), r)
				}
				must(t, n.API().Events(soon(t), 0, false, func(e api.Event) error {
					if e.Kind == ownership.NoteReplay.String() {
						told++
					}
					return nil
				}))
			}
			if told < 2 {
				t.Errorf("%d events tell of a replay", told)
			}
		})
	}
}
