package test

import (
	"fmt"
	"math"
	"os/exec"
	"slices"
	"testing"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
)

// TestOrders: what an operator orders moves new connections only.
func TestOrders(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3})
	c.judged(func() {
		// Subtests in this order, each of which leaves three even nodes.
		t.Run("drain", func(t *testing.T) { testDrain(c.in(t)) })
		t.Run("two drains at once", func(t *testing.T) { testTwoDrains(c.in(t)) })
		t.Run("weight", func(t *testing.T) { testWeight(c.in(t)) })
		t.Run("pins", func(t *testing.T) { testPins(c.in(t)) })
		t.Run("orders from afar", func(t *testing.T) { testFromAfar(c.in(t)) })
		t.Run("drains that race", func(t *testing.T) { testRacingDrains(c.in(t)) })
		t.Run("restart", func(t *testing.T) { testRestart(c.in(t)) })
	})
}

func testDrain(c *cluster) {
	drained, others := c.Node(0), c.Nodes()[1:]
	const connections = 60
	release4, release6 := c.hold(c.Shared()[0], connections), c.hold(c.Shared()[1], connections)

	order(c.t, "drain", "--reason", "new kernel", "--socket", drained.Socket())
	c.sharedOnlyBy(others...)
	c.answeredBy(c.Client(), others...)
	s := c.until(drained, "draining, and lingering only where connections are", func(s *api.Status) bool {
		n, err := api.Count(s.Pools[0].Lingering)
		return err == nil && s.State == api.Draining && n <= 2*connections
	})
	if s.Pools[0].Owned != "" || s.Pools[0].Lingering == "" {
		c.t.Errorf("owns %q, lingers on %q; want nothing, and what its connections need", s.Pools[0].Owned, s.Pools[0].Lingering)
	}

	for _, n := range c.Nodes() {
		c.until(n, "why it drains", func(s *api.Status) bool {
			return slices.Equal(healthOf(s, drained.Name()), []string{"drains: new kernel"})
		})
	}
	if most := s.Pools[0].LingeringMS; most <= 0 || most > s.Pools[0].DrainTimeoutMS {
		c.t.Errorf("connections may go on for %d ms, of %d", most, s.Pools[0].DrainTimeoutMS)
	}

	waiting := make(chan error, 1)
	command := exec.CommandContext(soon(c.t), binary, "drain", "--wait", "--socket", drained.Socket())
	go func() {
		o, err := conclude(command, (*exec.Cmd).Run)
		if err == nil && (o.code != 0 || o.stderr != "") {
			err = fmt.Errorf("exit %d, %s", o.code, o.stderr)
		}
		waiting <- err
	}()
	// Another round of looking at the host's sockets must not end it.
	sent := s.Heartbeat.Sent
	c.until(drained, "50 more beats", func(s *api.Status) bool { return s.Heartbeat.Sent > sent+50 })
	if len(waiting) > 0 {
		c.t.Error("drain --wait returned although connections are open")
	}
	release4()
	release6()
	if err := <-waiting; err != nil {
		c.t.Errorf("drain --wait: %v", err)
	}
	if s, err := drained.Status(soon(c.t)); err != nil || !s.Drained() {
		c.t.Errorf("not drained after drain --wait: %+v, %v", s, err)
	}
	order(c.t, "resume", "--socket", drained.Socket())
	c.even()
	c.answeredBy(c.Client(), c.Nodes()...)
}

// testTwoDrains leaves one node that serves, and then none that does not drain:
// the last ones serve on.
func testTwoDrains(c *cluster) {
	release := c.hold(c.Shared()[0], 60)
	order(c.t, "drain", "--socket", c.Node(0).Socket())
	order(c.t, "drain", "--socket", c.Node(1).Socket())
	c.sharedOnlyBy(c.Node(2))
	c.answeredBy(c.Client(), c.Node(2))
	order(c.t, "resume", "--socket", c.Node(0).Socket())
	order(c.t, "resume", "--socket", c.Node(1).Socket())
	c.even()
	release()
}

func healthOf(s *api.Status, node string) []string {
	i := slices.IndexFunc(s.Nodes, func(n api.Node) bool { return n.Name == node })
	return s.Nodes[i].Health
}

func testWeight(c *cluster) {
	release := c.hold(c.Shared()[0], 60)
	light, others := c.Node(1), c.Others(c.Node(1))
	for _, w := range []struct {
		weight string
		want   float64 // buckets of 4096
	}{{"50", 4096. * 50 / 250}, {"1000", 4096. * 1000 / 1200}, {"0", 0}} {
		order(c.t, "weight", w.weight, "--socket", light.Socket())
		for _, n := range c.Nodes() {
			c.until(n, "a share by weight "+w.weight, func(s *api.Status) bool {
				p := s.Pools[0]
				return s.View.Agreed && sum(p.Owners) == int(p.Buckets) && math.Abs(float64(p.Owners[light.Name()])-w.want) <= 1
			})
		}
	}
	c.answeredBy(c.Client(), others...)
	s, err := light.Status(soon(c.t))
	must(c.t, err)
	if !warns(s, api.WarnWeight, "weight 0 by order, and 100 in the configuration") {
		c.t.Errorf("does not say whose word the weight is: %+v", s.Warnings)
	}
	if o := rota(c.t, "weight", "1001", "--socket", light.Socket()); o.code != 2 || o.stderr == "" {
		c.t.Errorf("a weight of 1001: exit %d, %q", o.code, o.stderr)
	}
	order(c.t, "weight", "100", "--socket", light.Socket())
	c.even()
	release()
}

// testRestart: a daemon that is stopped and started again after a drain costs nobody anything.
func testRestart(c *cluster) {
	n := c.Node(2)
	order(c.t, "drain", "--wait", "--socket", n.Socket())
	release := c.hold(c.Shared()[0], 60)
	must(c.t, n.Restart())
	c.even()
	c.answeredBy(c.Client(), c.Nodes()...)
	release()
}

// sharedOnlyBy waits until all nodes that are up agree that these own everything.
func (c *cluster) sharedOnlyBy(nodes ...*lab.Node) {
	c.t.Helper()
	for _, n := range c.Nodes() {
		c.until(n, "a share for few", func(s *api.Status) bool {
			for _, p := range s.Pools {
				owners := 0
				for _, n := range nodes {
					owners += p.Owners[n.Name()]
				}
				if owners != int(p.Buckets) || sum(p.Owners) != owners {
					return false
				}
			}
			return s.View.Agreed
		})
	}
}

// in is the cluster for a subtest.
func (c *cluster) in(t *testing.T) *cluster { return &cluster{Lab: c.Lab, t: t} }

func sum(owners map[string]int) (n int) {
	for _, o := range owners {
		n += o
	}
	return n
}
