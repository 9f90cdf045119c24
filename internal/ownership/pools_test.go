package ownership

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// withPools is a node's configuration with these pools; a name may be followed by =
// and a letter, which is the fingerprint.
func withPools(name string, inc uint64, pools ...string) Config {
	cfg := testConfig(name, inc)
	cfg.Pools = nil
	for _, pool := range pools {
		pool, mark, _ := strings.Cut(pool, "=")
		p := PoolConfig{Name: pool, Buckets: 96, Weight: 100}
		if mark != "" {
			p.Fingerprint = uint64(mark[0])
		}
		cfg.Pools = append(cfg.Pools, p)
	}
	return cfg
}

// TestEachPoolIsSharedByThoseWhoHaveIt, in one view of all.
func TestEachPoolIsSharedByThoseWhoHaveIt(t *testing.T) {
	w := newNet(t)
	w.start(withPools("node-a", 1, "web", "wiki"))
	w.start(withPools("node-b", 2, "web"))
	w.start(withPools("node-c", 3, "web", "wiki", "zip"))
	if !w.run(5*time.Second, func() bool { return w.agreed() && w.covered() }) {
		t.Fatalf("no agreement\n%s", w.tell())
	}
	if v := w.nodes["node-b"].n.view; len(v.Members) != 3 || !slices.Equal(v.Pools, []string{"web", "wiki", "zip"}) {
		t.Errorf("the view has the members %v and the pools %v", v.Members, v.Pools)
	}
	want := map[string][]int{"node-a": {32, 48}, "node-b": {32}, "node-c": {32, 48, 96}}
	for name, owned := range want {
		s := w.nodes[name].n.Status(w.now)
		for i, p := range s.Pools {
			if p.Owned.Count() != owned[i] {
				t.Errorf("%s owns %d of %s, want %d", name, p.Owned.Count(), p.Name, owned[i])
			}
		}
	}
	b := w.nodes["node-b"].n.Status(w.now)
	if n := b.Nodes[2]; !slices.Equal(n.Theirs, []string{"wiki", "zip"}) || n.Ours != nil || n.Unlike != "" {
		t.Errorf("node-b finds of node-c: only there %v, only here %v, %q", n.Theirs, n.Ours, n.Unlike)
	}
	a := w.nodes["node-a"].n.Status(w.now)
	if n := a.Nodes[1]; !slices.Equal(n.Ours, []string{"wiki"}) || n.Weights[1] != NoShare {
		t.Errorf("node-a finds of node-b: only here %v, weights %v", n.Ours, n.Weights)
	}

	// With weight 0 all around, nobody is given what it does not have.
	for _, name := range w.names {
		w.step(name, Drain{Reason: "test"})
	}
	w.run(2*time.Second, nil)
	if !w.agreed() || !w.covered() {
		t.Fatalf("does not serve on when all drain\n%s", w.tell())
	}
	for i, want := range []int{32, 48, 96} {
		if n := w.nodes["node-c"].n.Status(w.now).Pools[i].Owned.Count(); n != want {
			t.Errorf("drained, node-c owns %d of pool %d, want %d", n, i, want)
		}
	}
}

// TestNobodyBringsTogetherWhoDiffers: a node that has neither pool could propose a view
// of two whose configurations of a third differ.
func TestNobodyBringsTogetherWhoDiffers(t *testing.T) {
	w := newNet(t)
	w.start(withPools("node-a", 1, "other"))
	w.start(withPools("node-b", 2, "web=x"))
	w.start(withPools("node-c", 3, "web=y"))
	for range 100 {
		w.run(100*time.Millisecond, nil)
		for _, name := range w.names {
			v := w.nodes[name].n.view
			if slices.ContainsFunc(v.Members, func(m Member) bool { return m.Name == "node-b" }) &&
				slices.ContainsFunc(v.Members, func(m Member) bool { return m.Name == "node-c" }) {
				t.Fatalf("%s is in a view of both\n%s", name, w.tell())
			}
		}
	}
	s := w.nodes["node-b"].n.Status(w.now)
	if !strings.Contains(s.Nodes[2].Unlike, "pool web") {
		t.Errorf("node-b says of node-c: %q", s.Nodes[2].Unlike)
	}
	if !w.nodes["node-b"].n.owns() && !w.nodes["node-c"].n.owns() {
		t.Errorf("neither serves\n%s", w.tell())
	}
}

