package ownership

import (
	"testing"
	"time"
)

// Nodes that began at different moments beat in step before long: one that hears many others need not
// wake up for each of them. None beats more often than its interval and the jitter allow.
func TestNodesBeatInStep(t *testing.T) {
	w := newNet(t)
	for i, name := range []string{"node-a", "node-b", "node-c", "node-d", "node-e"} {
		w.start(testConfig(name, uint64(i+1)))
		w.run(11*time.Millisecond, nil)
	}
	w.run(5*time.Second, nil)
	var last Time
	beats, rounds := 0, 0
	w.direct = func(string, []Recipient) {
		beats++
		if w.now-last > 2*w.delay {
			rounds++
		}
		last = w.now
	}
	const second = time.Second
	w.run(10*second, nil)
	interval := w.nodes["node-a"].n.interval
	least, most := int(10*second/interval), int(10*second/(interval*85/100))+1
	if rounds < least || rounds > most || beats != len(w.names)*rounds {
		t.Errorf("%d beats of %d nodes at %d moments, want between %d and %d moments", beats, len(w.names), rounds, least, most)
	}
}

// The shortest lease that may be configured does not keep a node out: of nodes in step the echoes are older.
func TestANodeIsTakenInWithTheShortestLease(t *testing.T) {
	for seed := range uint64(4) {
		w := newNet(t)
		for i, name := range []string{"node-a", "node-b", "node-c"} {
			c := testConfig(name, uint64(i+1))
			c.Lease, c.Seed = 3*c.Interval, 100*seed+uint64(i)
			w.start(c)
			w.run(5*time.Second, nil)
		}
		if got := len(w.nodes["node-a"].n.view.Members); got != 3 {
			t.Errorf("seed %d: %d nodes in the view, want 3", seed, got)
		}
	}
}
