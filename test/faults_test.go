package test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
)

// TestANodeDies and comes back, under flows that ask all the time: its own are
// taken over, the others' go on.
func TestANodeDies(t *testing.T) {
	for _, f := range []struct {
		what, quorum string
		do, undo     func(*lab.Node) error
	}{
		{"killed", "none", (*lab.Node).Kill, (*lab.Node).Start},
		{"frozen", "none", (*lab.Node).Freeze, (*lab.Node).Thaw},
		{"stopped", "none", (*lab.Node).Stop, (*lab.Node).Start},
		{"unplugged", "majority", (*lab.Node).Unplug, (*lab.Node).Heal},
		{"cut off", "majority", (*lab.Node).Cut, (*lab.Node).Heal},
	} {
		t.Run(f.what, func(t *testing.T) {
			c := started(t, lab.Options{Nodes: 3, Quorum: f.quorum})
			lost := c.Node(1)
			w := c.witness()
			w.answered("at first", 1)
			at := time.Now()
			must(t, f.do(lost))
			w.answered("after the loss", 1)
			c.even(c.Others(lost)...)
			c.answeredBy(c.Client(), c.Others(lost)...)
			release := c.hold(c.Shared()[0], 60)
			must(t, f.undo(lost))
			c.even()
			c.answeredBy(c.Client(), c.Nodes()...)
			w.answered("after the return", 1)
			release()
			w.judge(at, lost)
		})
	}
}

// TestAFreezeOfAboutALease: longer each time, until the others take over. The
// moment in which the frozen node wakes is the one in which both may believe that
// they own.
func TestAFreezeOfAboutALease(t *testing.T) {
	for _, quorum := range []string{"none", "majority"} {
		t.Run("quorum "+quorum, func(t *testing.T) {
			c := started(t, lab.Options{Nodes: 3, Quorum: quorum})
			frozen := c.Node(1)
			w := c.witness()
			w.answered("at first", 1)
			at := time.Now()
			view := c.view()
			for length := c.Lease() / 2; c.view() == view; length += 15 * time.Millisecond {
				must(t, frozen.Freeze())
				thaw := time.NewTimer(length)
				<-thaw.C
				must(t, frozen.Thaw())
				w.answered("after a freeze", 2)
			}
			c.even()
			w.judge(at, frozen)
		})
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
	w := c.witness()
	w.answered("at first", 1)
	parted := time.Now()
	must(t, c.Partition([]*lab.Node{a}, []*lab.Node{b, d}))
	c.fenced(a)
	c.even(b, d)
	c.answeredBy(c.Client(), b, d)
	w.answered("by two of three", 1)
	w.judge(parted, a)

	w = c.witness()
	must(t, c.Partition([]*lab.Node{a}, []*lab.Node{b}, []*lab.Node{d}))
	c.fenced(a, b, d)
	c.unanswered(c.Client())

	must(t, c.HealPartition())
	c.even()
	c.answeredBy(c.Client(), a, b, d)
	w.answered("after the heal", 1)
	// Nobody answered for a while, and what was open then may be reset.
	w.judge(time.Now(), a, b, d)
}

// asking has a client ask now and then until stop is called. Start no process
// meanwhile: between fork and exec it has the client's sockets too, and their
// ports are not free when the client closes them.
func (c *cluster) asking(client *probe.Client) (stop func()) {
	c.t.Helper()
	return c.askingAt(client, c.Shared()[0])
}

// askingAt is asking at any address.
func (c *cluster) askingAt(client *probe.Client, to netip.Addr) (stop func()) {
	c.t.Helper()
	flows, err := client.Flows(probe.FlowOptions{To: web(to), Flows: 2, Every: 50 * time.Millisecond})
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
// together again. Until a beat has crossed, both sides answer.
//
// The clients ask all the time: a node that is alone and receives nothing at all
// takes itself for deaf.
func TestAPartitionWithoutQuorum(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3})
	there, err := c.AddClient("client-2")
	must(t, err)
	a, rest := c.Node(0), c.Nodes()[1:]
	defer c.asking(there)()
	w := c.witness()
	w.answered("at first", 1)
	parted := time.Now()
	must(t, c.Split(hosts(c.Client(), a), hosts(there, rest...)))
	c.even(a)
	c.even(rest...)
	c.answeredBy(c.Client(), a)
	c.answeredBy(there, rest...)
	w.answered("while parted", 1)

	healed := time.Now()
	must(t, c.HealPartition())
	c.even()
	c.answeredBy(c.Client(), c.Nodes()...)
	c.answeredBy(there, c.Nodes()...)
	w.answered("after the heal", 1)
	asked, seen := w.end()
	w.judgeWaits(asked, parted, rest...)
	if seen.Missed > 0 || seen.Twice > len(seen.Stories) {
		t.Errorf("the tap has not told of all: %s", seen)
	}
	for _, s := range seen.Stories {
		if after := s.At.Sub(healed); after < 0 || after > c.Lease() {
			t.Errorf("%s answered twice, by %s and %s, %s after the heal", s.Client, s.First, s.Second, after.Round(time.Millisecond))
		}
	}
}

// TestACableIsPulled: with nobody heard the node looks like the survivor, so it says
// above all that it has no carrier.
func TestACableIsPulled(t *testing.T) {
	c := started(t, lab.Options{Nodes: 2})
	lost, other := c.Node(1), c.Node(0)
	must(t, lost.Unplug())
	c.until(lost, "no carrier", func(s *api.Status) bool { return warns(s, api.WarnNoCarrier, "NO CARRIER on eth0") })
	c.until(lost, "alone, and degraded", func(s *api.Status) bool {
		return s.State == api.Serving && s.Degraded && warns(s, api.WarnNoCarrier, "NO CARRIER")
	})
	c.even(other)
	c.answeredBy(c.Client(), other)
	must(t, lost.Heal())
	c.until(lost, "a carrier", func(s *api.Status) bool { return !warns(s, api.WarnNoCarrier, "") })
	c.even(lost, other)
	c.answeredBy(c.Client(), lost, other)
}

// TestAnInterfaceThatGoesDownAndUp: the other node takes over, and the node
// serves again when it is up.
//
// For its administrator's down the kernel forgets the interface's IPv6
// addresses. rota puts the shared ones back; the node's own, without which it
// has no way to the clients, is for whoever configured it. Until then it hands over.
func TestAnInterfaceThatGoesDownAndUp(t *testing.T) {
	c := started(t, lab.Options{Nodes: 2})
	lost, other := c.Node(1), c.Node(0)
	enough := c.asking(c.Client())
	must(t, lost.Host().SetLink(false))
	c.until(lost, "nothing owned", func(s *api.Status) bool { return !owning(s) && warns(s, api.WarnNoCarrier, "eth0 is DOWN") })
	c.even(other)
	c.answeredBy(c.Client(), other)
	must(t, lost.Host().SetLink(true))
	c.until(lost, "handing over without a route", func(s *api.Status) bool {
		return s.State == api.Draining && warns(s, api.WarnNotServing, "no route to the segment of "+lab.Shared6.String())
	})
	c.answeredBy(c.Client(), other)
	restore(t, lost)
	c.even(c.Nodes()...)
	enough()
	c.answeredBy(c.Client(), c.Nodes()...)
}

// restore gives a node its own addresses back, as what manages the network does.
func restore(t *testing.T, n *lab.Node) {
	t.Helper()
	for _, p := range n.Host().Addresses() {
		if err := n.Host().AddAddress(p); err != nil && !errors.Is(err, unix.EEXIST) {
			t.Fatal(err)
		}
	}
}
