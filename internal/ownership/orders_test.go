package ownership

import (
	"strings"
	"testing"
	"time"
)

// give has an operator give an order at a node and returns what became of it.
func (w *net) give(at, to string, o Order) CommandDone {
	w.t.Helper()
	w.ticket++
	ticket := w.ticket
	w.step(at, Command{Ticket: ticket, To: to, Order: o})
	if !w.run(10*time.Second, func() bool { _, done := w.done[ticket]; return done }) {
		w.t.Fatalf("order %d has no answer\n%s", ticket, w.tell())
	}
	return w.done[ticket]
}

// three nodes that agree.
func three(t *testing.T) *net {
	w := newNet(t)
	for i, name := range []string{"a", "b", "c"} {
		w.start(testConfig(name, uint64(i+1)))
	}
	if !w.run(5*time.Second, func() bool { return w.agreed() && w.covered() }) {
		t.Fatalf("no agreement\n%s", w.tell())
	}
	return w
}

func TestOrders(t *testing.T) {
	w := three(t)
	weight := func(n uint16) Order { return Order{Kind: OrderWeight, Weight: n} }
	for _, row := range []struct {
		name, to string
		order    Order
		outcome  Outcome
		why      string
	}{
		{"to this node", "", weight(10), Accepted, ""},
		{"to this node by name", "a", weight(20), Accepted, ""},
		{"to another", "b", weight(50), Accepted, ""},
		{"to nobody", "x", weight(50), Unreached, `no node "x" has been heard since this one started; heard are a, b, c`},
		{"of what there is not", "b", Order{Kind: 99}, Refused, "b refuses: this node's version does not know such an order"},
		{"to resume one that does not drain", "b", Order{Kind: OrderResume}, Accepted, ""},
		{"to drain", "b", Order{Kind: OrderDrain}, Accepted, ""},
		{"to drain once more", "b", Order{Kind: OrderDrain}, Accepted, ""},
		{"to drain another", "c", Order{Kind: OrderDrain}, Accepted, ""},
		{"to drain the last", "", Order{Kind: OrderDrain}, Refused, "nobody else can take over: drained, this node would go on serving; bring another node back first, or --force"},
		{"to drain the last by force", "", Order{Kind: OrderDrain, Force: true}, Accepted, ""},
	} {
		began := w.now
		if done := w.give("a", row.to, row.order); done.Outcome != row.outcome || done.Why != row.why {
			t.Errorf("%s: %v, %q", row.name, done.Outcome, done.Why)
		}
		if took := w.now - began; took > 10*time.Millisecond {
			t.Errorf("%s: answered after %v", row.name, took)
		}
	}
	if b := w.nodes["b"].n; b.weights[0] != 50 || !b.draining {
		t.Errorf("b: weight %d, drains %v", b.weights[0], b.draining)
	}
	w.run(time.Second, nil)
	for name, h := range w.nodes {
		if len(h.n.desk.sent)+len(h.n.desk.answers) > 0 || h.n.desk.ask != nil {
			t.Errorf("something is left on %s's desk: %+v", name, h.n.desk)
		}
	}
}

