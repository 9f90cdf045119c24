package ownership

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// standby is a node of a view with one single pool. The members are written
// "name weight priority"; the first is the node itself.
func standby(t *testing.T, preempt bool, before string, pins []Pin, members ...string) (*Node, *View) {
	v := &View{ID: ViewID{Number: 1}, Pools: []string{"db"}, Pins: pins}
	n := &Node{cfg: Config{Pools: []PoolConfig{{Name: "db", Buckets: 8, Spread: SpreadSingle, Preempt: preempt}}}}
	for i, m := range members {
		var ref Ref
		var weight, priority uint16
		if _, err := fmt.Sscan(m, &ref.Name, &weight, &priority); err != nil {
			t.Fatal(err)
		}
		v.Members = append(v.Members, Member{Ref: ref, Weights: []uint16{weight}})
		if i == 0 {
			n.cfg.Self, n.cfg.Pools[0].Priority = ref, priority
			continue
		}
		n.addPeer(&peer{ref: ref, beat: &Beat{From: ref, Pools: []PoolBeat{{Name: "db", Priority: priority}}}})
	}
	n.view.Pools, n.view.Actives = v.Pools, []Active{{Node: before}}
	return n, v
}

func TestWhoIsActive(t *testing.T) {
	for _, tt := range []struct {
		sentence string
		preempt  bool
		before   string
		pins     []Pin
		members  []string
		want     string
		why      ActiveReason
	}{
		{"the highest priority is active", true, "", nil, []string{"a 100 100", "b 100 200", "c 100 150"}, "b", ActiveHighest},
		{"of equals the lowest name", true, "", nil, []string{"a 100 10", "b 100 100", "c 100 100"}, "b", ActiveEqual},
		{"of equals the one that was", true, "c", nil, []string{"a 100 10", "b 100 100", "c 100 100"}, "c", ActiveEqual},
		{"a higher priority preempts", true, "a", nil, []string{"a 100 100", "b 100 200"}, "b", ActiveHighest},
		{"unless preempt is off", false, "a", nil, []string{"a 100 100", "b 100 200"}, "a", ActiveStays},
		{"without preempt the first is the highest", false, "", nil, []string{"a 100 100", "b 100 200"}, "b", ActiveHighest},
		{"without preempt one that has gone is followed by the highest", false, "x", nil, []string{"a 100 100", "b 100 200"}, "b", ActiveHighest},
		{"who stays may be the highest too", false, "b", nil, []string{"a 100 100", "b 100 200"}, "b", ActiveHighest},
		{"weight is no priority", true, "", nil, []string{"a 1 200", "b 1000 100"}, "a", ActiveHighest},
		{"weight 0 makes way", true, "b", nil, []string{"a 100 100", "b 0 200", "c 100 150"}, "c", ActiveHighest},
		{"weight 0 makes way without preempt too", false, "b", nil, []string{"a 100 100", "b 0 200"}, "a", ActiveOnly},
		{"priority 0 serves", true, "", nil, []string{"a 100 0"}, "a", ActiveOnly},
		{"if all have weight 0, who was active goes on", true, "a", nil, []string{"a 0 100", "b 0 200"}, "a", ActiveLast},
		{"if all have weight 0 and nobody was, the highest", true, "", nil, []string{"a 0 100", "b 0 200"}, "b", ActiveHighest},
		{"a pin is obeyed", true, "b", []Pin{{0, 3, "a"}}, []string{"a 100 100", "b 100 200"}, "a", ActivePinned},
		{"the lowest pin counts", false, "c", []Pin{{0, 3, "b"}, {0, 4, "a"}}, []string{"a 100 100", "b 100 200", "c 100 1"}, "b", ActivePinned},
		{"a pin to a node that drains waits", true, "a", []Pin{{0, 3, "b"}}, []string{"a 100 100", "b 0 200"}, "a", ActiveOnly},
		{"a pin of another pool is none", true, "b", []Pin{{1, 3, "a"}}, []string{"a 100 100", "b 100 200"}, "b", ActiveHighest},
		{"no members, nobody", true, "a", nil, nil, "", ActiveNobody},
	} {
		n, v := standby(t, tt.preempt, tt.before, tt.pins, tt.members...)
		got, why := n.chooseActive(0, v, tt.preempt)
		if got != tt.want || why != tt.why {
			t.Errorf("%s: %q, because %s; want %q, because %s", tt.sentence, got, why, tt.want, tt.why)
		}
		// It is a choice that stays: nobody calls for another view after it.
		n.view = *v
		if n.view.Actives = n.chooseActives(v); !n.activesStay() {
			again, why := n.chooseActive(0, v, tt.preempt)
			t.Errorf("%s: then %q, because %s", tt.sentence, again, why)
		}
	}
}

