package probe

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/lab/segment"
	"github.com/rota-cluster/rota/internal/lab/service"
)

func web(a netip.Addr) netip.AddrPort   { return netip.AddrPortFrom(a, service.HTTPPort) }
func lines(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, service.LinePort) }

func TestBurstCountsWhoAnswers(t *testing.T) {
	r := newRig(t, 2)
	r.flood(t)
	own(t, r.nodes[1])
	for _, a := range shared {
		stop := r.tap(t)
		report, err := r.client.Burst(soon(t), Burst{To: web(a), Connections: 1000})
		must(t, err)
		must(t, report.Check())
		if report.ByNode["n2"] != 1000 || report.Latency.Count() != 1000 {
			t.Errorf("%s: %s; want 1000 answers by n2", a, report)
		}
		seen := stop()
		must(t, seen.Check())
		if seen.Answers["n2"] != 1000 || len(seen.Answers) != 1 {
			t.Errorf("%s: the tap saw %s; want 1000 answers by n2", a, seen)
		}
	}
}

func TestBurstTellsWhyNobodyAnswers(t *testing.T) {
	r := newRig(t, 1)
	r.flood(t)
	burst := func(to netip.AddrPort) BurstReport {
		report, err := r.client.Burst(soon(t), Burst{To: to, Connections: 20, Patience: 100 * time.Millisecond})
		must(t, err)
		return report
	}
	if got := burst(web(shared4)); got.Outcomes[Unanswered] != 20 || got.Check() == nil {
		t.Errorf("nobody owns the address: %s; want 20 unanswered", got)
	}
	own(t, r.nodes[0])
	if got := burst(netip.AddrPortFrom(shared4, 81)); got.Outcomes[Refused] != 20 || got.Check() == nil {
		t.Errorf("nobody listens: %s; want 20 refused", got)
	}
	if got := burst(lines(shared4)); got.Outcomes[Answered] != 0 || got.Check() == nil {
		t.Errorf("something else than HTTP listens: %s; want no answer", got)
	}
	disown(t, r.nodes[0])
	few, err := r.client.Burst(soon(t), Burst{To: web(shared4), Connections: 1_000_000, Parallel: 10, Patience: 100 * time.Millisecond, Enough: 30})
	must(t, err)
	var vain *NoAnswerError
	if n := few.Failed(); n < 30 || n > 40 || n != few.Asked || !errors.As(few.Check(), &vain) || len(vain.From) != n || vain.To != web(shared4) {
		t.Errorf("30 without an answer were enough: %s; %v", few, few.Check())
	}
	_, err = r.client.Burst(soon(t), Burst{To: netip.MustParseAddrPort("198.51.100.1:80"), Connections: 1})
	must(t, err) // no route: an outcome, not an error
}

func TestTwoOwnersAreFound(t *testing.T) {
	r := newRig(t, 2)
	r.flood(t)
	own(t, r.nodes[0])
	own(t, r.nodes[1])
	for _, a := range shared {
		stop := r.tap(t)
		_, err := r.client.Burst(soon(t), Burst{To: web(a), Connections: 50, Patience: 500 * time.Millisecond})
		must(t, err)
		seen := stop()
		if seen.Twice < 45 || seen.Check() == nil || len(seen.Stories) == 0 {
			t.Errorf("%s: the tap saw %s; want nearly every one of 50 connections answered twice", a, seen)
		}
	}
}

func TestFlowsMeasureATakeover(t *testing.T) {
	r := newRig(t, 2)
	r.flood(t)
	own(t, r.nodes[0])
	flows, err := r.client.Flows(FlowOptions{To: web(shared4), Flows: 10})
	must(t, err)
	stop := r.tap(t)
	run := Start(soon(t), flows.Run)
	must(t, flows.WaitAnswered(soon(t)))

	cut := time.Now()
	r.setLoss(t, r.nodes[0], segment.Loss{Frames: segment.Certain})
	r.waitLost(t, r.nodes[0], 300)
	taken := time.Now()
	own(t, r.nodes[1])
	must(t, flows.WaitAnswered(soon(t)))
	again := time.Now()

	report, err := run.Stop()
	must(t, err)
	must(t, stop().Check("n1"))
	slack := 20*time.Millisecond + 2*report.Stalled
	if report.Longest < taken.Sub(cut)-slack || report.Longest > again.Sub(cut)+slack {
		t.Errorf("longest unanswered %s, want between %s and %s, ±%s", report.Longest, taken.Sub(cut), again.Sub(cut), slack)
	}
	if report.Check(taken.Sub(cut)/2) == nil {
		t.Error("a limit of half the gap is held")
	}
	if gaps := report.Gaps(taken); len(gaps) < 10 {
		t.Errorf("%d gaps told, want one per flow", len(gaps))
	}
	for _, s := range report.Flows {
		if len(s.Owners) != 2 || s.Owners[0].Node != "n1" || s.Owners[1].Node != "n2" || s.Open {
			t.Errorf("%s was answered by %v, want n1 then n2", s.Source, s.Owners)
		}
	}
}

