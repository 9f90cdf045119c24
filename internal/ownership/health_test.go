package ownership

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// What a node says of its health reaches the others at once; what it is to carry, with the next view.
func TestHealthIsTold(t *testing.T) {
	w := newNet(t)
	for _, name := range []string{"a", "b"} {
		w.start(testConfig(name, 1))
	}
	if !w.run(3*time.Second, func() bool { return w.covered() && w.agreed() }) {
		t.Fatal(w.tell())
	}
	a, b := w.nodes["a"], w.nodes["b"]
	w.step("a", SetHealth{Shares: []uint16{50}, Illness: []uint16{512}, Sees: []string{"gateway"}, Lines: []string{"web: refused"}, Why: [][]string{{"refused"}}})
	w.run(5*time.Millisecond, func() bool { return false })
	for _, h := range []*host{a, b} {
		s := h.n.Status(w.now)
		n := s.Nodes[0]
		if n.Name != "a" || !slices.Equal(n.Illness, []uint16{512}) || !slices.Equal(n.Sees, []string{"gateway"}) || !slices.Equal(n.Health, []string{"web: refused"}) {
			t.Errorf("%+v", n)
		}
		if n.Weights[0] != 50 || s.Nodes[1].Weights[0] != 100 {
			t.Errorf("weights %v and %v", n.Weights, s.Nodes[1].Weights)
		}
	}
	if !w.run(3*time.Second, func() bool { return w.covered() && w.agreed() && b.n.Status(w.now).Pools[0].Owned.Count() == 64 }) {
		t.Fatal(w.tell())
	}
	w.step("a", SetHealth{Shares: []uint16{SameShare}})
	w.step("a", SetWeights{Weights: []uint16{10}})
	if s := a.n.Status(w.now); s.Weights[0] != 5 || s.Asked[0] != 10 || len(s.Nodes[0].Health) != 0 {
		t.Errorf("%+v", s)
	}
	w.step("a", SetWeights{Weights: []uint16{0}})
	w.step("a", SetHealth{Shares: []uint16{0}, Illness: []uint16{512}})
	if n := a.n.illness(0); n != 0 {
		t.Errorf("who wants nothing by order says that it is %d ill", n)
	}
}

// Every node tells why a node carries less, and that it is well again.
func TestHealthIsAStory(t *testing.T) {
	w := newNet(t)
	for _, name := range []string{"a", "b"} {
		w.start(testConfig(name, 1))
	}
	if !w.run(3*time.Second, func() bool { return w.covered() && w.agreed() }) {
		t.Fatal(w.tell())
	}
	for _, row := range []struct {
		name string
		says Event
		want string // the end of what both tell, "" for nothing
	}{
		{"a load", SetHealth{Shares: []uint16{50}, Lines: []string{"cpu: busy"}, Why: [][]string{{"cpu: busy"}}}, "pool web: weight 50, was 100: cpu: busy"},
		{"the same in other words", SetHealth{Shares: []uint16{50}, Lines: []string{"cpu: busier"}, Why: [][]string{{"cpu: busier"}}}, ""},
		{"ill", SetHealth{Shares: []uint16{0}, Illness: []uint16{512}, Lines: []string{"refused"}, Why: [][]string{{"refused"}}}, "pool web: weight 0, was 50: refused"},
		{"ill, and nobody is better", SetHealth{Shares: []uint16{100}, Illness: []uint16{512}, Lines: []string{"refused"}, Why: [][]string{{"refused"}}}, "pool web: weight 100, was 0: refused"},
		{"another daemon that has not looked yet", SetHealth{Shares: []uint16{SameShare}, Illness: []uint16{0}, Lines: []string{"no verdict yet"}, Why: [][]string{{"no verdict yet"}}}, ""},
		{"ill of many things", SetHealth{Shares: []uint16{0}, Illness: []uint16{512}, Lines: []string{"a", "b", "c", "d", "e"}, Why: [][]string{{"a", "b", "c", "d", "e"}}},
			"pool web: weight 0, was 100: a; b; c; and 2 more"},
		{"once more, and nobody is better", SetHealth{Shares: []uint16{100}, Illness: []uint16{512}, Lines: []string{"a"}, Why: [][]string{{"a"}}}, "pool web: weight 100, was 0: a"},
		{"well, where it has served on", SetHealth{Shares: []uint16{100}, Illness: []uint16{0}, Why: [][]string{nil}}, "pool web: goes on with weight 100: all is well"},
		{"another weight by order", SetWeights{Weights: []uint16{10}}, ""},
	} {
		w.story = nil
		w.step("a", row.says)
		w.run(100*time.Millisecond, func() bool { return false })
		told := ""
		for _, line := range w.story {
			if _, text, ok := strings.Cut(line, "health: "); ok {
				told += text + "\n"
			}
		}
		want := ""
		if row.want != "" {
			want = strings.Repeat(row.want+"\n", 2)
		}
		if told != want {
			t.Errorf("%s: told %q, want %q", row.name, told, want)
		}
	}
}