// TestNodesThatCountOtherwiseDoNotShare, whatever pools they have.
func TestNodesThatCountOtherwiseDoNotShare(t *testing.T) {
	w := newNet(t)
	for i, pool := range []string{"web", "wiki"} {
		cfg := withPools([]string{"node-a", "node-b"}[i], uint64(i+1), pool)
		cfg.Quorum, cfg.ExpectedNodes = QuorumMajority, 2+i
		w.start(cfg)
	}
	w.run(3*time.Second, nil)
	s := w.nodes["node-a"].n.Status(w.now)
	if want := "it counts a majority of 3 nodes, this node of 2"; s.Nodes[1].Unlike != want {
		t.Errorf("says %q, want %q", s.Nodes[1].Unlike, want)
	}
	if len(s.View.Members) > 1 {
		t.Errorf("shares a view of %v", s.View.Members)
	}
}

// TestAddressesThatDifferAreToldAndNoMore.
func TestAddressesThatDifferAreToldAndNoMore(t *testing.T) {
	w := newNet(t)
	w.start(withPools("node-a", 1, "web"))
	b := withPools("node-b", 2, "web")
	b.Pools[0].Addresses = 1
	w.start(b)
	if !w.run(5*time.Second, func() bool { return w.agreed() && w.covered() }) {
		t.Fatalf("no agreement\n%s", w.tell())
	}
	if s := w.nodes["node-a"].n.Status(w.now); len(s.View.Members) != 2 || !slices.Equal(s.Nodes[1].OtherAddresses, []string{"web"}) {
		t.Errorf("a view of %d, and other addresses in %v", len(s.View.Members), s.Nodes[1].OtherAddresses)
	}
}

func TestWeightsOfAView(t *testing.T) {
	type pool struct {
		name   string
		weight uint16
	}
	view := []string{"b", "d", "f"}
	for _, c := range []struct {
		what  string
		asked []pool
		want  []uint16
		given bool // the weights of the view cover all that is asked for
	}{
		{"all pools", []pool{{"b", 1}, {"d", 2}, {"f", 3}}, []uint16{1, 2, 3}, true},
		{"none of them", nil, []uint16{NoShare, NoShare, NoShare}, true},
		{"some", []pool{{"d", 0}}, []uint16{NoShare, 0, NoShare}, true},
		{"a pool before all others", []pool{{"a", 5}, {"b", 1}}, []uint16{1, NoShare, NoShare}, false},
		{"a pool between", []pool{{"c", 5}, {"d", 1}}, []uint16{NoShare, 1, NoShare}, false},
		{"a pool after all others", []pool{{"f", 1}, {"g", 5}}, []uint16{NoShare, NoShare, 1}, false},
		{"one that is about to go", []pool{{"a", NoShare}, {"b", 1}, {"g", NoShare}}, []uint16{1, NoShare, NoShare}, true},
	} {
		ask := func(i int) (string, uint16) { return c.asked[i].name, c.asked[i].weight }
		got := weightsIn(view, len(c.asked), ask)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
		if given(view, got, len(c.asked), ask) != c.given {
			t.Errorf("%s: in force: %v", c.what, !c.given)
		}
		if got[1]++; given(view, got, len(c.asked), ask) {
			t.Errorf("%s: another weight is not noticed", c.what)
		}
	}
}

// TestWhatDiffersIsNamed, as far as beats have it.
func TestWhatDiffersIsNamed(t *testing.T) {
	here := PoolConfig{Name: "db", Buckets: 4096, Spread: SpreadSingle, Preempt: true, Fingerprint: 1}
	for _, row := range []struct {
		there PoolBeat
		want  string
	}{
		{PoolBeat{Spread: SpreadEven, Claims: NewBitmap(4096)}, "spread is even there, single here"},
		{PoolBeat{Spread: SpreadSingle, Claims: NewBitmap(4096)}, "preempt is false there, true here"},
		{PoolBeat{Spread: SpreadSingle, Preempt: true, Claims: NewBitmap(512)}, "buckets are not 4096 there"},
		{PoolBeat{Spread: SpreadSingle, Preempt: true}, "hash, buckets, mac or seed; compare"},
	} {
		if got := differs(&here, &row.there); !strings.Contains(got, "pool db") || !strings.Contains(got, row.want) {
			t.Errorf("says %q, want %q", got, row.want)
		}
	}
}

// TestWhoHasThisNodesName is told.
func TestWhoHasThisNodesName(t *testing.T) {
	w := newNet(t)
	h := w.start(testConfig("node-a", 1))
	w.run(2*time.Second, nil)
	for address, want := range map[string]string{"192.0.2.7": "another host (192.0.2.7) uses this node's name", "": "another host, which has no address of its own, uses this node's name"} {
		w.step("node-a", BeatReceived{Beat: &Beat{From: Ref{Name: "node-a", Incarnation: 9}, Host: 77, Seq: 1, Address: address}})
		if s := h.n.Status(w.now); s.State != StateStandby || s.Why != want {
			t.Errorf("%s: %q, want %q", s.State, s.Why, want)
		}
	}
}
