package ownership

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// net is a perfect network of nodes with one clock: the smallest world in
// which the machine can be watched. Faults are the simulator's business.
type net struct {
	t     *testing.T
	now   Time
	nodes map[string]*host
	names []string
	delay time.Duration
	queue []delivery
	cut   func(from, to string) bool
	story []string
	// What became of the orders given.
	ticket uint64
	done   map[uint64]CommandDone
	moved  map[string]int // buckets by the word of each node's notes
	// direct is told of beats and to whom they go by unicast, where nobody listens.
	direct func(from string, to []Recipient)
	// beatsAlone: as a daemon does, of frames that are beats no other word is said.
	beatsAlone bool
}

type host struct {
	n      *Node
	wake   Time
	lease  Time
	states [][]BucketState
	dead   bool
	last   Time // when its table last changed
}

type delivery struct {
	at   Time
	to   string
	beat *Beat
}

func newNet(t *testing.T) *net {
	return &net{t: t, nodes: map[string]*host{}, done: map[uint64]CommandDone{}, moved: map[string]int{}, delay: 200 * time.Microsecond, cut: func(_, _ string) bool { return false }}
}

func testConfig(name string, inc uint64) Config {
	return Config{
		Self: Ref{Name: name, Incarnation: inc}, Host: uint64(name[len(name)-1]),
		Pools:    []PoolConfig{{Name: "web", Buckets: 96, Fingerprint: 1, Weight: 100}},
		Interval: 50 * time.Millisecond, Lease: 300 * time.Millisecond, Seed: inc,
	}
}

func (w *net) start(cfg Config) *host {
	h := &host{n: New(cfg, w.now), wake: w.now, states: make([][]BucketState, len(cfg.Pools))}
	w.nodes[cfg.Self.Name] = h
	if !slices.Contains(w.names, cfg.Self.Name) {
		w.names = append(w.names, cfg.Self.Name)
	}
	return h
}

func (w *net) step(name string, ev Event) {
	h := w.nodes[name]
	for _, e := range h.n.Step(w.now, ev) {
		switch e := e.(type) {
		case SetTable:
			h.states[e.Pool], h.last = e.States, w.now
		case RenewLease:
			h.lease = e.Until
		case Send:
			if w.direct != nil {
				w.direct(name, e.Direct)
			}
			for _, to := range w.names {
				if to != name && !w.cut(name, to) {
					w.queue = append(w.queue, delivery{w.now + w.delay, to, e.Beat})
				}
			}
		case WakeAt:
			h.wake = e.At
		case CommandDone:
			w.done[e.Ticket] = e
		case Note:
			w.moved[name] += e.Moved
			w.story = append(w.story, fmt.Sprintf("%9.3f %s %s: %s", w.now.Seconds(), name, e.Kind, e.Text))
		}
	}
}

// run goes on until the time is over or the condition holds.
func (w *net) run(d time.Duration, until func() bool) bool {
	end := w.now + d
	for {
		if until != nil && until() {
			return true
		}
		at, who := end, -1
		for i, q := range w.queue {
			if q.at < at {
				at, who = q.at, i
			}
		}
		node := ""
		for _, name := range w.names {
			if h := w.nodes[name]; !h.dead && h.wake < at {
				at, node = h.wake, name
			}
		}
		w.now = max(w.now, at)
		switch {
		case node != "":
			w.step(node, Wake{})
		case who >= 0:
			q := w.queue[who]
			w.queue = slices.Delete(w.queue, who, who+1)
			if !w.nodes[q.to].dead {
				if !w.beatsAlone {
					w.step(q.to, FramesSeen{})
				}
				w.step(q.to, BeatReceived{Beat: q.beat})
			}
		default:
			return until == nil
		}
		w.check()
	}
}

// acceptors counts who would accept a new connection now, of each bucket of each pool.
func (w *net) acceptors() map[string][]int {
	counts := map[string][]int{}
	for _, name := range w.names {
		h := w.nodes[name]
		for i, pool := range h.n.cfg.Pools {
			if counts[pool.Name] == nil {
				counts[pool.Name] = make([]int, pool.Buckets)
			}
			if h.lease <= w.now || i >= len(h.states) {
				continue
			}
			for b, s := range h.states[i] {
				if s == Mine || s == Contested {
					counts[pool.Name][b]++
				}
			}
		}
	}
	return counts
}

func (w *net) check() {
	for pool, count := range w.acceptors() {
		if b := slices.IndexFunc(count, func(owners int) bool { return owners > 1 }); b >= 0 {
			w.t.Fatalf("at %v bucket %d of %s has %d owners\n%s", w.now, b, pool, count[b], w.tell())
		}
	}
}

func (w *net) covered() bool {
	counts := w.acceptors()
	for _, count := range counts {
		if slices.Contains(count, 0) {
			return false
		}
	}
	return len(counts) > 0
}