// TestAnOrderIsObeyedOnce: neither one that is told again, nor one of the past, nor one to
// an earlier start has an effect.
func TestAnOrderIsObeyedOnce(t *testing.T) {
	w := three(t)
	b := w.nodes["b"].n
	order := func(to Ref, id uint64, weight uint16) {
		beat := *b.peer("a").beat
		beat.Seq++
		beat.Orders = []SentOrder{{To: to, ID: id, Order: Order{Kind: OrderWeight, Weight: weight}}}
		w.step("b", BeatReceived{Beat: &beat})
	}
	expect := func(what string, weight uint16) {
		t.Helper()
		if b.weights[0] != weight {
			t.Errorf("%s: weight %d, want %d", what, b.weights[0], weight)
		}
	}
	order(Ref{"b", 2}, 5, 50)
	expect("an order", 50)
	w.step("b", SetWeights{Weights: []uint16{100}})
	order(Ref{"b", 2}, 5, 50)
	expect("the same again", 100)
	order(Ref{"b", 2}, 4, 40)
	expect("one before it", 100)
	order(Ref{"b", 1}, 6, 60)
	expect("one to an earlier start", 100)
	order(Ref{"c", 3}, 7, 70)
	expect("one to another", 100)
	order(Ref{}, 8, 80)
	expect("one to all, which only asks who stays may be", 100)
	order(Ref{"b", 2}, 9, 90)
	expect("the next", 90)

	// b stands still; what has queued meanwhile is of the past.
	w.now += 400 * time.Millisecond
	order(Ref{"b", 2}, 10, 10)
	expect("one that waited", 90)
}

func TestOrdersThatCannotBeAnswered(t *testing.T) {
	w := three(t)
	w.nodes["b"].dead = true
	done := w.give("a", "b", Order{Kind: OrderDrain})
	if done.Outcome != Unanswered || !strings.HasPrefix(done.Why, "b is silent for ") {
		t.Errorf("to one that has just died: %v, %q", done.Outcome, done.Why)
	}
	if done = w.give("a", "b", Order{Kind: OrderDrain}); done.Outcome != Unreached || !strings.HasPrefix(done.Why, "b is silent for ") {
		t.Errorf("to one that is silent: %v, %q", done.Outcome, done.Why)
	}
	w.start(testConfig("b", 9))
	w.run(5*time.Second, w.agreed)
	if w.nodes["b"].n.draining {
		t.Error("obeyed by the next start")
	}
	w.step("c", Stop{})
	w.nodes["c"].dead = true
	w.run(100*time.Millisecond, nil)
	if done = w.give("a", "c", Order{Kind: OrderDrain}); done.Outcome != Unreached || done.Why != "c has said goodbye: its daemon does not run" {
		t.Errorf("to one that has left: %v, %q", done.Outcome, done.Why)
	}
}

// TestWhoRetiresTakesNoOrders: whatever came before, the node hands over and ends. What
// was ordered of it before stands beside that, for the next daemon.
func TestWhoRetiresTakesNoOrders(t *testing.T) {
	const why = "the daemon stops: it takes no more orders"
	w := three(t)
	w.run(time.Second, nil)
	w.give("b", "", Order{Kind: OrderWeight, Weight: 50})
	w.give("b", "", Order{Kind: OrderDrain, Reason: "new kernel", Timeout: time.Minute})
	w.step("b", Retire{Reason: "the daemon stops"})
	for _, row := range []struct {
		name, at, why string
		order         Order
	}{
		{"resume", "b", why, Order{Kind: OrderResume}},
		{"resume, from afar", "a", "b refuses: " + why, Order{Kind: OrderResume}},
		{"drain", "b", why, Order{Kind: OrderDrain, Force: true}},
		{"weight", "c", "b refuses: " + why, Order{Kind: OrderWeight, Weight: 10}},
	} {
		if done := w.give(row.at, "b", row.order); done.Outcome != Refused || done.Why != row.why {
			t.Errorf("%s: %v, %q", row.name, done.Outcome, done.Why)
		}
	}
	w.run(time.Second, nil)
	b := w.nodes["b"].n
	if b.state() != StateDraining || b.owns() {
		t.Errorf("%v, owns %v", b.state(), b.owns())
	}
	if drain, on := b.DrainInForce(); !on || drain != (Drain{Reason: "new kernel", Timeout: time.Minute}) || b.Carries() != 50 {
		t.Errorf("stands: %+v, %v, weight %d", drain, on, b.Carries())
	}
	if done := w.give("c", "", Order{Kind: OrderDrain}); done.Outcome != Accepted {
		t.Errorf("a still serves, but c may not drain: %q", done.Why)
	}
	if done := w.give("a", "", Order{Kind: OrderDrain}); done.Outcome != Refused {
		t.Error("a is told that one who retires stays")
	}
}

