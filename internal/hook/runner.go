package hook

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rota-cluster/rota/internal/config"
)

const (
	// waiting is how many events may wait for a command, and to be handed out.
	waiting = 64
	// stopPatience is how long commands may go on when the daemon stops.
	stopPatience = 2 * time.Second
)

// Options of a Runner.
type Options struct {
	Hooks []config.Hook
	// Dir holds executables that are told of everything; it need not exist, and is
	// read anew at each event.
	Dir   string
	Env   []string              // more of the commands' environment
	Start func(*exec.Cmd) error // starts a command; nil: cmd.Start
	Log   *slog.Logger
}

// Runner hands events to commands.
type Runner struct {
	o     Options
	inbox line
	woken chan struct{}

	mu      sync.Mutex
	hooks   []config.Hook     // in force
	dir     string            // in force
	lines   map[string]*line  // by command
	refused map[string]string // why, as it was told last; by path
}

// New makes a Runner; Run does the work.
func New(o Options) *Runner {
	if o.Start == nil {
		o.Start = (*exec.Cmd).Start
	}
	return &Runner{o: o, hooks: o.Hooks, dir: o.Dir, woken: make(chan struct{}, 1), lines: make(map[string]*line), refused: make(map[string]string)}
}

// Use replaces the hooks and the folder: what happens from now on is told to these.
// Commands that are running, and what waits for them, are let be.
func (r *Runner) Use(hooks []config.Hook, dir string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hooks, r.dir = hooks, dir
}

// Tell hands an event over; it does not wait.
func (r *Runner) Tell(e Event) {
	r.inbox.add(e)
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

// Run runs commands until ctx is done and those for what was told before have
// ended, or have had their time.
func (r *Runner) Run(ctx context.Context) {
	running, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	var all sync.WaitGroup
	for ctx.Err() == nil {
		r.handOut(running, &all)
		select {
		case <-r.woken:
		case <-ctx.Done():
		}
	}
	r.handOut(running, &all)
	patience := time.AfterFunc(stopPatience, kill)
	defer patience.Stop()
	all.Wait()
}

// handOut gives every event in the inbox to those who want it.
func (r *Runner) handOut(ctx context.Context, all *sync.WaitGroup) {
	for {
		e, lost, ok := r.inbox.next()
		if lost > 0 {
			r.o.Log.Warn("hooks: too many changes at once, the oldest were not told", "lost", lost)
		}
		if !ok {
			return
		}
		for _, c := range r.commands(&e) {
			l := r.lineOf(c.name())
			if l.add(e) {
				all.Go(func() { r.work(ctx, c, l) })
			}
		}
	}
}

func (r *Runner) lineOf(name string) *line {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lines[name] == nil {
		r.lines[name] = new(line)
	}
	return r.lines[name]
}

// work runs one command for all that waits for it.
func (r *Runner) work(ctx context.Context, c command, l *line) {
	for {
		e, lost, ok := l.next()
		if lost > 0 {
			r.o.Log.Warn("hook: is too slow, the oldest changes were not told to it", "hook", c.name(), "lost", lost)
		}
		if !ok {
			return
		}
		if err := trustworthy(c.words[0]); err != nil {
			r.refuse(c.words[0], err.Error())
			continue
		}
		r.refuse(c.words[0], "")
		r.run(ctx, c, &e)
	}
}

// refuse tells once why a command is not run, until that changes.
func (r *Runner) refuse(path, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refused[path] == why {
		return
	}
	r.refused[path] = why
	if why != "" {
		r.o.Log.Error("hook: not run", "hook", path, "error", why)
	}
}

// command is what to run, and for how long at most.
type command struct {
	words   []string
	timeout time.Duration
}

func (c command) name() string { return strings.Join(c.words, " ") }

// commands are those that are to be told of the event: the configured ones in
// the order of the file, then the folder's by name.
func (r *Runner) commands(e *Event) []command {
	r.mu.Lock()
	hooks, dir := r.hooks, r.dir
	r.mu.Unlock()
	var all []command
	for _, h := range hooks {
		if len(h.On) == 0 || slices.Contains(h.On, e.Event) {
			all = append(all, command{h.Command, h.Timeout})
		}
	}
	entries, err := os.ReadDir(dir) // sorted
	if err != nil && !os.IsNotExist(err) {
		r.refuse(dir, err.Error())
	}
	for _, entry := range entries {
		// What editors leave is no hook, nor is what cannot be executed.
		if n := entry.Name(); n[0] == '.' || n[len(n)-1] == '~' {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		if s, err := os.Stat(path); err == nil && s.Mode().IsRegular() && s.Mode()&0o111 != 0 {
			all = append(all, command{[]string{path}, config.DefaultHookTimeout})
		}
	}
	return all
}

// line is the events that wait for one taker, the newest of them.
type line struct {
	mu     sync.Mutex
	events []Event
	lost   int
	taken  bool // somebody calls next until it has no more
}

// add tells whether somebody has to begin taking.
func (l *line) add(e Event) (begin bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.events) == waiting {
		l.events = slices.Delete(l.events, 0, 1)
		l.lost++
	}
	l.events = append(l.events, e)
	begin = !l.taken
	l.taken = true
	return begin
}

// next also tells how many were lost since the last call.
func (l *line) next() (e Event, lost int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lost, l.lost = l.lost, 0
	if len(l.events) == 0 {
		l.taken = false
		return e, lost, false
	}
	e = l.events[0]
	l.events = slices.Delete(l.events, 0, 1)
	return e, lost, true
}
