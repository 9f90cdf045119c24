package daemon

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/check"
	"github.com/rota-cluster/rota/internal/health"
	"github.com/rota-cluster/rota/internal/ownership"
	"github.com/rota-cluster/rota/internal/sign"
)

// probes hands the ward results of its only check.
func (w *ward) probes(levels ...health.Level) {
	for _, level := range levels {
		w.checked(check.Report{Outcome: check.Outcome{Result: health.Result{Level: level}, Percent: 100}, At: time.Now()})
	}
}

// reads hands the ward values of a sign.
func (w *ward) reads(name string, values ...float64) {
	for _, v := range values {
		w.signed(sign.Report{Sign: w.sign(name), Reading: health.Reading{Value: v}, At: time.Now()})
	}
}

// readsBeside hands it a value of all but one of the things that a sign is about.
func (w *ward) readsBeside(name string, value float64) {
	w.signed(sign.Report{Sign: w.sign(name), Reading: health.Reading{Answer: health.Broken, Unread: 1, Value: value}, At: time.Now()})
}

func (w *ward) sign(name string) int {
	return slices.IndexFunc(w.ofSigns, func(s signSeat) bool { return s.Name == name })
}

// asks hands the ward a look at a host that has not answered for so long.
func (w *ward) asks(seconds float64) {
	w.signed(sign.Report{Sign: w.sign("hosts"), At: time.Now(), Reading: health.Reading{
		Value: seconds, Targets: []health.Target{{Name: "192.0.2.9", Value: seconds}},
	}})
}

// shares are what the ward says beside a node that is well, and sees what is given.
func (w *ward) shares(sees ...string) []uint16 {
	self, well := nodeThat("a"), nodeThat("b")
	self.Self, well.Sees = true, sees
	return w.judge(ownership.Status{
		State: ownership.StateServing, Asked: []uint16{100, 100}, Nodes: []ownership.NodeStatus{self, well},
	}).told.Shares
}

const (
	nginx   = `checks: [{name: nginx, tcp: "127.0.0.1:80", rise: 2, fall: 2}]`
	patient = `checks: [{name: nginx, tcp: "127.0.0.1:80", rise: 9, fall: 9, interval: 2s}]`
	moved   = `checks: [{name: nginx, tcp: "127.0.0.1:81"}]`
	none    = "drain_timeout: 1m"
)