// A node that its health leaves nothing goes through the views without joining
// again, also when it is well again. One that falls out does join again.
func TestWhoOwnsNothingDoesNotJoinAgain(t *testing.T) {
	w := newNet(t)
	for _, name := range []string{"a", "b", "c"} {
		w.start(testConfig(name, 1))
	}
	settled := func(owned int) func() bool {
		return func() bool {
			return w.covered() && w.agreed() && w.nodes["a"].n.Status(w.now).Pools[0].Owned.Count() == owned
		}
	}
	if !w.run(3*time.Second, settled(32)) {
		t.Fatal(w.tell())
	}
	states := map[State]bool{}
	follow := func(until func() bool) func() bool {
		return func() bool {
			states[w.nodes["a"].n.State()] = true
			return until()
		}
	}
	w.step("a", SetHealth{Shares: []uint16{0}, Illness: []uint16{512}})
	if !w.run(3*time.Second, follow(settled(0))) {
		t.Fatal(w.tell())
	}
	w.step("b", SetWeights{Weights: []uint16{50}})
	w.run(time.Second, follow(func() bool { return false }))
	w.step("b", SetWeights{Weights: []uint16{100}})
	w.step("a", SetHealth{Shares: []uint16{100}})
	if !w.run(3*time.Second, follow(settled(32))) {
		t.Fatal(w.tell())
	}
	if len(states) != 1 || !states[StateServing] {
		t.Errorf("was in the states %v, want serving all the while\n%s", states, w.tell())
	}
	w.cut = func(from, to string) bool { return from == "a" || to == "a" }
	w.run(time.Second, nil)
	w.cut = func(string, string) bool { return false }
	if w.run(3*time.Second, follow(settled(32))); !states[StateFenced] {
		t.Errorf("was in the states %v, want fenced too\n%s", states, w.tell())
	}
}

// A cause that shows after what follows from it is told, once, and so is its end.
func TestACauseThatComesLateIsTold(t *testing.T) {
	w := newNet(t)
	for _, name := range []string{"a", "b"} {
		w.start(testConfig(name, 1))
	}
	if !w.run(3*time.Second, func() bool { return w.covered() && w.agreed() }) {
		t.Fatal(w.tell())
	}
	ill := func(blame string, why ...string) SetHealth {
		return SetHealth{Shares: []uint16{0}, Illness: []uint16{512}, Lines: why, Why: [][]string{why}, Blame: []string{blame}}
	}
	for _, row := range []struct {
		says SetHealth
		want string // the end of what is told, "" for nothing
	}{
		{ill("", "nginx: 500"), "pool web: weight 0, was 100: nginx: 500"},
		{ill("", "nginx: 503"), ""},
		{ill("nginx by disk_space", "disk_space: 97 %; hence nginx: 503"), "pool web: goes on with weight 0: disk_space: 97 %; hence nginx: 503"},
		{ill("nginx by disk_space", "disk_space: 98 %; hence nginx: 503"), ""},
		{SetHealth{Shares: []uint16{SameShare}, Illness: []uint16{0}, Blame: []string{""}}, ""},
		{ill("nginx by disk_space", "disk_space: 98 %; hence nginx: 503"), ""},
		{ill("", "nginx: 503"), "pool web: goes on with weight 0: nginx: 503"},
		{SetHealth{Shares: []uint16{100}, Illness: []uint16{0}, Blame: []string{""}, Why: [][]string{nil}}, "pool web: weight 100, was 0: all is well"},
	} {
		w.story = nil
		w.step("a", row.says)
		told := ""
		for _, line := range w.story {
			if _, text, ok := strings.Cut(line, "health: "); ok {
				told += text
			}
		}
		if told != row.want {
			t.Errorf("%+v: told %q, want %q", row.says, told, row.want)
		}
	}
}