func TestFlowsTellWhatIsNeverAnswered(t *testing.T) {
	r := newRig(t, 1)
	r.flood(t)
	flows, err := r.client.Flows(FlowOptions{To: web(shared6), Flows: 2})
	must(t, err)
	run := Start(soon(t), flows.Run)
	own(t, r.nodes[0])
	must(t, flows.WaitAnswered(soon(t)))
	r.setLoss(t, r.nodes[0], segment.Loss{Frames: segment.Certain})
	r.waitLost(t, r.nodes[0], 60)
	over, cancel := context.WithTimeoutCause(context.Background(), 100*time.Millisecond, errors.New("waited for long"))
	defer cancel()
	err = flows.WaitAnswered(over)
	var vain *NoAnswerError
	if !errors.As(err, &vain) || len(vain.From) != 2 || !strings.Contains(err.Error(), "2 of 2 flows get no answer") || !strings.Contains(err.Error(), "waited for long") {
		t.Errorf("got %v; want both flows", err)
	}
	report, err := run.Stop()
	must(t, err)
	if report.Open != 2 || report.Check(time.Hour) == nil {
		t.Errorf("%s; want both flows unanswered at the end", report)
	}
}

func TestAFlowIsUnansweredAtTheEndWhenItHasBeenForLong(t *testing.T) {
	now, o := time.Now(), FlowOptions{Patience: 100 * time.Millisecond}
	for _, row := range []struct {
		sentence            string
		phase               phase
		vainFor, startedFor time.Duration
		open                bool
	}{
		{"answered, and nothing is asked", idle, 0, time.Second, false},
		{"a question has just been asked", connecting, 0, 10 * time.Millisecond, false},
		{"a question has been open for long", asking, 0, 200 * time.Millisecond, true},
		{"one question was given up a moment ago", connecting, 20 * time.Millisecond, 10 * time.Millisecond, false},
		{"question after question is given up", connecting, 200 * time.Millisecond, 10 * time.Millisecond, true},
	} {
		l := flow{ask: ask{phase: row.phase, started: now.Add(-row.startedFor)}}
		if row.vainFor > 0 {
			l.vainFrom = now.Add(-row.vainFor)
		}
		if l.stillWaiting(now, o); l.story.Open != row.open {
			t.Errorf("%s: unanswered at the end: %v", row.sentence, l.story.Open)
		}
	}
}

func TestHeldConnectionsSurviveALossAndBreakByAReset(t *testing.T) {
	r := newRig(t, 2)
	r.flood(t)
	own(t, r.nodes[0])
	held, err := r.client.Held(HeldOptions{To: lines(shared4), Connections: 50})
	must(t, err)
	stop := r.tap(t)
	run := Start(soon(t), held.Run)
	must(t, held.WaitOpen(soon(t)))

	r.setLoss(t, r.nodes[0], segment.Loss{Frames: segment.Certain})
	r.waitLost(t, r.nodes[0], 60)
	r.setLoss(t, r.nodes[0], segment.Loss{})
	if held.Broken() != 0 {
		t.Fatal("a short loss broke connections")
	}

	r.setLoss(t, r.nodes[0], segment.Loss{Frames: segment.Certain})
	own(t, r.nodes[1])
	waitFor(t, "n2 to reset what n1 had", func() bool { return held.Broken() == 50 })
	report, err := run.Stop()
	must(t, err)
	if report.Opened != 50 || len(report.Broken) != 50 || report.ByNode["n1"] != 50 || report.Check() == nil {
		t.Errorf("%s; want 50 broken", report)
	}
	if b := report.Broken[0]; b.Node != "n1" || !strings.Contains(b.Reason, "reset") {
		t.Errorf("broken: %+v; want a reset of n1's connection", b)
	}
	seen := stop()
	if seen.Resets[ResetBy{Node: "n1", By: "n2"}] == 0 || seen.Check() == nil {
		t.Errorf("the tap saw %s; want n2 to reset connections of n1", seen)
	}
	must(t, seen.Check("n1"))
}