// TestTheNextWardKnows what the one before knew of the same checks and signs: after a reload, and in the next daemon,
// which goes on or begins anew.
func TestTheNextWardKnows(t *testing.T) {
	const same, ok, fails = ownership.SameShare, health.OK, health.Leave
	const flaps, brief = "link_flaps: {leave: 4}", "link_flaps: {leave: 4, stay: 0s}"
	const raid = "raid: {leave: 1, stay: 0s}"
	for _, row := range []struct {
		name                      string
		checks, signs             string
		before                    func(*ward)
		nextChecks, nextSigns     string
		after                     func(*ward)
		reloaded, goesOn, newborn []uint16
	}{
		{"a check fails", nginx, "", func(w *ward) { w.probes(fails) }, nginx, "", nil,
			[]uint16{100, 0}, []uint16{100, 0}, []uint16{100, 0}},
		{"a check passes", nginx, "", func(w *ward) { w.probes(ok) }, nginx, "", nil,
			[]uint16{100, 100}, []uint16{100, 100}, []uint16{100, same}},
		{"a check has passed, and fails once after", nginx, "", func(w *ward) { w.probes(ok) }, nginx, "", func(w *ward) { w.probes(fails) },
			[]uint16{100, 100}, []uint16{100, 100}, []uint16{100, 0}},
		{"one that failed passes once", nginx, "", func(w *ward) { w.probes(fails) }, nginx, "", func(w *ward) { w.probes(ok) },
			[]uint16{100, 0}, []uint16{100, 0}, []uint16{100, 0}},
		{"and twice, which was enough", nginx, "", func(w *ward) { w.probes(fails) }, patient, "", func(w *ward) { w.probes(ok, ok) },
			[]uint16{100, 0}, []uint16{100, 0}, []uint16{100, 0}},
		{"and twice", nginx, "", func(w *ward) { w.probes(fails) }, nginx, "", func(w *ward) { w.probes(ok, ok) },
			[]uint16{100, 100}, []uint16{100, 100}, []uint16{100, 100}},
		{"once before and once after", nginx, "", func(w *ward) { w.probes(fails, ok) }, nginx, "", func(w *ward) { w.probes(ok) },
			[]uint16{100, 100}, []uint16{100, 100}, []uint16{100, 100}},
		{"one that relapsed is met with patience", nginx, "", func(w *ward) { w.probes(fails, ok, ok, fails, fails) }, nginx, "", func(w *ward) { w.probes(ok, ok, ok) },
			[]uint16{100, 0}, []uint16{100, 0}, []uint16{100, 0}},
		{"a check fails that is another one now", nginx, "", func(w *ward) { w.probes(fails) }, moved, "", nil,
			[]uint16{100, same}, []uint16{100, same}, []uint16{100, same}},
		{"a check fails that goes", nginx, "", func(w *ward) { w.probes(fails) }, none, "", nil,
			[]uint16{100, 100}, []uint16{100, 100}, []uint16{100, 100}},
		{"an agent's word", nginx, "", func(w *ward) { w.probes(ok); w.ofChecks[0].Load.Told(now(), 10) }, nginx, "", func(w *ward) { w.probes(fails) },
			[]uint16{100, 10}, []uint16{100, 10}, []uint16{100, 0}},
		{"a sign leaves", none, flaps, func(w *ward) { w.reads("link_flaps", 4) }, none, flaps, nil,
			[]uint16{0, 0}, []uint16{0, 0}, []uint16{0, 0}},
		{"a sign is good again, but has to be for longer", none, flaps, func(w *ward) { w.reads("link_flaps", 4) }, none, flaps, func(w *ward) { w.reads("link_flaps", 0) },
			[]uint16{0, 0}, []uint16{0, 0}, []uint16{0, 0}},
		{"and no longer", none, flaps, func(w *ward) { w.reads("link_flaps", 4) }, none, brief, func(w *ward) { w.reads("link_flaps", 0) },
			[]uint16{100, 100}, []uint16{100, 100}, []uint16{100, 100}},
		{"a sign that cannot be read any more is not good again", none, flaps, func(w *ward) { w.reads("link_flaps", 4) }, none, brief, func(w *ward) {
			w.signed(sign.Report{Sign: w.sign("link_flaps"), Reading: health.Reading{Answer: health.Broken}})
		}, []uint16{0, 0}, []uint16{0, 0}, []uint16{0, 0}},
		{"one of several that is good again beside one that never could be read", none, raid, func(w *ward) { w.readsBeside("raid", 1) }, none, raid,
			func(w *ward) { w.readsBeside("raid", 0) }, []uint16{100, 100}, []uint16{100, 100}, []uint16{100, 100}},
		{"or beside one that could", none, raid, func(w *ward) { w.readsBeside("raid", 1); w.reads("raid", 1) }, none, raid,
			func(w *ward) { w.readsBeside("raid", 0) }, []uint16{0, 0}, []uint16{0, 0}, []uint16{0, 0}},
		{"a sign leaves that is switched off", none, flaps, func(w *ward) { w.reads("link_flaps", 4) }, none, "link_flaps: off", nil,
			[]uint16{100, 100}, []uint16{100, 100}, []uint16{100, 100}},
		{"nearly for as long as counts", none, "memory_pressure: {for: 1h}", func(w *ward) {
			w.reads("memory_pressure", 90)
			w.ofSigns[w.sign("memory_pressure")].Watch.From[fails] -= time.Hour
		}, none, "memory_pressure: {for: 1h}", func(w *ward) { w.reads("memory_pressure", 90) },
			[]uint16{0, 0}, []uint16{0, 0}, []uint16{0, 0}},
		{"a host is lost", none, "hosts: {leave: 3, hosts: [192.0.2.9]}", func(w *ward) { w.asks(3) }, none, "hosts: {leave: 3, hosts: [192.0.2.9]}", nil,
			[]uint16{0, 0}, []uint16{0, 0}, []uint16{0, 0}},
		{"a host is lost that all have lost", none, "hosts: {leave: 3, hosts: [192.0.2.9]}", func(w *ward) { w.asks(3); w.shares("hosts") }, none, "hosts: {leave: 3, hosts: [192.0.2.9]}", nil,
			[]uint16{100, 100}, []uint16{100, 100}, []uint16{100, 100}},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := wardOf(t, row.checks, row.signs)
			row.before(before)
			records := newRecords(t.TempDir(), slog.New(slog.DiscardHandler))
			records.note(before.knows())
			for how, x := range map[string]struct {
				known knowledge
				want  []uint16
			}{
				"reloaded":    {before.knows(), row.reloaded},
				"goes on":     {records.recall(), row.goesOn},
				"begins anew": {records.recall().anew(now()), row.newborn},
			} {
				next := wardOf(t, row.nextChecks, row.nextSigns)
				next.learns(x.known)
				if row.after != nil {
					row.after(next)
				}
				if got := next.shares(); !reflect.DeepEqual(got, x.want) {
					t.Errorf("%s: shares %v, want %v", how, got, x.want)
				}
			}
		})
	}
}

