package sign

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
	"github.com/rota-cluster/rota/internal/turn"
)

// Roots are where the kernel's files are.
type Roots struct{ Proc, Sys, Dev string }

// HostRoots are those of this host.
func HostRoots() Roots { return Roots{Proc: "/proc", Sys: "/sys", Dev: "/dev"} }

// Env is what signs take from outside.
type Env struct {
	Roots     Roots
	Now       func() time.Time
	Interface string // of the service
	Bus       string // D-Bus address of logind; "" for the host's

	link func() (link, error) // of the interface; made by New
}

// Report tells of one look.
type Report struct {
	Sign int // index into what New was given
	health.Reading
	At   time.Time
	Took time.Duration
	// Memory is what whoever looks next has to know of all looks so far; empty if nothing.
	Memory json.RawMessage
}

// sensor reads one sign. It is read by one goroutine at a time.
type sensor interface {
	read() health.Reading
}

// keeper is a sensor that holds something between looks. It is not read again once it is closed.
type keeper interface {
	close()
}

// rememberer is a sensor that judges a look by those before. What it remembers outlives it, and must be of
// use to the same sign of another configuration, and after a while in which nobody has looked.
type rememberer interface {
	memory() any // a pointer, to be read and written as JSON
}

// caller is a sensor that knows when it is to be looked at before its time.
type caller interface {
	called() <-chan struct{}
}

// Watcher looks at signs.
type Watcher struct {
	env     Env
	signs   []config.SignInForce
	sensors []sensor
	turns   []turn.Turn
	report  func(Report)
}

// New prepares to look. report is called after each look, by several goroutines.
func New(signs []config.SignInForce, env Env, report func(Report)) *Watcher {
	w := &Watcher{env: env, signs: signs, report: report}
	env.link = (&together[link]{now: env.Now, ask: func() (link, error) { return askLink(env.Interface) }}).get
	log := newKernelLog(env.Roots)
	recent := (&together[[]event]{now: env.Now, ask: log.recent}).get
	for _, s := range signs {
		w.sensors = append(w.sensors, newSensor(s, env, log, recent))
		w.turns = append(w.turns, turn.New())
	}
	return w
}

func newSensor(s config.SignInForce, env Env, log *kernelLog, recent func() ([]event, error)) sensor {
	if s.Off {
		return constant{health.Reading{Answer: health.SwitchedOff, Text: "switched off in the configuration"}}
	}
	if kind, ok := kernelKinds[s.Name]; ok {
		return log.records(recent, kind)
	}
	make, known := sensors[s.Name]
	if !known {
		return constant{health.Reading{Answer: health.Broken, Text: "nobody knows how to read it"}}
	}
	return make(s, env)
}