// TestTheLastThatDrainsServesAlone: what was drained before is left alone, as somebody may be
// about to switch it off, until nobody else is there.
func TestTheLastThatDrainsServesAlone(t *testing.T) {
	w := three(t)
	w.run(time.Second, nil)
	owners := func(what string, want string) {
		t.Helper()
		if !w.run(5*time.Second, func() bool {
			own := ""
			for _, name := range w.names {
				if !w.nodes[name].dead && w.nodes[name].n.owns() {
					own += name
				}
			}
			return own == want && w.covered()
		}) {
			t.Fatalf("%s: not shared by %q\n%s", what, want, w.tell())
		}
	}
	drain := Order{Kind: OrderDrain, Reason: "new kernel"}
	force := Order{Kind: OrderDrain, Force: true}
	w.give("b", "", drain)
	w.give("c", "", drain)
	owners("two drain", "a")
	before := w.nodes["b"].last
	w.give("a", "", force)
	w.run(2*time.Second, nil)
	owners("the last drains by force", "a")
	if w.nodes["b"].last > before {
		t.Errorf("b has owned something again\n%s", w.tell())
	}
	w.give("b", "", Order{Kind: OrderResume})
	owners("another is there again", "b")
	w.give("b", "", force)
	owners("and drains by force too", "b")
	w.nodes["b"].dead = true
	owners("nobody is left but nodes that drain", "ac")
}

// TestReasonsReachTheOthers: why a node hands over, that it takes part again, and that
// people gave it another weight, stands in the others' events.
func TestReasonsReachTheOthers(t *testing.T) {
	w := three(t)
	w.run(time.Second, nil)
	for _, row := range []struct {
		what string
		ev   Event
		want string
	}{
		{"a weight", SetWeights{Weights: []uint16{50}}, "a weight: weight in pool web: 50, was 100"},
		{"a drain", Drain{Reason: "new kernel"}, "a drain: drains: new kernel"},
		{"the host cannot serve either", Unfit{Why: "the route has gone"}, "a drain: hands over: the route has gone; drains: new kernel"},
		{"it can again", Unfit{}, "a drain: drains: new kernel"},
		{"a drain that is over", Resume{}, "a resume: takes part again"},
		{"a stop", Retire{Reason: "the daemon stops"}, "a drain: drains: the daemon stops"},
	} {
		before := len(w.story)
		w.step("b", row.ev)
		w.run(time.Second, nil)
		told := 0
		for _, line := range w.story[before:] {
			if strings.HasSuffix(line, row.want) {
				told++
			}
		}
		if told != 1 {
			t.Errorf("%s: a tells %q %d times\n%s", row.what, row.want, told, strings.Join(w.story[before:], "\n"))
		}
	}
}

// TestNotesCountWhatMoves: what a node has gained and given away by its notes is what it has,
// also of a view in which it gains from several nodes, one after the other.
func TestNotesCountWhatMoves(t *testing.T) {
	w := newNet(t)
	for i, name := range []string{"a", "b", "c"} {
		w.start(testConfig(name, uint64(i+1)))
		w.run(3*time.Second, nil)
	}
	for _, row := range []struct {
		what, at string
		ev       Event
	}{
		{"three that came one after the other", "a", Wake{}},
		{"less for one", "a", SetWeights{Weights: []uint16{20}}},
		{"a drain", "b", Drain{Reason: "test"}},
		{"its end", "b", Resume{}},
	} {
		w.step(row.at, row.ev)
		w.run(3*time.Second, nil)
		for _, name := range w.names {
			if own := w.nodes[name].n.owned[0].Count(); w.moved[name] != own {
				t.Errorf("%s: %s has %d buckets, and by its notes %d\n%s", row.what, name, own, w.moved[name], w.tell())
			}
		}
	}
}
