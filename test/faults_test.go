package test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
)

// How long a flow may go unanswered, on a busy machine. What a quiet one
// reaches is for the benchmarks.
const (
	takeover = 1500 * time.Millisecond // of a node that died
	locality = time.Second             // of the others
)

// TestANodeDies and comes back: its flows are taken over, the others' go on.
func TestANodeDies(t *testing.T) {
	for _, f := range []struct {
		what     string
		do, undo func(*lab.Node) error
	}{
		{"killed", (*lab.Node).Kill, (*lab.Node).Start},
		{"frozen", (*lab.Node).Freeze, (*lab.Node).Thaw},
		{"stopped", (*lab.Node).Stop, (*lab.Node).Start},
		{"unplugged", (*lab.Node).Unplug, (*lab.Node).Heal},
	} {
		t.Run(f.what, func(t *testing.T) {
			c := started(t, lab.Options{Nodes: 3})
			lost := c.Node(1)
			c.judged(func() {
				c.loses(lost, f.do)
				c.even(c.Others(lost)...)
				c.answeredBy(c.Client(), c.Others(lost)...)
				release := c.hold(c.Shared()[0], 60)
				must(t, f.undo(lost))
				c.even()
				c.answeredBy(c.Client(), c.Nodes()...)
				release()
			}, lost.Name())
		})
	}
}

// loses a node, and judges how long flows went unanswered, allowing for what
// the client itself was held up.
func (c *cluster) loses(lost *lab.Node, how func(*lab.Node) error) {
	c.t.Helper()
	flows, err := c.Client().Flows(probe.FlowOptions{To: web(c.Shared()[0]), Flows: 30, Every: 25 * time.Millisecond})
	must(c.t, err)
	asking := probe.Start(context.Background(), flows.Run)
	answered := func(when string) {
		if err := flows.WaitAnswered(soon(c.t)); err != nil {
			report, failed := asking.Stop()
			c.t.Fatalf("%s: %v; %s, %v; the client's neighbours: %v", when, err, report, failed, c.neighbours())
		}
	}
	answered("at first")
	at := time.Now()
	must(c.t, how(lost))
	answered("after the loss")
	report, err := asking.Stop()
	must(c.t, err)
	for _, gap := range report.Gaps(at) {
		limit := locality
		if gap.Before == lost.Name() {
			limit = takeover
		}
		if gap.Length > limit+report.Stalled {
			c.t.Errorf("a flow went unanswered for %s between %q and %q, want %s at most (and the client's own delay of %s)",
				gap.Length.Round(time.Millisecond), gap.Before, gap.After, limit, report.Stalled.Round(time.Millisecond))
		}
	}
}

// neighbours that the client knows.
func (c *cluster) neighbours() (all []string) {
	c.t.Helper()
	must(c.t, c.Client().Host().Run(func() error {
		found, err := netlink.NeighList(0, netlink.FAMILY_ALL)
		for _, n := range found {
			all = append(all, fmt.Sprintf("%s at %q, state %x", n.IP, n.HardwareAddr, n.State))
		}
		return err
	}))
	return all
}

// TestMajority: who is with fewer than half answers nobody, whoever can reach it.
func TestMajority(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3, Quorum: "majority"})
	a, b, d := c.Node(0), c.Node(1), c.Node(2)
	c.judged(func() {
		must(t, c.Partition([]*lab.Node{a}, []*lab.Node{b, d}))
		c.fenced(a)
		c.even(b, d)
		c.answeredBy(c.Client(), b, d)

		must(t, c.Partition([]*lab.Node{a}, []*lab.Node{b}, []*lab.Node{d}))
		c.fenced(a, b, d)
		c.unanswered(c.Client())

		must(t, c.HealPartition())
		c.even()
		c.answeredBy(c.Client(), a, b, d)
	})
}

// asking has a client ask now and then until stop is called. Start no process
// meanwhile: between fork and exec it has the client's sockets too, and their
// ports are not free when the client closes them.
func (c *cluster) asking(client *probe.Client) (stop func()) {
	c.t.Helper()
	flows, err := client.Flows(probe.FlowOptions{To: web(c.Shared()[0]), Flows: 2, Every: 50 * time.Millisecond})
	must(c.t, err)
	running := probe.Start(context.Background(), flows.Run)
	return func() {
		_, err := running.Stop()
		must(c.t, err)
	}
}

// fenced waits until the nodes own nothing and say why.
func (c *cluster) fenced(nodes ...*lab.Node) {
	c.t.Helper()
	for _, n := range nodes {
		c.until(n, "fenced, without a lease, and a reason", func(s *api.Status) bool {
			return s.State == api.Fenced && !owning(s) && s.LeaseMS == 0 && warns(s, api.WarnNotServing, "")
		})
	}
}

// TestAPartitionWithoutQuorum: each side serves its clients, and the sides find
// together again. The clients ask all the time: a node that is alone and
// receives nothing at all takes itself for deaf.
func TestAPartitionWithoutQuorum(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3})
	there, err := c.AddClient("client-2")
	must(t, err)
	a, rest := c.Node(0), c.Nodes()[1:]
	defer c.asking(c.Client())()
	defer c.asking(there)()
	c.judged(func() {
		must(t, c.Split(hosts(c.Client(), a), hosts(there, rest...)))
		c.even(a)
		c.even(rest...)
		c.answeredBy(c.Client(), a)
		c.answeredBy(there, rest...)
	})
	// Until a beat has crossed, both sides answer: that moment is not judged.
	must(t, c.HealPartition())
	c.even()
	c.judged(func() {
		c.answeredBy(c.Client(), c.Nodes()...)
		c.answeredBy(there, c.Nodes()...)
	})
}

// TestAnInterfaceThatGoesDownAndUp: the other node takes over, and the node
// serves again when it is up.
//
// For its administrator's down the kernel forgets the interface's IPv6
// addresses. rota puts the shared ones back; the node's own, without which it
// has no way to the clients, is for whoever configured it.
func TestAnInterfaceThatGoesDownAndUp(t *testing.T) {
	c := started(t, lab.Options{Nodes: 2})
	lost, other := c.Node(1), c.Node(0)
	shared4, shared6 := c.Shared()[0], c.Shared()[1]
	enough := c.asking(c.Client())
	must(t, lost.Host().SetLink(false))
	c.until(lost, "nothing owned", func(s *api.Status) bool { return !owning(s) })
	c.even(other)
	c.answeredBy(c.Client(), other)
	must(t, lost.Host().SetLink(true))
	c.even(c.Nodes()...)
	enough()
	expectAnsweredBy(t, c.Client(), shared4, c.Nodes()...)
	for _, p := range lost.Host().Addresses() {
		if p.Addr().Is6() {
			must(t, lost.Host().AddAddress(p))
		}
	}
	expectAnsweredBy(t, c.Client(), shared6, c.Nodes()...)
}