func (w *net) agreed() bool {
	for _, name := range w.names {
		if h := w.nodes[name]; !h.dead && !h.n.Status(w.now).Agreed {
			return false
		}
	}
	return true
}

func (w *net) tell() string {
	s := ""
	for _, l := range w.story {
		s += l + "\n"
	}
	return s
}

func TestThreeNodesLive(t *testing.T) {
	w := newNet(t)
	for i, name := range []string{"node-a", "node-b", "node-c"} {
		w.start(testConfig(name, uint64(i+1)))
	}
	if !w.run(5*time.Second, func() bool { return w.agreed() && w.covered() }) {
		t.Fatalf("three nodes did not agree in 5 s\n%s", w.tell())
	}
	for _, name := range w.names {
		if n := w.nodes[name].n.Status(w.now).Pools[0].Owned.Count(); n != 32 {
			t.Errorf("%s owns %d of 96 buckets, want 32", name, n)
		}
	}

	w.run(time.Second, nil)
	w.nodes["node-b"].dead = true
	died := w.now
	w.run(time.Second, func() bool { return !w.covered() })
	if !w.run(time.Second, w.covered) {
		t.Fatalf("nobody took over\n%s", w.tell())
	}
	if gap := w.now - died; gap > 330*time.Millisecond {
		t.Errorf("takeover after %v, want at most 330ms\n%s", gap, w.tell())
	}

	w.run(time.Second, nil)
	w.start(testConfig("node-b", 9))
	if !w.run(5*time.Second, func() bool { return w.agreed() && w.covered() && len(w.nodes["node-b"].n.view.Members) == 3 }) {
		t.Fatalf("node-b was not taken back\n%s", w.tell())
	}

	for _, name := range w.names {
		w.step(name, Live{Pool: 0}) // no connection is left of the earlier handovers
	}
	w.run(time.Second, nil)
	w.step("node-a", Drain{Reason: "test"})
	if !w.run(time.Second, func() bool {
		return w.covered() && w.agreed() && w.nodes["node-a"].n.Status(w.now).Pools[0].Owned.Empty()
	}) {
		t.Fatalf("node-a did not drain\n%s", w.tell())
	}
	s := w.nodes["node-a"].n.Status(w.now)
	if s.State != StateDraining || s.Pools[0].Lingering.Count() != 32 {
		t.Errorf("drained node: state %v, lingers on %d buckets, want draining, 32", s.State, s.Pools[0].Lingering.Count())
	}
	contested := 0
	for _, name := range []string{"node-b", "node-c"} {
		contested += w.nodes[name].n.Status(w.now).Pools[0].Contested.Count()
	}
	if contested < 32 {
		t.Errorf("%d buckets contested, want those 32 at least", contested)
	}
	w.step("node-a", Live{Pool: 0, Buckets: NewBitmap(96)})
	w.step("node-a", Resume{})
	if !w.run(time.Second, func() bool { return w.covered() && w.nodes["node-a"].n.Status(w.now).Pools[0].Owned.Count() == 32 }) {
		t.Fatalf("node-a did not resume\n%s", w.tell())
	}

	w.step("node-c", Stop{})
	w.nodes["node-c"].dead = true
	left := w.now
	if !w.run(time.Second, w.covered) || w.now-left > 20*time.Millisecond {
		t.Fatalf("goodbye: covered after %v\n%s", w.now-left, w.tell())
	}
	if testing.Verbose() {
		t.Log("\n" + w.tell())
	}
}

