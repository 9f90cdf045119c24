package ownership

import (
	"slices"
	"testing"
	"time"
)

func (w *net) reconfigure(name string, change func(*Reconfigure)) {
	h := w.nodes[name]
	e := Reconfigure{Pools: slices.Clone(h.n.cfg.Pools), Interval: h.n.cfg.Interval, Lease: h.n.cfg.Lease}
	change(&e)
	states := make([][]BucketState, len(e.Pools)) // as the datapath has them by then
	for i, pool := range e.Pools {
		states[i] = make([]BucketState, pool.Buckets)
		if was := slices.IndexFunc(h.n.cfg.Pools, func(p PoolConfig) bool { return p.Name == pool.Name }); was >= 0 {
			states[i] = h.states[was]
		}
	}
	h.states = states
	w.step(name, e)
}

// TestAPoolComesAndGoes on one node after the other, while the other pool goes on.
func TestAPoolComesAndGoes(t *testing.T) {
	w := newNet(t)
	names := []string{"node-a", "node-b", "node-c"}
	for i, name := range names {
		w.start(withPools(name, uint64(i+1), "web"))
	}
	w.until(5*time.Second, "agreement", func() bool { return w.agreed() && w.covered() })
	owned := func(name, pool string) int {
		for _, p := range w.nodes[name].n.Status(w.now).Pools {
			if p.Name == pool {
				return p.Owned.Count()
			}
		}
		return -1
	}
	for i, name := range names {
		w.reconfigure(name, func(e *Reconfigure) {
			e.Pools = append([]PoolConfig{{Name: "mail", Buckets: 96, Weight: 100}}, e.Pools...)
		})
		w.until(time.Second, "shares of the new pool", func() bool { return w.covered() && w.agreed() && owned(name, "mail") == 96/(i+1) })
		if owned(name, "web") != 32 {
			t.Errorf("%s owns %d of web, want 32", name, owned(name, "web"))
		}
	}
	for i, name := range names {
		w.reconfigure(name, func(e *Reconfigure) { e.Pools[0].Weight = NoShare })
		left := 96 / 2
		if i == 1 {
			left = 96
		}
		w.until(time.Second, "a handover", func() bool { return owned(name, "mail") == 0 && (i == 2 || owned("node-c", "mail") == left) })
		if w.nodes[name].n.Settled(0) {
			t.Errorf("%s has connections left, and is said to be settled", name)
		}
		w.step(name, Live{Pool: 0})
		if !w.nodes[name].n.Settled(0) {
			t.Errorf("%s has nothing left, and is not settled", name)
		}
		w.reconfigure(name, func(e *Reconfigure) { e.Pools = e.Pools[1:] })
		w.run(time.Second, nil)
		if owned(name, "web") != 32 || owned(name, "mail") != -1 {
			t.Errorf("%s has %d of web and %d of mail", name, owned(name, "web"), owned(name, "mail"))
		}
	}
	if v := w.nodes["node-a"].n.view; len(v.Members) != 3 {
		t.Errorf("somebody fell out: %v\n%s", v.Members, w.tell())
	}
}

// TestTheLongestLeaseCounts while nodes change their timing one after the other, in both directions.
func TestTheLongestLeaseCounts(t *testing.T) {
	w := newNet(t)
	names := []string{"node-a", "node-b", "node-c"}
	for i, name := range names {
		w.start(testConfig(name, uint64(i+1)))
	}
	w.until(5*time.Second, "agreement", func() bool { return w.agreed() && w.covered() })
	view := w.nodes["node-a"].n.view.ID
	retime := func(interval, lease, meanwhile, after time.Duration) {
		for i, name := range names {
			w.reconfigure(name, func(e *Reconfigure) { e.Interval, e.Lease = interval, lease })
			w.run(3*time.Second, nil)
			want := meanwhile
			if i == 2 {
				want = after
			}
			for _, other := range names {
				if got := w.nodes[other].n.lease; got != want {
					t.Errorf("%s has changed to %v: %s goes by %v, want %v", name, lease, other, got, want)
				}
			}
		}
		for _, name := range names {
			if s := w.nodes[name].n.Status(w.now); s.View.ID != view || !s.Agreed {
				t.Fatalf("the view did not last\n%s", w.tell())
			}
		}
	}
	retime(10*time.Millisecond, 50*time.Millisecond, 300*time.Millisecond, 50*time.Millisecond)
	retime(100*time.Millisecond, 400*time.Millisecond, 400*time.Millisecond, 400*time.Millisecond)

	// A node that dies right after all went down: what it was promised for the longer lease lasts.
	for _, name := range names {
		w.reconfigure(name, func(e *Reconfigure) { e.Interval, e.Lease = 10*time.Millisecond, 50*time.Millisecond })
	}
	w.run(5*time.Millisecond, nil)
	w.nodes["node-b"].dead = true
	w.until(500*time.Millisecond, "takeover", func() bool { return !w.covered() })
	w.until(500*time.Millisecond, "takeover", w.covered) // net.run finds two owners
}