// sensors are all signs but those of the kernel's log.
var sensors = map[string]func(config.SignInForce, Env) sensor{
	"memory_pressure":      func(_ config.SignInForce, e Env) sensor { return pressure{e.Roots.Proc, "memory", "full"} },
	"cpu_pressure":         func(_ config.SignInForce, e Env) sensor { return pressure{e.Roots.Proc, "cpu", "some"} },
	"io_pressure":          func(_ config.SignInForce, e Env) sensor { return pressure{e.Roots.Proc, "io", "full"} },
	"swap":                 func(_ config.SignInForce, e Env) sensor { return &swap{proc: e.Roots.Proc, now: e.Now} },
	"oom_kills":            func(_ config.SignInForce, e Env) sensor { return newOOMKills(e) },
	"disk_space":           func(s config.SignInForce, _ Env) sensor { return disk{paths: s.Items} },
	"disk_inodes":          func(s config.SignInForce, _ Env) sensor { return disk{paths: s.Items, inodes: true} },
	"read_only":            func(s config.SignInForce, e Env) sensor { return newReadOnly(e.Roots.Proc, s.Items) },
	"memory_corrected":     func(_ config.SignInForce, e Env) sensor { return newCorrected(e) },
	"memory_uncorrected":   func(_ config.SignInForce, e Env) sensor { return uncorrected{e.Roots.Sys} },
	"disk_health":          func(_ config.SignInForce, e Env) sensor { return diskHealth{newDrives(e.Roots)} },
	"disk_wear":            func(_ config.SignInForce, e Env) sensor { return diskWear{newDrives(e.Roots)} },
	"temperature":          func(_ config.SignInForce, e Env) sensor { return temperature{e.Roots.Sys} },
	"raid":                 func(_ config.SignInForce, e Env) sensor { return raid{e.Roots.Sys} },
	"link_flaps":           func(_ config.SignInForce, e Env) sensor { return newLinkFlaps(e) },
	"link_errors":          func(_ config.SignInForce, e Env) sensor { return newLinkErrors(e) },
	"conntrack":            func(_ config.SignInForce, e Env) sensor { return conntrack{e.Roots.Proc} },
	"file_descriptors":     func(_ config.SignInForce, e Env) sensor { return descriptors{e.Roots.Proc} },
	"clock_unsynchronised": func(_ config.SignInForce, e Env) sensor { return &unsynchronised{now: e.Now, status: clockStatus} },
	"clock_stepped":        func(_ config.SignInForce, e Env) sensor { return newStepped(e.Now) },
	"gateway":              func(_ config.SignInForce, e Env) sensor { return newGateway(e) },
	"hosts":                func(s config.SignInForce, e Env) sensor { return newHosts(e, s.Items) },
	"scheduling":           func(_ config.SignInForce, e Env) sensor { return scheduling{e.Now} },
	"certificates":         func(s config.SignInForce, e Env) sensor { return certificates{s.Items, e.Now} },
	"shutdown":             func(_ config.SignInForce, e Env) sensor { return newShutdown(e) },
}

// constant is what there is to say of a sign that is not looked at.
type constant struct{ reading health.Reading }

func (c constant) read() health.Reading { return c.reading }

// Recall has a sign begin with the memory of an earlier report of it. It is for before Run.
func (w *Watcher) Recall(sign int, memory json.RawMessage) error {
	r, ok := w.sensors[sign].(rememberer)
	if !ok || len(memory) == 0 {
		return nil
	}
	if err := json.Unmarshal(memory, r.memory()); err != nil {
		return fmt.Errorf("sign %s: %w", w.signs[sign].Name, err)
	}
	return nil
}

// Turn is had by the look at a sign that has not come back.
func (w *Watcher) Turn(sign int) turn.Turn { return w.turns[sign] }

// Await has a sign that another Watcher may still be looking at wait for its Turn; nil changes nothing. It is for before Run.
func (w *Watcher) Await(sign int, t turn.Turn) {
	if t != nil {
		w.turns[sign] = t
	}
}

// Run looks at every sign at its interval until ctx is over.
func (w *Watcher) Run(ctx context.Context) {
	w.inGroups(func(g []int) { w.close(g, w.repeat(ctx, g)) })
}

// Once looks at every sign once. What needs two looks to tell of a change has
// nothing to tell yet.
func (w *Watcher) Once(ctx context.Context) {
	w.inGroups(func(g []int) { w.close(g, w.look(ctx, g, nil)) })
}

// close lets go of what the sensors of a group hold: at once, or when the read has come back that the kernel
// has not answered.
func (w *Watcher) close(group []int, pending chan []Report) {
	all := func() {
		for _, i := range group {
			if k, ok := w.sensors[i].(keeper); ok {
				k.close()
			}
		}
	}
	if pending == nil {
		all()
		return
	}
	go func() {
		<-pending
		all()
	}()
}

// inGroups calls do for all signs, beside each other but for those that are read one after
// another, and waits. Those share their interval, and none of them waits for what another does
// not wait for: to wake up for each would cost more than most looks.
func (w *Watcher) inGroups(do func(group []int)) {
	type kind struct {
		source source
		each   time.Duration
	}
	groups := map[kind][]int{}
	var slots sync.WaitGroup
	for i, s := range w.sensors {
		if k := (kind{sourceOf(s), w.signs[i].Interval}); k.source != ofItsOwn {
			groups[k] = append(groups[k], i)
		} else {
			slots.Go(func() { do([]int{i}) })
		}
	}
	for _, group := range groups {
		slots.Go(func() { do(group) })
	}
	slots.Wait()
}