func TestHeldConnectionsAreCountedWhole(t *testing.T) {
	r := newRig(t, 1)
	r.flood(t)
	own(t, r.nodes[0])
	held, err := r.client.Held(HeldOptions{To: lines(shared6), Connections: 100})
	must(t, err)
	run := Start(soon(t), held.Run)
	must(t, held.WaitOpen(soon(t)))
	report, err := run.Stop()
	must(t, err)
	must(t, report.Check())
	if report.Opened != 100 || report.Answers < 100 {
		t.Errorf("%s; want 100 open", report)
	}
}

func TestLapsAddUp(t *testing.T) {
	r := newRig(t, 1)
	r.flood(t)
	own(t, r.nodes[0])
	held, err := r.client.Held(HeldOptions{To: lines(shared4), Connections: 20})
	must(t, err)
	arrivals, err := r.client.Arrivals(ArrivalOptions{To: web(shared4), Every: 2 * time.Millisecond})
	must(t, err)
	holding, arriving := Start(soon(t), held.Run), Start(soon(t), arrivals.Run)
	must(t, held.WaitOpen(soon(t)))
	var answered, arrived int
	lap := func(h HeldReport, a ArrivalReport) {
		answered += h.Answers
		arrived += a.Outcomes[Answered]
		if h.Opened != 20 || h.ByNode["n1"] != 20 || a.ByNode["n1"] != a.Outcomes[Answered] || h.Check() != nil || a.Failed() != 0 {
			t.Errorf("%s; %s; want 20 held by n1 and nobody unanswered", h, a)
		}
	}
	lap(held.Lap(), arrivals.Lap())
	waitFor(t, "questions and clients", func() bool {
		before := answered + arrived
		lap(held.Lap(), arrivals.Lap())
		return answered > 200 && arrived > 50 && answered+arrived > before
	})
	h, err := holding.Stop()
	must(t, err)
	a, err := arriving.Stop()
	must(t, err)
	lap(h, a)
	want := 0
	for i := range held.lines {
		want += held.lines[i].asked
		if held.lines[i].waiting {
			want--
		}
	}
	if answered != want {
		t.Errorf("%d answers in all laps, want %d", answered, want)
	}
}

func TestArrivalsTellWhoIsSlowAndWhoFails(t *testing.T) {
	r := newRig(t, 1)
	r.flood(t)
	own(t, r.nodes[0])
	arrivals, err := r.client.Arrivals(ArrivalOptions{To: web(shared6), Patience: 1500 * time.Millisecond})
	must(t, err)
	run := Start(soon(t), arrivals.Run)
	r.setLoss(t, r.nodes[0], segment.Loss{Frames: segment.Certain})
	r.waitLost(t, r.nodes[0], 20)
	r.setLoss(t, r.nodes[0], segment.Loss{})
	slow, err := run.Stop() // waits for them
	must(t, err)
	if slow.Failed() != 0 || len(slow.Slow) < 10 || slow.Latency.Max < time.Second || slow.Slow[0].Node != "n1" {
		t.Errorf("%s, slow: %v; want many that were answered by n1 to their second SYN", slow, slow.Slow)
	}

	disown(t, r.nodes[0])
	arrivals, err = r.client.Arrivals(ArrivalOptions{To: web(shared6), Patience: 50 * time.Millisecond})
	must(t, err)
	run = Start(soon(t), arrivals.Run)
	unanswered := 0
	waitFor(t, "some that fail", func() bool {
		lap := arrivals.Lap()
		unanswered += lap.Outcomes[Unanswered]
		return unanswered > 5 && lap.Failed() > 0 && lap.Slow[0].Outcome == Unanswered
	})
	_, err = run.Stop()
	must(t, err)
}

