package ownership

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestOneNodeMoreThanExpected: it and all others say why it waits.
func TestOneNodeMoreThanExpected(t *testing.T) {
	w := newNet(t)
	start := func(i int) {
		cfg := testConfig(fmt.Sprintf("node-%c", 'a'+i), uint64(i+1))
		cfg.Quorum, cfg.ExpectedNodes = QuorumMajority, 2
		w.start(cfg)
	}
	start(0)
	start(1)
	w.until(5*time.Second, "two agree", func() bool { return w.agreed() && w.covered() })
	start(2)
	w.run(5*time.Second, nil)
	if s := w.nodes["node-c"].n.Status(w.now); s.State != StateJoining || !strings.Contains(s.Why, "no room: 2 nodes serve, as many as expected_nodes says") {
		t.Errorf("node-c %s: %s", s.State, s.Why)
	}
	for _, name := range []string{"node-a", "node-b"} {
		if s := w.nodes[name].n.Status(w.now); !s.Nodes[2].Waits.Full || s.Nodes[0].Waits.Full || s.Nodes[1].Waits.Full {
			t.Errorf("%s says %+v", name, s.Nodes)
		}
	}
	w.step("node-b", Stop{})
	w.nodes["node-b"].dead = true
	w.until(5*time.Second, "node-c is taken in", func() bool { return w.nodes["node-c"].n.State() == StateServing })
}

// TestANodeThatKeepsFallingOut: whoever keeps it waiting says so, for all to read, and for how long yet.
func TestANodeThatKeepsFallingOut(t *testing.T) {
	w := newNet(t)
	for i, name := range []string{"node-a", "node-b", "node-c"} {
		w.start(testConfig(name, uint64(i+1)))
	}
	w.until(5*time.Second, "all agree", func() bool { return w.agreed() && w.covered() })
	cut := false
	w.cut = func(from, to string) bool { return cut && (from == "node-c" || to == "node-c") }
	for range 3 {
		cut = true
		w.run(600*time.Millisecond, nil)
		cut = false
		w.until(10*time.Second, "node-c is back", w.agreed)
	}
	cut = true
	w.run(600*time.Millisecond, nil)
	cut = false
	w.run(900*time.Millisecond, nil)
	a := w.nodes["node-a"].n.Status(w.now)
	if waits := a.Nodes[2].Waits; waits.Flaps < 3 || waits.For <= 0 || waits.For > maxPatience {
		t.Fatalf("node-a says %+v\n%s", waits, w.tell())
	}
	c := w.nodes["node-c"].n.Status(w.now)
	if told := c.Nodes[0].Health; !slices.ContainsFunc(told, func(line string) bool { return strings.HasPrefix(line, "node-c fell out ") }) {
		t.Errorf("node-c hears %q", told)
	}
	if told := c.Nodes[1].Health; len(told) > 0 {
		t.Errorf("node-b, which does not propose, says %q", told)
	}
	if !strings.Contains(c.Why, "taken in") {
		t.Errorf("node-c says %q", c.Why)
	}
	w.until(maxPatience, "node-c is back", w.agreed)
	w.run(time.Second, nil)
	if told := w.nodes["node-b"].n.Status(w.now).Nodes[0].Health; len(told) > 0 {
		t.Errorf("afterwards node-a says %q", told)
	}
}

// TestANodeThatDiffersDoesNotWait to be taken in: that will not be.
func TestANodeThatDiffersDoesNotWait(t *testing.T) {
	w := newNet(t)
	for i, name := range []string{"node-a", "node-b"} {
		w.start(testConfig(name, uint64(i+1)))
	}
	w.until(5*time.Second, "two agree", func() bool { return w.agreed() && w.covered() })
	odd := testConfig("node-c", 3)
	odd.Pools[0].Fingerprint++
	w.start(odd)
	w.run(3*time.Second, nil)
	if s := w.nodes["node-c"].n.Status(w.now); s.State == StateServing || !strings.Contains(s.Why, "shares nothing with node-") {
		t.Errorf("%s: %s\n%s", s.State, s.Why, w.tell())
	}
}
