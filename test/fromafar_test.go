package test

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
)

// testFromAfar: an order for another node is obeyed there, and answered here.
func testFromAfar(c *cluster) {
	release := c.hold(c.Shared()[0], 60)
	here, there := c.Node(0), c.Node(1)

	order(c.t, "weight", "50", "--node", there.Name(), "--socket", here.Socket())
	c.until(there, "its weight", func(s *api.Status) bool { return s.Pools[0].Weights[there.Name()] == 50 })
	order(c.t, "weight", "100", "--node", there.Name(), "--socket", here.Socket())
	c.even()

	order(c.t, "drain", "--node", there.Name(), "--reason", "new kernel", "--socket", here.Socket())
	// It has accepted: nobody needs to wait to see it.
	s, err := there.Status(soon(c.t))
	must(c.t, err)
	if s.State != api.Draining {
		c.t.Errorf("%s is %s after the order was accepted", there.Name(), s.State)
	}
	c.sharedOnlyBy(c.Others(there)...)
	c.answeredBy(c.Client(), c.Others(there)...)
	order(c.t, "resume", "--node", there.Name(), "--socket", here.Socket())
	c.even()

	o := rota(c.t, "drain", "--node", "node-x", "--socket", here.Socket())
	if o.code != 1 || o.stderr != `rota: no node "node-x" has been heard since this one started; heard are node-a, node-b, node-c`+"\n" {
		c.t.Errorf("an order for nobody: exit %d, %s", o.code, o.stderr)
	}
	release()
}

// testRacingDrains: all nodes are drained at the same moment, from everywhere. One
// refuses, and it is told which and why; by force it drains, and serves on.
func testRacingDrains(c *cluster) {
	release := c.hold(c.Shared()[0], 60)
	done := make(chan outcome, 2*len(c.Nodes()))
	for _, at := range c.Nodes() {
		for _, of := range []*lab.Node{at, c.Others(at)[0]} {
			cmd := exec.CommandContext(soon(c.t), binary, "drain", "--node", of.Name(), "--socket", at.Socket())
			go func() {
				o, err := conclude(cmd, (*exec.Cmd).Run)
				if err != nil {
					o = outcome{code: -1, stderr: err.Error()}
				}
				done <- o
			}()
		}
	}
	refused := 0
	for range cap(done) {
		switch o := <-done; {
		case o.code == 0:
		case o.code == 1 && strings.Contains(o.stderr, "nobody else can take over") && strings.Count(o.stderr, "\n") == 1:
			refused++
		default:
			c.t.Errorf("exit %d, %s", o.code, o.stderr)
		}
	}
	var stays []*lab.Node
	for _, n := range c.Nodes() {
		s, err := n.Status(soon(c.t))
		must(c.t, err)
		if s.State == api.Serving {
			stays = append(stays, n)
		}
	}
	if len(stays) != 1 || refused == 0 {
		c.t.Fatalf("%d nodes stay, %d drains were refused", len(stays), refused)
	}
	c.sharedOnlyBy(stays...)
	c.answeredBy(c.Client(), stays...)

	if text := order(c.t, "drain", "--force", "--socket", stays[0].Socket()); !strings.Contains(text, "nobody else serves") {
		c.t.Errorf("the last one's drain, by force: %s", text)
	}
	s := c.until(stays[0], "it drains, and serves on", func(s *api.Status) bool { return s.State == api.Draining && s.ServesOn() })
	if !s.Degraded || !warns(s, api.WarnServesOn, "nobody else") {
		c.t.Errorf("a last node that was drained by force: degraded %v, %v", s.Degraded, s.Warnings)
	}
	c.answeredBy(c.Client(), stays...) // the others have been told that nothing is left on them
	for _, n := range c.Nodes() {
		order(c.t, "resume", "--node", n.Name(), "--socket", c.Node(0).Socket())
	}
	c.even()
	release()
}

// TestDrainTimeout: the connections of a drain may last for its own timeout, and no longer.
func TestDrainTimeout(t *testing.T) {
	c := started(t, lab.Options{Nodes: 2})
	held, err := c.Client().Held(probe.HeldOptions{To: lines(c.Shared()[0]), Connections: 60, Every: 50 * time.Millisecond})
	must(t, err)
	running := probe.Start(context.Background(), held.Run)
	must(t, held.WaitOpen(soon(t)))
	began := time.Now()
	out := order(t, "drain", "--wait", "--timeout", "2s", "--node", "node-b", "--socket", c.Node(0).Socket())
	if took := time.Since(began); out != "drained: nothing is left on node-b\n" || took < 2*time.Second {
		t.Errorf("after %v: %s", took, out)
	}
	if _, err := waitUntil(5*time.Second, func() bool { return held.Broken() > 0 }); err != nil {
		t.Errorf("no connection was cut, although they were not over: %v", err)
	}
	_, err = running.Stop()
	must(t, err)
	order(t, "resume", "--node", "node-b", "--socket", c.Node(0).Socket())
	c.even()
	if o := rota(t, "drain", "--timeout", "0s", "--socket", c.Node(0).Socket()); o.code != 2 {
		t.Errorf("a timeout of nothing: exit %d, %s", o.code, o.stderr)
	}
}

// TestOrdersForOneWhoIsSilent fail with one line, and are not obeyed later.
func TestOrdersForOneWhoIsSilent(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3})
	here, silent := c.Node(0), c.Node(1)
	must(t, silent.Freeze())
	// At once: it has been heard a moment ago, and cannot answer.
	o := rota(t, "drain", "--node", silent.Name(), "--socket", here.Socket())
	if o.code != 1 || strings.Count(o.stderr, "\n") != 1 || !strings.Contains(o.stderr, silent.Name()) {
		t.Errorf("an order for a frozen node: exit %d, %s", o.code, o.stderr)
	}
	c.until(here, "it is silent", func(s *api.Status) bool { st, _, _ := s.DrainOf(silent.Name()); return st == api.Silent })
	for _, args := range [][]string{{"drain"}, {"take", "7"}} {
		o = rota(t, append(args, "--node", silent.Name(), "--socket", here.Socket())...)
		if o.code != 1 || !strings.Contains(o.stderr, silent.Name()+" is silent for") {
			t.Errorf("rota %v for a silent node: exit %d, %s", args, o.code, o.stderr)
		}
	}
	order(t, "move", "7", silent.Name(), "--socket", here.Socket())
	must(t, silent.Thaw())
	c.agreed()
	c.even()
	c.pinned(map[string]string{silent.Name(): "7"}, silent)
	must(t, silent.Kill())
	c.until(here, "it is silent again", func(s *api.Status) bool { st, _, _ := s.DrainOf(silent.Name()); return st == api.Silent })
	must(t, silent.Start())
	c.agreed()
	c.even()
}
