package daemon

import (
	"bytes"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/check"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
	"github.com/rota-cluster/rota/internal/ownership"
	"github.com/rota-cluster/rota/internal/sign"
)

// testWard has two pools, of which the second has a check, and looks at nothing.
func testWard(t *testing.T) *ward {
	t.Helper()
	return wardOf(t, `checks: [{name: nginx, tcp: "127.0.0.1:80"}]`, "cpu_pressure: {warn_weight: 40%}")
}

// wardOf has two pools, of which the second has these checks, and these signs.
func wardOf(t *testing.T, checks, signs string) *ward {
	t.Helper()
	cfg, err := config.Parse("", fmt.Appendf(nil, `
cluster: c
interface: eth0
key_file: /k
pools:
  - {name: mail, addresses: [192.0.2.1]}
  - {name: web, addresses: [192.0.2.2], %s}
signs: {%s}
`, checks, signs))
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWard(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w.tell = func(api.Event) {}
	return w
}

func (w *ward) says(level health.Level, text string) {
	c := &w.ofChecks[0]
	c.Known, c.State.Level = true, level
	c.Last = check.Report{Outcome: check.Outcome{Result: health.Result{Level: level, Text: text}, Percent: 100}}
}

func (w *ward) cannotLook(text string) {
	w.checked(check.Report{Outcome: check.Outcome{Answer: health.Broken, Result: health.Result{Text: text}, Percent: 100}, At: time.Now()})
}

func (w *ward) shows(name string, level health.Level, text string) {
	for i := range w.ofSigns {
		if s := &w.ofSigns[i]; s.Name == name {
			s.State = health.State{Level: level, Seen: level, Reading: health.Reading{Text: text}}
		}
	}
}

// misses has a sign lose targets.
func (w *ward) misses(name string, targets ...string) {
	w.shows(name, health.Leave, "")
	for i := range w.ofSigns {
		for _, target := range targets {
			if s := &w.ofSigns[i]; s.Name == name {
				state := health.State{Level: health.Leave, Seen: health.Leave, Reading: health.Reading{Text: target + ": no answer"}}
				s.State.Targets = append(s.State.Targets, health.TargetState{Target: target, State: state})
			}
		}
	}
}

// nodeThat serves both pools, and is as ill in them as given.
func nodeThat(name string, illness ...uint16) ownership.NodeStatus {
	n := ownership.NodeStatus{
		Ref: ownership.Ref{Name: name}, State: ownership.StateServing, Member: true, Mutual: true,
		Weights: []uint16{100, 100}, Illness: []uint16{0, 0},
	}
	for i, x := range illness {
		if n.Illness[i] = x; x > 0 {
			n.Weights[i] = 0
		}
	}
	return n
}

func TestJudgement(t *testing.T) {
	well, away := nodeThat("b"), nodeThat("c", 600, 600)
	away.Silent = true
	missesA, older := nodeThat("b"), nodeThat("b")
	missesA.Sees = []string{"gateway", "gateway a"}
	older.Sees = []string{"gateway"}
	for _, row := range []struct {
		name    string
		set     func(*ward)
		peers   []ownership.NodeStatus
		shares  []uint16
		illness []uint16
		ill     bool // degraded
		lines   []string
	}{
		{"no verdict yet", func(*ward) {}, nil, []uint16{100, ownership.SameShare}, []uint16{0, 0}, false, []string{"pool web: nginx: no verdict yet"}},
		{"all is well", func(w *ward) { w.says(health.OK, "connects") }, nil, []uint16{100, 100}, []uint16{0, 0}, false, nil},
		{"a check fails", func(w *ward) { w.says(health.Leave, "refused") }, []ownership.NodeStatus{well},
			[]uint16{100, 0}, []uint16{0, 512}, false, []string{"pool web: nginx: refused"}},
		{"a check passes again, but has to for longer", func(w *ward) {
			w.says(health.OK, "connects")
			w.ofChecks[0].State = health.State{Level: health.Leave, Held: 5 * time.Second}
		}, []ownership.NodeStatus{well},
			[]uint16{100, 0}, []uint16{0, 512}, false, []string{"pool web: nginx: connects, good again, for 5s more to be seen"}},
		{"a check passes again, once", func(w *ward) { w.says(health.OK, "connects"); w.ofChecks[0].State.Level = health.Leave }, []ownership.NodeStatus{well},
			[]uint16{100, 0}, []uint16{0, 512}, false, []string{"pool web: nginx: connects, not often enough yet"}},
		{"a check fails, and nobody else is there", func(w *ward) { w.says(health.Leave, "refused") }, []ownership.NodeStatus{away},
			[]uint16{100, 100}, []uint16{0, 512}, true, []string{leastIll, "pool web: nginx: refused"}},
		{"a check could not look yet", func(w *ward) { w.cannotLook("could not look: too many open files") }, nil,
			[]uint16{100, ownership.SameShare}, []uint16{0, 0}, false, []string{"pool web: nginx: no verdict yet, could not look: too many open files"}},
		{"a check that fails cannot look any more", func(w *ward) {
			w.checked(check.Report{Outcome: check.Outcome{Result: health.Result{Level: health.Leave, Text: "refused"}}})
			w.cannotLook("could not look")
		}, []ownership.NodeStatus{well}, []uint16{100, 0}, []uint16{0, 512}, false, []string{"pool web: nginx: could not look; before: refused"}},
		{"the others are more ill", func(w *ward) { w.says(health.Leave, "refused") }, []ownership.NodeStatus{nodeThat("b", 0, 513)},
			[]uint16{100, 100}, []uint16{0, 512}, true, []string{leastIll, "pool web: nginx: refused"}},
		{"another is less ill", func(w *ward) { w.says(health.Leave, "refused") }, []ownership.NodeStatus{nodeThat("b", 0, 257)},
			[]uint16{100, 0}, []uint16{0, 512}, false, []string{"pool web: nginx: refused"}},
		{"a load moves part of all pools", func(w *ward) { w.says(health.OK, ""); w.shows("cpu_pressure", health.Warn, "busy") }, nil,
			[]uint16{40, 40}, []uint16{0, 0}, false, []string{"cpu_pressure: busy"}},
		{"a sign that leaves", func(w *ward) { w.says(health.OK, ""); w.shows("read_only", health.Leave, "/ gone read-only") }, []ownership.NodeStatus{well},
			[]uint16{0, 0}, []uint16{256, 256}, false, []string{"read_only: / gone read-only"}},
		{"the gateway is away for this node alone", func(w *ward) { w.says(health.OK, ""); w.misses("gateway", "a") }, []ownership.NodeStatus{well},
			[]uint16{0, 0}, []uint16{256, 256}, false, []string{"gateway: a: no answer"}},
		{"the gateway is away for all", func(w *ward) { w.says(health.OK, ""); w.misses("gateway", "a") }, []ownership.NodeStatus{missesA},
			[]uint16{100, 100}, []uint16{0, 0}, false, []string{"gateway: a: no answer; all nodes see it, so this node is not to blame"}},
		{"a gateway is away for all, another for this node alone", func(w *ward) { w.says(health.OK, ""); w.misses("gateway", "a", "b") }, []ownership.NodeStatus{missesA},
			[]uint16{0, 0}, []uint16{256, 256}, false, []string{"gateway: b: no answer", "gateway: a: no answer; all nodes see it, so this node is not to blame"}},
		{"one that says only that a gateway is away misses any", func(w *ward) { w.says(health.OK, ""); w.misses("gateway", "b") }, []ownership.NodeStatus{older},
			[]uint16{100, 100}, []uint16{0, 0}, false, []string{"gateway: b: no answer; all nodes see it, so this node is not to blame"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := testWard(t)
			row.set(w)
			self := nodeThat("a")
			self.Self = true
			got := w.judge(ownership.Status{
				State: ownership.StateServing, Asked: []uint16{100, 100}, Nodes: append([]ownership.NodeStatus{self}, row.peers...),
			})
			if !reflect.DeepEqual(got.told.Shares, row.shares) || !reflect.DeepEqual(got.told.Illness, row.illness) ||
				got.degraded != row.ill || !reflect.DeepEqual(got.told.Lines, row.lines) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// Whether all are ill is not known to a node that has not heard them: it joins without a share.
func TestWhoJoinsDoesNotJudgeTheOthers(t *testing.T) {
	for state, degraded := range map[ownership.State]bool{
		ownership.StateJoining: false, ownership.StateStandby: false, ownership.StateFenced: false, ownership.StateServing: true,
	} {
		w := testWard(t)
		w.says(health.Leave, "refused")
		got := w.judge(ownership.Status{State: state, Asked: []uint16{100, 100}})
		if share := got.told.Shares[1]; got.degraded != degraded || (share > 0) != degraded || got.told.Illness[1] == 0 {
			t.Errorf("%v: %+v", state, got)
		}
	}
}

// Who has weight 0 by order, or drains, is not kept because all are ill.
func TestOrdersStandAbove(t *testing.T) {
	for _, own := range []ownership.Status{
		{State: ownership.StateServing, Asked: []uint16{0, 0}},
		{State: ownership.StateServing, Asked: []uint16{ownership.NoShare, ownership.NoShare}},
		{State: ownership.StateDraining, Asked: []uint16{100, 100}},
	} {
		w := testWard(t)
		w.says(health.Leave, "refused")
		if got := w.judge(own); got.degraded || got.told.Shares[1] != 0 {
			t.Errorf("%+v: %+v", own, got)
		}
	}
}

// One answer of an agent that is lost does not make a busy node a free one.
func TestAnAgentsWordOutlivesALostAnswer(t *testing.T) {
	w := testWard(t)
	says := func(level health.Level, percent int) {
		w.checked(check.Report{Outcome: check.Outcome{Result: health.Result{Level: level}, Percent: percent}})
	}
	share := func() uint16 {
		self := nodeThat("a")
		self.Self = true
		return w.judge(ownership.Status{State: ownership.StateServing, Asked: []uint16{100, 100}, Nodes: []ownership.NodeStatus{self}}).told.Shares[1]
	}
	says(health.OK, 10)
	before := share()
	says(health.Leave, 100)
	if lost := share(); before != 10 || lost != 10 {
		t.Errorf("carries %d %%, and after a lost answer %d %%; want 10 both times", before, lost)
	}
	says(health.OK, 5)
	if after := share(); after != 5 {
		t.Errorf("carries %d %%, want 5", after)
	}
}

// What this host lacks counts neither as a failure nor as a pass, and is told.
func TestALackIsNoVerdict(t *testing.T) {
	var log bytes.Buffer
	w := testWard(t)
	w.log = slog.New(slog.NewTextHandler(&log, nil))
	says := func(level health.Level) {
		w.checked(check.Report{Outcome: check.Outcome{Result: health.Result{Level: level}, Percent: 100}})
	}
	finding := func() api.Finding { checks, _ := w.all(); return checks[0] }
	for range 3 {
		w.cannotLook("could not look: connect: too many open files")
	}
	if f := finding(); w.ofChecks[0].Known || f.Answer != "broken" || f.Level != "ok" || f.Text != "could not look: connect: too many open files" {
		t.Errorf("before any verdict: %+v", f)
	}
	says(health.OK)
	says(health.Leave) // one of two that it takes
	for range 3 {
		w.cannotLook("could not look: connect: too many open files")
	}
	if f := finding(); f.Answer != "broken" || f.Level != "ok" {
		t.Errorf("after a pass: %+v", f)
	}
	says(health.Leave)
	if f := finding(); f.Answer != "measured" || f.Level != "leave" {
		t.Errorf("after two failures: %+v", f)
	}
	says(health.OK)
	w.cannotLook("could not look: connect: too many open files")
	if f := finding(); f.Level != "leave" {
		t.Errorf("counts as a pass: %+v", f)
	}
	if n := strings.Count(log.String(), "too many open files"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, &log)
	}
}

// A disk that is found full after the check has failed is the cause from then on, although the shares stay.
func TestACauseThatComesLate(t *testing.T) {
	w := testWard(t)
	judged := func() conclusion {
		return w.judge(ownership.Status{State: ownership.StateServing, Asked: []uint16{100, 100}, Nodes: []ownership.NodeStatus{nodeThat("b")}})
	}
	w.says(health.Leave, "status 500")
	before := judged()
	w.shows("disk_space", health.Warn, "/var full")
	after := judged()
	if !reflect.DeepEqual(before.told.Blame, []string{"", ""}) || !reflect.DeepEqual(after.told.Blame, []string{"", "nginx by disk_space"}) ||
		before.same(after) || !reflect.DeepEqual(before.told.Shares, after.told.Shares) ||
		!reflect.DeepEqual(after.told.Why[1], []string{"disk_space: /var full; hence nginx: status 500"}) {
		t.Errorf("before %+v\nafter  %+v", before, after)
	}
}

// A target that all have lost is not held against the node that finds it last, nor by patience with it that lasts
// longer than the blame.
func TestWhatAllHadLostIsNoFaultWhenItIsOver(t *testing.T) {
	w := wardOf(t, none, "hosts: {hosts: [192.0.2.9], leave: 3s, stay: 30s}")
	w.asks(5)
	if got := w.shares("hosts", "hosts 192.0.2.9"); !slices.Equal(got, []uint16{100, 100}) {
		t.Errorf("lost by all: %v", got)
	}
	w.asks(0)
	w.blame.Until["hosts 192.0.2.9"] = now() // the blame is over, stay is not
	if got := w.shares(); !slices.Equal(got, []uint16{100, 100}) || w.ofSigns[w.sign("hosts")].State.Level != health.Leave {
		t.Errorf("found again by all: %v", got)
	}
	w.asks(5)
	if got := w.shares(); !slices.Equal(got, []uint16{0, 0}) {
		t.Errorf("lost by this node alone: %v", got)
	}
}

// A node that cannot ask what it has lost goes on telling the others so: else they alone would have lost it.
func TestWhatIsLostIsToldWhileItCannotBeAsked(t *testing.T) {
	w := wardOf(t, none, "hosts: {leave: 3, hosts: [192.0.2.9]}")
	w.asks(3)
	for _, r := range []health.Reading{{Answer: health.Broken, Text: "no socket"}, {Answer: health.Broken, Text: "no socket"}} {
		w.signed(sign.Report{Sign: w.sign("hosts"), Reading: r, At: time.Now()})
		if sees := w.sees(); !slices.Equal(sees, []string{"hosts", "hosts 192.0.2.9"}) || len(w.held()) > 0 {
			t.Errorf("sees %q, holds %q", sees, w.held())
		}
	}
	w.asks(0)
	if sees := w.sees(); len(sees) > 0 || len(w.held()) != 1 {
		t.Errorf("asked again, it sees %q, holds %q", sees, w.held())
	}
}