// Levels are of the past when nobody has looked for long. What a sign's reader remembers it judges itself.
func TestWhatWasKnownLongAgo(t *testing.T) {
	before := wardOf(t, nginx, "")
	before.probes(health.Leave)
	before.reads("memory_pressure", 90)
	before.ofSigns[before.sign("memory_pressure")].State.Level = health.Leave
	flaps := &before.ofSigns[before.sign("link_flaps")]
	flaps.Last.Memory = []byte(`{"Interface":"eth0"}`)
	k := before.knows()
	next := wardOf(t, nginx, "")
	next.learns(k.anew(k.At + health.Forget))
	if got := next.shares(); !reflect.DeepEqual(got, []uint16{100, ownership.SameShare}) {
		t.Errorf("shares %v", got)
	}
	if got := next.ofSigns[next.sign("link_flaps")].Last; string(got.Memory) != `{"Interface":"eth0"}` || !got.At.IsZero() {
		t.Errorf("of the link it has %+v", got)
	}
}

// The last error of a check is told also when it passes again, whichever daemon saw it; a check
// that is awaited is not told with what an earlier daemon saw.
func TestTheLastErrorIsKnownToTheNextWard(t *testing.T) {
	before := wardOf(t, nginx, "")
	seen := func(level health.Level, text string) {
		before.checked(check.Report{Outcome: check.Outcome{Result: health.Result{Level: level, Text: text}, Percent: 100}, At: time.Now()})
	}
	seen(health.OK, "connects")
	if f := before.ofChecks[0].finding("web"); f.LastError != "" || !f.LastErrorAt.IsZero() {
		t.Errorf("before any failure: %+v", f)
	}
	seen(health.Leave, "connection refused")
	seen(health.OK, "connects")
	known := before.knows()
	reloaded, newborn := wardOf(t, nginx, ""), wardOf(t, nginx, "")
	reloaded.learns(known)
	newborn.learns(before.knows().anew(now()))
	for _, row := range []struct {
		w            *ward
		answer, text string
	}{{before, "measured", "connects"}, {reloaded, "measured", "connects"}, {newborn, "waiting", ""}} {
		f := row.w.ofChecks[0].finding("web")
		if f.Answer != row.answer || f.Text != row.text || f.LastError != "connection refused" || f.LastErrorAt.IsZero() {
			t.Errorf("want %q %q: %+v", row.answer, row.text, f)
		}
	}
}