// TestAHostThatCannotServe hands over until it can again, whatever is ordered
// meanwhile, and serves on if nobody else can.
func TestAHostThatCannotServe(t *testing.T) {
	w := newNet(t)
	for i, name := range []string{"node-a", "node-b"} {
		w.start(testConfig(name, uint64(i+1)))
	}
	until := func(what string, fits func(own map[string]int) bool) {
		t.Helper()
		if !w.run(3*time.Second, func() bool {
			own := map[string]int{}
			for _, name := range w.names {
				own[name] = w.nodes[name].n.Status(w.now).Pools[0].Owned.Count()
			}
			return w.covered() && w.agreed() && fits(own)
		}) {
			t.Fatalf("waited in vain for: %s\n%s", what, w.tell())
		}
	}
	share := func(a, b int) func(map[string]int) bool {
		return func(own map[string]int) bool { return own["node-a"] == a && own["node-b"] == b }
	}
	until("even shares", share(48, 48))
	w.step("node-a", Unfit{Why: "the route has gone"})
	until("all with the other", share(0, 96))
	if s := w.nodes["node-a"].n.Status(w.now); s.State != StateDraining || s.Why != "hands over: the route has gone" {
		t.Errorf("state %v because %q", s.State, s.Why)
	}
	lone := *w.nodes["node-a"].n
	lone.bar = barFenced
	if s := lone.Status(w.now); s.State != StateFenced || s.Why != "its lease ran out; waits to be taken in by those who serve; hands over: the route has gone" {
		t.Errorf("fenced besides: state %v because %q", s.State, s.Why)
	}
	told := func(name string) []string {
		s := w.nodes["node-b"].n.Status(w.now)
		return s.Nodes[slices.IndexFunc(s.Nodes, func(n NodeStatus) bool { return n.Name == name })].Health
	}
	if !w.run(time.Second, func() bool { return slices.Equal(told("node-a"), []string{"hands over: the route has gone"}) }) {
		t.Errorf("the other node says why: %q", told("node-a"))
	}
	w.step("node-a", Resume{}) // an operator's word does not bring the route back
	w.step("node-a", Drain{Reason: "test"})
	w.step("node-a", Unfit{})
	until("all with the other, by order now", share(0, 96))
	if !w.run(time.Second, func() bool { return slices.Equal(told("node-a"), []string{"drains: test"}) }) {
		t.Errorf("the other node says why: %q", told("node-a"))
	}
	w.step("node-a", Resume{})
	until("even shares again", share(48, 48))
	w.step("node-a", Unfit{Why: "this"})
	w.step("node-b", Unfit{Why: "that"})
	until("both serving on", share(48, 48))
}

func TestTwoNodesBecomeOne(t *testing.T) {
	for _, q := range []Quorum{QuorumNone, QuorumMajority} {
		t.Run(q.String(), func(t *testing.T) {
			w := newNet(t)
			for i, name := range []string{"node-a", "node-b"} {
				cfg := testConfig(name, uint64(i+1))
				cfg.Quorum, cfg.ExpectedNodes = q, 2
				w.start(cfg)
			}
			if !w.run(5*time.Second, func() bool { return w.agreed() && w.covered() }) {
				t.Fatalf("no agreement\n%s", w.tell())
			}
			w.run(time.Second, nil)
			w.nodes["node-a"].dead = true
			w.run(300*time.Millisecond, nil)
			took := w.run(time.Second, func() bool {
				w.step("node-b", FramesSeen{}) // clients still knock
				return w.covered()
			})
			if took != (q == QuorumNone) {
				t.Errorf("quorum %v: one of two serves alone: %v\n%s", q, took, w.tell())
			}
		})
	}
}

// TestQuietSegment: two nodes, one dies, and no client sends anything for long.
// The other accepts nothing until somebody knocks: its cable may be out.
func TestQuietSegment(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame Time // after the death, when a client's frame comes
		limit Time // after the frame, when everything has an owner
	}{
		{"a client knocks while it is deaf", 600 * time.Millisecond, 260 * time.Millisecond},
		{"a client knocks when it has taken over", 3 * time.Second, 101 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newNet(t)
			w.start(testConfig("node-a", 1))
			b := w.start(testConfig("node-b", 2))
			if !w.run(5*time.Second, func() bool { return w.agreed() && w.covered() }) {
				t.Fatalf("no agreement\n%s", w.tell())
			}
			w.run(time.Second, nil)
			b.dead = true
			w.run(c.frame, nil)
			if w.covered() {
				t.Fatalf("accepts although it has received nothing\n%s", w.tell())
			}
			w.step("node-a", FramesSeen{})
			since := w.now
			if !w.run(3*time.Second, w.covered) || w.now-since > c.limit {
				t.Fatalf("covered after %v, want %v at most\n%s", w.now-since, c.limit, w.tell())
			}
			w.run(2*time.Second, nil)
			if !w.covered() {
				t.Errorf("does not go on\n%s", w.tell())
			}
		})
	}
}

// TestDeafnessCountsFromTheLastFrame, be it a beat.
func TestDeafnessCountsFromTheLastFrame(t *testing.T) {
	w := newNet(t)
	w.beatsAlone = true
	for i, name := range []string{"node-a", "node-b", "node-c"} {
		w.start(testConfig(name, uint64(i+1)))
	}
	w.run(10*time.Second, nil)
	w.cut = func(_, to string) bool { return to == "node-c" }
	w.run(3*time.Second, nil)
	told := slices.DeleteFunc(slices.Clone(w.story), func(line string) bool {
		return !strings.Contains(line, "node-c deaf: the interface has received no frame for ")
	})
	if len(told) != 1 {
		t.Fatalf("%q", told)
	}
	_, told[0], _ = strings.Cut(told[0], "no frame for ")
	text, _, _ := strings.Cut(told[0], ":")
	if d, err := time.ParseDuration(text); err != nil || d > 300*time.Millisecond {
		t.Errorf("no frame for %q, want less than a lease", text)
	}
}