func TestBindingsFindANodesOwnMAC(t *testing.T) {
	r := newRig(t, 1) // without flood: the client asks where the address is, the kernel answers
	bindings, err := OpenBindings(r.Segment, shared)
	must(t, err)
	for _, h := range r.Hosts() {
		bindings.Name(h)
	}
	run := Start(soon(t), func(ctx context.Context) (struct{}, error) { return struct{}{}, bindings.Run(ctx) })
	must(t, bindings.Check(clusterMAC))
	own(t, r.nodes[0])
	for _, a := range shared {
		report, err := r.client.Burst(soon(t), Burst{To: web(a), Connections: 10})
		must(t, err)
		must(t, report.Check())
	}
	own1 := r.nodes[0].MAC()
	for _, want := range []Binding{
		{shared4, own1.String(), ARPReply, "n1"},
		{shared6, own1.String(), NeighbourAdvertisement, "n1"},
	} {
		waitFor(t, want.String(), func() bool { return bindings.Seen()[want] > 0 })
	}
	disown(t, r.nodes[0])
	_, err = run.Stop()
	must(t, err)
	if err := bindings.Check(clusterMAC); err == nil || !strings.Contains(err.Error(), "n1 says") {
		t.Errorf("a node's own MAC is bound: %v", err)
	}
	must(t, bindings.Check(clusterMAC, own1))
}

func TestProbesRefuseSenselessOptions(t *testing.T) {
	c := &Client{sources: sources{addresses: []netip.Addr{shared4}, handedOut: map[bool]int{}}}
	to := netip.AddrPortFrom(shared4, 80)
	if _, err := c.Burst(soon(t), Burst{To: to}); err == nil {
		t.Error("a burst of nothing")
	}
	if _, err := c.Flows(FlowOptions{To: to, Flows: 5000}); err == nil {
		t.Error("too many flows")
	}
	if _, err := c.Held(HeldOptions{To: to, Every: time.Microsecond}); err == nil {
		t.Error("asked too often")
	}
	if _, err := c.Arrivals(ArrivalOptions{To: to, Every: time.Microsecond}); err == nil {
		t.Error("arrivals too often")
	}
	if _, err := c.Held(HeldOptions{To: netip.AddrPortFrom(shared6, 7)}); err == nil {
		t.Error("no address of the family")
	}
}

func TestSourcesAreDistinct(t *testing.T) {
	s := sources{addresses: []netip.Addr{shared4, netip.MustParseAddr("192.0.2.11"), shared6}, handedOut: map[bool]int{}}
	seen := make(map[netip.AddrPort]bool)
	for range 100_000 {
		a, err := s.next(shared4)
		must(t, err)
		if seen[a] {
			t.Fatalf("%s handed out twice", a)
		}
		seen[a] = true
	}
}

func TestLatencyQuantiles(t *testing.T) {
	var l Latency
	for ms := 1; ms <= 1000; ms++ {
		l.add(time.Duration(ms) * time.Millisecond)
	}
	for _, c := range []struct{ q, want float64 }{{0, 1}, {0.5, 500}, {0.99, 990}, {1, 1000}} {
		got := float64(l.Quantile(c.q)) / float64(time.Millisecond)
		if got < c.want*0.93 || got > c.want*1.01 {
			t.Errorf("quantile %v is %v ms, want about %v", c.q, got, c.want)
		}
	}
	var small Latency
	small.add(3 * time.Microsecond)
	small.add(-time.Second) // a clock that went back is not a panic
	if small.Quantile(0.99) != 3*time.Microsecond || small.Max != 3*time.Microsecond {
		t.Errorf("got %s", &small)
	}
	var huge Latency
	huge.add(1 << 62)
	if huge.Count() != 1 {
		t.Error("a huge time is lost")
	}
}

func TestParsersEndOnEveryTruncation(t *testing.T) {
	frames := [][]byte{
		append([]byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x08\x00\x45\x00\x00\x28\x00\x00\x00\x00\x40\x06\x00\x00\xc0\x00\x02\x0a\xc0\x00\x02\xc8"), make([]byte, 20)...),
		append([]byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x86\xdd\x60\x00\x00\x00\x00\x20\x3a\xff"), append(make([]byte, 32), append([]byte{136}, append(make([]byte, 23), 2, 1, 3, 0, 0, 0, 0, 1)...)...)...),
	}
	if s, ok := parseTCP(frames[0]); !ok || s.from.Addr() != shared4 {
		t.Errorf("TCP: %+v %v", s, ok)
	}
	if b, ok := parseBinding(frames[1]); !ok || b.mac != hardware(clusterMAC) || b.message != NeighbourAdvertisement {
		t.Errorf("advertisement: %+v %v", b, ok)
	}
	for _, f := range frames {
		for n := range f {
			parseTCP(f[:n])
			parseBinding(f[:n])
		}
	}
}
