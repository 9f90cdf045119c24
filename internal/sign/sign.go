package sign

import (
	"context"
	"sync"
	"time"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
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
}

// Report tells of one look.
type Report struct {
	Sign int // index into what New was given
	health.Reading
	At   time.Time
	Took time.Duration
}

// sensor reads one sign. It is read by one goroutine at a time.
type sensor interface {
	read() health.Reading
}

// keeper is a sensor that holds something between looks.
type keeper interface {
	close()
}

// Watcher looks at signs.
type Watcher struct {
	env     Env
	signs   []config.SignInForce
	sensors []sensor
	report  func(Report)
	slots   sync.WaitGroup
}

// New prepares to look. report is called after each look, by several goroutines.
func New(signs []config.SignInForce, env Env, report func(Report)) *Watcher {
	w := &Watcher{env: env, signs: signs, report: report}
	log := newKernelLog(env.Roots)
	for _, s := range signs {
		w.sensors = append(w.sensors, newSensor(s, env, log))
	}
	return w
}

func newSensor(s config.SignInForce, env Env, log *kernelLog) sensor {
	if s.Off {
		return constant{health.Reading{Answer: health.SwitchedOff, Text: "switched off in the configuration"}}
	}
	if kinds, ok := kernelKinds[s.Name]; ok {
		return kernelRecords{log: log, kind: kinds}
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

// Run looks at every sign at its interval until ctx is over.
func (w *Watcher) Run(ctx context.Context) {
	for i := range w.sensors {
		w.slots.Go(func() { w.repeat(ctx, i) })
	}
	w.slots.Wait()
	for _, s := range w.sensors {
		if k, ok := s.(keeper); ok {
			k.close()
		}
	}
}

// Once looks at every sign once. What needs two looks to tell of a change has
// nothing to tell yet.
func (w *Watcher) Once(ctx context.Context) {
	for i := range w.sensors {
		w.slots.Go(func() { w.look(ctx, i, nil) })
	}
	w.slots.Wait()
}

// patience is how long a look may take before it is told as broken: a dead file
// server makes it last for ever.
const patience = 5 * time.Second

func (w *Watcher) repeat(ctx context.Context, i int) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var pending chan health.Reading
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		pending = w.look(ctx, i, pending)
		// All at the same moments: to wake up costs more than most looks.
		each := w.signs[i].Interval
		timer.Reset(each - time.Duration(w.env.Now().UnixNano())%each)
	}
}

// look reads one sign beside the caller; it returns the read that has not come
// back, and takes the one of before.
func (w *Watcher) look(ctx context.Context, i int, pending chan health.Reading) chan health.Reading {
	start := w.env.Now()
	if pending == nil {
		began := make(chan health.Reading, 1)
		go func() { began <- w.sensors[i].read() }()
		pending = began
	}
	wait := time.NewTimer(patience)
	defer wait.Stop()
	reading := health.Reading{Answer: health.Broken, Text: "the kernel has not answered for more than " + patience.String()}
	select {
	case reading = <-pending:
		pending = nil
	case <-wait.C:
	case <-ctx.Done():
		return pending
	}
	now := w.env.Now()
	w.report(Report{Sign: i, Reading: reading, At: now, Took: now.Sub(start)})
	return pending
}