// pair is two nodes with an even pool, web, and a single one, db, on which node-b has
// the higher priority.
func pair(t *testing.T, preempt bool) *net {
	w := newNet(t)
	for i, name := range []string{"node-a", "node-b"} {
		w.start(pairConfig(name, uint64(i+1), preempt))
	}
	w.until(3*time.Second, "cold start", func() bool { return w.agreed() && w.activeIs("node-b") })
	return w
}

func pairConfig(name string, inc uint64, preempt bool) Config {
	cfg := testConfig(name, inc)
	db := PoolConfig{Name: "db", Buckets: 64, Fingerprint: 2, Weight: 100, Spread: SpreadSingle, Preempt: preempt, Priority: 100}
	if name == "node-b" {
		db.Priority = 200
	}
	cfg.Pools = []PoolConfig{db, cfg.Pools[0]}
	return cfg
}

// activeIs: all buckets of db are the node's, the other nodes have none, and everybody says so.
func (w *net) activeIs(name string) bool {
	for _, other := range w.names {
		h := w.nodes[other]
		if h.dead {
			continue
		}
		s := h.n.Status(w.now)
		want := 0
		if other == name {
			want = 64
		}
		if s.Pools[0].Owned.Count() != want || s.Pools[0].Active != name {
			return false
		}
	}
	return true
}

func (w *net) until(d time.Duration, what string, is func() bool) {
	w.t.Helper()
	if !w.run(d, is) {
		w.t.Fatalf("%s: not within %v\n%s", what, d, w.tell())
	}
}

func TestActiveAndStandby(t *testing.T) {
	for _, preempt := range []bool{true, false} {
		t.Run(fmt.Sprintf("preempt=%v", preempt), func(t *testing.T) {
			w := pair(t, preempt)
			if n := w.nodes["node-a"].n.Status(w.now).Pools[1].Owned.Count(); n != 48 {
				t.Errorf("of the even pool beside it node-a has %d buckets, want 48", n)
			}
			w.nodes["node-b"].dead = true
			w.run(300*time.Millisecond, nil)
			w.step("node-a", FramesSeen{}) // a client knocks: node-a is not deaf
			w.until(300*time.Millisecond, "takeover", func() bool { return w.activeIs("node-a") })

			w.start(pairConfig("node-b", 9, preempt))
			w.until(3*time.Second, "return", func() bool { return w.agreed() && len(w.nodes["node-b"].n.view.Members) == 2 })
			after := map[bool]string{true: "node-b", false: "node-a"}[preempt]
			w.until(time.Second, "who serves after the return", func() bool { return w.activeIs(after) })
			w.run(2*time.Second, nil)
			if !w.activeIs(after) {
				t.Errorf("it does not stay with %s\n%s", after, w.tell())
			}
			views := w.nodes["node-a"].n.view.ID.Number
			w.run(5*time.Second, nil)
			if now := w.nodes["node-a"].n.view.ID.Number; now != views {
				t.Errorf("%d views without a reason\n%s", now-views, w.tell())
			}
		})
	}
}

// A drain of the active node moves the pool, tells why, and its end moves it back only with preempt.
func TestActiveNodeDrains(t *testing.T) {
	for _, preempt := range []bool{true, false} {
		w := pair(t, preempt)
		w.step("node-b", Drain{Reason: "test"})
		w.until(time.Second, "drain", func() bool { return w.activeIs("node-a") })
		if told := "pool db goes to node-a (no other node has a weight)"; strings.Count(w.tell(), told) < 2 {
			t.Errorf("not told on both nodes: %s\n%s", told, w.tell())
		}
		w.step("node-b", Resume{})
		after := map[bool]string{true: "node-b", false: "node-a"}[preempt]
		w.run(time.Second, nil)
		if !w.activeIs(after) {
			t.Errorf("preempt %v: not with %s after the drain\n%s", preempt, after, w.tell())
		}
		why := map[bool]string{true: "it has the highest priority", false: "it stays there, because preempt is off"}[preempt]
		for _, name := range w.names {
			if got := w.nodes[name].n.Status(w.now).Pools[0].ActiveWhy.String(); got != why {
				t.Errorf("preempt %v: %s says %q, want %q", preempt, name, got, why)
			}
		}
	}
}

// If all drain, the last goes on: it does not go back to the one with the higher priority.
func TestLastActiveGoesOn(t *testing.T) {
	w := pair(t, true)
	w.step("node-b", Drain{Reason: "test"})
	w.until(time.Second, "drain", func() bool { return w.activeIs("node-a") })
	w.step("node-a", Drain{Reason: "test"})
	w.run(time.Second, nil)
	if !w.activeIs("node-a") {
		t.Errorf("the pool has moved, although nobody wants it\n%s", w.tell())
	}
}