// source is what a sensor waits for.
type source uint8

const (
	ofItsOwn source = iota
	inMemory        // of the kernel, which answers at once
	byLink          // askLink, which is asked once for all
)

func sourceOf(s sensor) source {
	switch s.(type) {
	case constant, pressure, *swap, *oomKills, *readOnly, kernelRecords, conntrack, descriptors, *unsynchronised, *stepped:
		return inMemory
	case *linkFlaps, *linkErrors:
		return byLink
	}
	return ofItsOwn
}

// patience is how long a look may take before it is told as broken: a dead file
// server makes it last for ever.
const patience = 5 * time.Second

// repeat returns the read that has not come back when ctx is over.
func (w *Watcher) repeat(ctx context.Context, group []int) (pending chan []Report) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var called <-chan struct{}
	if c, ok := w.sensors[group[0]].(caller); ok {
		called = c.called()
	}
	for {
		select {
		case <-ctx.Done():
			return pending
		case <-timer.C:
		case <-called:
		}
		pending = w.look(ctx, group, pending)
		// All at the same moments: to wake up costs more than most looks.
		each := w.signs[group[0]].Interval
		timer.Reset(each - time.Duration(w.env.Now().UnixNano())%each)
	}
}

// turnsOf a group are those of the signs that are looked at: what is off waits for nobody.
func (w *Watcher) turnsOf(group []int) (turns []turn.Turn) {
	for _, i := range group {
		if _, fixed := w.sensors[i].(constant); !fixed {
			turns = append(turns, w.turns[i])
		}
	}
	return turns
}

// take waits for turns, and has all of them or, once ctx is over, none.
func take(ctx context.Context, turns []turn.Turn) bool {
	for n, t := range turns {
		if !t.Take(ctx) {
			give(turns[:n])
			return false
		}
	}
	return true
}

func give(turns []turn.Turn) {
	for _, t := range turns {
		t.Give()
	}
}

// look reads the signs of a group beside the caller; it returns the read that has not come
// back, and takes the one of before.
func (w *Watcher) look(ctx context.Context, group []int, pending chan []Report) chan []Report {
	start := w.env.Now()
	wait, stop := context.WithTimeout(ctx, patience)
	defer stop()
	if turns := w.turnsOf(group); pending == nil && take(wait, turns) {
		began := make(chan []Report, 1)
		go func() {
			defer give(turns)
			began <- w.read(group)
		}()
		pending = began
	}
	var reports []Report
	select {
	case reports = <-pending:
		pending = nil
	case <-wait.Done():
		if ctx.Err() != nil {
			return pending
		}
		now := w.env.Now()
		mute := health.Reading{Answer: health.Broken, Text: "the kernel has not answered for more than " + patience.String()}
		for _, i := range group {
			reading := mute
			if c, ok := w.sensors[i].(constant); ok { // it does not ask the kernel
				reading = c.reading
			}
			reports = append(reports, Report{Sign: i, Reading: reading, At: now, Took: now.Sub(start)})
		}
	}
	for _, r := range reports {
		w.report(r)
	}
	return pending
}

func (w *Watcher) read(group []int) []Report {
	reports := make([]Report, len(group))
	for n, i := range group {
		start := w.env.Now()
		reading := w.sensors[i].read()
		now := w.env.Now()
		reports[n] = Report{Sign: i, Reading: reading, At: now, Took: now.Sub(start)}
		if r, ok := w.sensors[i].(rememberer); ok {
			var err error
			if reports[n].Memory, err = json.Marshal(r.memory()); err != nil {
				reports[n].Reading = broken(err)
			}
		}
	}
	return reports
}
