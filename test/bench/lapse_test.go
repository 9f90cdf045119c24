package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/datapath"
	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
)

const (
	sampleEvery = time.Millisecond
	samplePort  = 9 // discard (RFC 863); nobody serves it
	sampleFor   = 10 * time.Second
)

// BenchmarkLapse measures for what share of the time a healthy node's datapath
// does not accept because its lease was not renewed in time. Nobody should ever
// see that: a lease that is too short for the beat, or for the machine, does it.
func BenchmarkLapse(b *testing.B) {
	for _, p := range profiles {
		for _, nodes := range []int{3, 2} {
			b.Run(fmt.Sprintf("%s/%d-nodes", p, nodes), func(b *testing.B) {
				measured(b, func(b *testing.B) {
					l := serving(b, nodes, p)
					ctx, cancel := context.WithTimeout(context.Background(), sampleFor)
					defer cancel()
					before := lapses(b, l)
					must(b, sample(ctx, l.Client()))
					worst := lapses(b, l).since(before).worst()
					b.Logf("%d nodes, beat %s, lease %s: the lease was over at %s", nodes, p.interval, p.lease, worst)
					b.ReportMetric(worst.share()*1e6, "lapsed-ppm")
				})
			})
		}
	}
}

// sample sends a packet to the shared address every now and then until ctx
// ends. Every node's datapath judges each, so its verdicts tell how its time is spent.
func sample(ctx context.Context, client *probe.Client) error {
	return client.Host().Run(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open a socket: %w", err)
		}
		to := &unix.SockaddrInet4{Port: samplePort, Addr: lab.Shared4.As4()}
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return unix.Close(fd)
			case <-tick.C:
				if err := unix.Sendto(fd, []byte{0}, 0, to); err != nil {
					return errors.Join(fmt.Errorf("send a sample: %w", err), unix.Close(fd))
				}
			}
		}
	})
}

// lapse counts what a node's datapath judged, and what of it the lease refused.
type lapse struct {
	node           string
	judged, lapsed uint64
}

func (c lapse) share() float64 { return float64(c.lapsed) / float64(max(c.judged, 1)) }

func (c lapse) String() string {
	return fmt.Sprintf("%d of %d packets on %s (%.3f %%)", c.lapsed, c.judged, c.node, 100*c.share())
}

type lapseCounts []lapse

// lapses of all nodes so far.
func lapses(t testing.TB, l *lab.Lab) lapseCounts {
	t.Helper()
	var all lapseCounts
	for _, n := range l.Nodes() {
		s, err := n.Status(soon(t))
		must(t, err)
		all = append(all, lapseOf(s))
	}
	return all
}

func lapseOf(s *api.Status) lapse {
	c := lapse{node: s.Node}
	for _, p := range s.Pools {
		for name, n := range p.Verdicts {
			if beforeTheLease(name) {
				continue
			}
			c.judged += n
			if name == datapath.DropLease.String() {
				c.lapsed += n
			}
		}
	}
	return c
}

// beforeTheLease: verdicts that do not ask whether there is a lease.
func beforeTheLease(verdict string) bool {
	for _, what := range []string{"beat", "neighbour", "announce", "guard"} {
		if strings.Contains(verdict, what) {
			return true
		}
	}
	return false
}

func (now lapseCounts) since(before lapseCounts) lapseCounts {
	var all lapseCounts
	for i, c := range now {
		all = append(all, lapse{c.node, c.judged - before[i].judged, c.lapsed - before[i].lapsed})
	}
	return all
}

func (now lapseCounts) worst() lapse {
	worst := now[0]
	for _, c := range now {
		if c.share() > worst.share() {
			worst = c
		}
	}
	return worst
}