// What an agent has said stays until it is taken back, whoever asks it and whenever.
func TestAnAgentsWordIsKnownToTheNextWard(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			_, _ = io.WriteString(conn, "75%\n") // judged by what the check says
			conn.Close()
		}
	}()
	agent := fmt.Sprintf("checks: [{name: load, agent: %q, rise: 1, timeout: 5s, interval: 5s}]", l.Addr())
	before := wardOf(t, agent, "")
	before.checked(check.Report{
		Outcome: check.Outcome{Result: health.Result{Level: health.Leave}, Percent: 75}, At: time.Now(), Memory: []byte(`{"Admin":"drain","Percent":75}`),
	})
	known := before.knows()
	for how, k := range map[string]knowledge{
		"reloaded":             known,
		"begins anew":          before.knows().anew(now()),
		"begins anew, at last": before.knows().anew(known.At + health.Forget),
	} {
		next := wardOf(t, agent, "")
		next.changed = make(chan struct{}, 1)
		next.learns(k)
		next.checks.Once(t.Context())
		if c := next.ofChecks[0]; c.State.Level != health.Leave || c.Last.Text != "says 75%, and has said drain" {
			t.Errorf("%s: %v, %q", how, c.State.Level, c.Last.Text)
		}
	}
}

// While no daemon looks nothing is seen to be good, nor bad for as long as counts; nor is more carried.
func TestWhileNobodyLooks(t *testing.T) {
	const gap = 5 * time.Minute
	const signs = "link_flaps: {leave: 4}, memory_pressure: {for: 30s}, hosts: {leave: 3, hosts: [192.0.2.9]}"
	before := wardOf(t, nginx, signs)
	before.probes(health.Leave, health.OK, health.OK, health.Leave, health.Leave, health.OK, health.OK) // met with patience
	before.ofChecks[0].Load = health.Load{Known: true, Can: 10, Since: now(), More: 100}
	before.reads("link_flaps", 4, 0)
	before.reads("memory_pressure", 90)
	before.asks(3)
	before.asks(0)
	for how, stopped := range map[string]bool{"looked on": false, "stopped": true} {
		k := before.knows()
		k.At -= gap // all of it was so much earlier
		c := &k.Checks[0]
		c.Tally.Ladder.CalmFrom, c.Load.Since = c.Tally.Ladder.CalmFrom-gap, c.Load.Since-gap
		for i := range k.Signs {
			w := &k.Signs[i].Watch
			w.Ladder.CalmFrom, w.From[health.Leave] = w.Ladder.CalmFrom-gap, w.From[health.Leave]-gap
			for j := range k.Signs[i].Targets.All {
				k.Signs[i].Targets.All[j].Watch.Ladder.CalmFrom -= gap
			}
		}
		if stopped {
			k = k.anew(now())
		}
		next := wardOf(t, nginx, signs)
		next.learns(k)
		next.probes(health.OK)
		next.reads("link_flaps", 0)
		next.reads("memory_pressure", 90)
		next.asks(0)
		for what, level := range map[string]health.Level{
			"nginx": next.ofChecks[0].State.Level, "link_flaps": next.ofSigns[next.sign("link_flaps")].State.Level,
			"hosts": next.ofSigns[next.sign("hosts")].State.Level,
		} {
			if held := level == health.Leave; held != stopped {
				t.Errorf("%s: %s is held: %v", how, what, held)
			}
		}
		if level := next.ofSigns[next.sign("memory_pressure")].State.Level; (level == health.OK) != stopped {
			t.Errorf("%s: a reading past its limit counts as %v", how, level)
		}
		if can := next.ofChecks[0].Load.Percent(); (can == 10) != stopped {
			t.Errorf("%s: carries %d %%", how, can)
		}
	}
}

// What a look does not tell of is still remembered: the kernel may not have answered.
func TestALookWithoutAnAnswerForgetsNothing(t *testing.T) {
	w := wardOf(t, none, "")
	i := w.sign("read_only")
	w.signed(sign.Report{Sign: i, Memory: []byte("{}"), At: time.Now()})
	w.signed(sign.Report{Sign: i, Reading: health.Reading{Answer: health.Broken}, At: time.Now()})
	if got := string(w.ofSigns[i].Last.Memory); got != "{}" {
		t.Errorf("remembers %q", got)
	}
}

// A disk that is full is told as that, beside a path that cannot be read; otherwise the path is what is told.
func TestAFullDiskBesideAPathThatIsNotThere(t *testing.T) {
	w := wardOf(t, none, "")
	i := w.sign("disk_space")
	for _, row := range []struct {
		value        float64
		answer       health.Answer
		level        health.Level
		text, status string
	}{
		{40, health.Broken, health.OK, "/: 40 %; /none: no such file", "/: 40 %; /none: no such file"},
		{99, health.Measured, health.Warn, "/: 99 %; /none: no such file", "/: 99 %; /none: no such file (warn at 95%)"},
		{40, health.Broken, health.Warn, "/: 40 %; /none: no such file", "/: 40 %; /none: no such file; before: warn at 95%, good again, for 30s more to be seen"},
	} {
		w.signed(sign.Report{Sign: i, Reading: health.Reading{Answer: health.Broken, Unread: 1, Value: row.value, Text: row.text}, At: time.Now()})
		s := &w.ofSigns[i]
		if f := s.finding(); f.Answer != row.answer.String() || f.Level != row.level.String() || f.Value != row.value || f.Text != row.text || s.text(s.State) != row.status {
			t.Errorf("%v: got %+v, in the status %q", row, f, s.text(s.State))
		}
	}
}

// A ward in whose place another is changes nothing and tells nothing any more.
func TestARetiredWardIsSilent(t *testing.T) {
	d := &daemon{loop: &loop{events: newJournal()}}
	was, next := wardOf(t, nginx, ""), wardOf(t, nginx, "")
	d.ward.Store(was)
	was.probes(health.Leave)
	news := len(was.news)
	d.replaceWard(next)
	was.probes(health.OK, health.OK)
	was.reads("memory_uncorrected", 7)
	if d.ward.Load() != next || len(was.news) != news || was.shares()[1] != 0 {
		t.Errorf("the one before has %d news, had %d, and says %v", len(was.news), news, was.shares())
	}
	if len(next.news) != news || next.shares()[1] != 0 {
		t.Errorf("the next one has %d news, want %d, and says %v", len(next.news), news, next.shares())
	}
}

// What was known is of one boot; and the daemon runs on when it is not known, or cannot be noted.
func TestRecords(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	dir := filepath.Join(t.TempDir(), "state")
	r := newRecords(dir, logger)
	if k := r.recall(); k.At != 0 || log.Len() > 0 {
		t.Errorf("a first start knows %+v; %s", k, log.String())
	}
	w := wardOf(t, nginx, "")
	w.probes(health.Leave)
	r.note(w.knows())
	if k := newRecords(dir, logger).recall(); len(k.Checks) != 1 || k.Checks[0].State.Level != health.Leave || log.Len() > 0 {
		t.Errorf("%+v; %s", k, log.String())
	}
	r.boot = "another"
	if k := r.recall(); len(k.Checks) != 0 || log.Len() > 0 {
		t.Errorf("after a boot: %+v; %s", k, log.String())
	}
	for _, nonsense := range []string{"nonsense", `{"Checks": [{"State": {"Level": 9}}]}`, strings.Repeat(" ", 17<<20) + "{}"} {
		log.Reset()
		if err := os.WriteFile(r.path, []byte(nonsense), 0o600); err != nil {
			t.Fatal(err)
		}
		if k := r.recall(); k.At != 0 || len(k.Checks) != 0 || !strings.Contains(log.String(), "not known") {
			t.Errorf("%+v; %s", k, log.String())
		}
	}
	log.Reset()
	broken := newRecords(filepath.Join(r.path, "below-a-file"), logger)
	broken.note(w.knows())
	broken.note(w.knows())
	if strings.Count(log.String(), "cannot note") != 1 {
		t.Errorf("want one line: %s", log.String())
	}
}
