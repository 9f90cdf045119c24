package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/config"
)

const patience = 10 * time.Second

// rig is a Runner with what it has logged.
type rig struct {
	*Runner
	t   *testing.T
	dir string // of the test; only root writes there
	mu  sync.Mutex
	log bytes.Buffer
}

func (r *rig) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(b)
}

func (r *rig) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

func newRig(t *testing.T, hooks ...config.Hook) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(r.dir, "hooks.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range hooks {
		hooks[i].Command[0] = strings.Replace(hooks[i].Command[0], "DIR", r.dir, 1)
	}
	r.Runner = New(Options{Hooks: hooks, Dir: filepath.Join(r.dir, "hooks.d"), Log: slog.New(slog.NewTextHandler(r, nil))})
	return r
}

// run runs until the test ends, or stop is called.
func (r *rig) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		r.Run(ctx)
		close(done)
	}()
	stop = func() {
		cancel()
		<-done
	}
	r.t.Cleanup(stop)
	return stop
}

func (r *rig) script(name, body string) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o755); err != nil {
		r.t.Fatal(err)
	}
	return path
}

func (r *rig) lines(name string) []string {
	text, err := os.ReadFile(filepath.Join(r.dir, name))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func (r *rig) until(what string, holds func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain for %s; the log: %s", what, r.said())
		}
		pause := time.NewTimer(5 * time.Millisecond)
		<-pause.C
	}
}

// TestCommandsAreToldWhatTheyAskFor: one JSON document each on standard input,
// in order; those of the folder are told of everything, and need not have been
// there at the start.
func TestCommandsAreToldWhatTheyAskFor(t *testing.T) {
	r := newRig(t, config.Hook{On: []string{config.HookState}, Command: []string{"DIR/states", "word"}, Timeout: patience})
	r.script("states", `{ cat; echo "$1 $ROTA_EVENT $ROTA_STATE_BEFORE $ROTA_STATE"; } >> `+r.dir+`/told`)
	r.run()
	want := Event{
		Event: config.HookState, Cluster: "web", Node: "node-a", State: "draining", StateBefore: "serving", Reason: "drains: by order",
		Time: time.Unix(1, 0).UTC(), View: View{"3/node-b/1", 3, []string{"node-a", "node-b"}},
		Pools: []Pool{{Name: "web", Addresses: []string{"192.0.2.10"}, Buckets: 4096, OwnedBefore: 2048}},
	}
	r.Tell(Event{Event: config.HookPeer})
	r.Tell(want)
	r.until("the first", func() bool { return len(r.lines("told")) == 2 })
	got := r.lines("told")
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if got[0] != string(text) || got[1] != "word state serving draining" {
		t.Errorf("told %q", got)
	}
	r.script("hooks.d/later", `echo "$ROTA_EVENT" >> `+r.dir+`/all`)
	if err := os.WriteFile(filepath.Join(r.dir, "hooks.d/README"), []byte("not a hook"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.script("hooks.d/later~", "exit 1")
	for _, e := range config.HookEvents {
		r.Tell(Event{Event: e})
	}
	r.until("all of them", func() bool { return len(r.lines("all")) == len(config.HookEvents) })
	if got := strings.Join(r.lines("all"), " "); got != strings.Join(config.HookEvents, " ") {
		t.Errorf("in the order %s", got)
	}
	if r.said() != "" {
		t.Errorf("said %s", r.said())
	}
}

// TestNobodyWaitsForASlowCommand: neither who tells, nor the other commands. It
// loses the oldest, is killed with its children when its time is over, and the
// log says so.
func TestNobodyWaitsForASlowCommand(t *testing.T) {
	r := newRig(t,
		config.Hook{Command: []string{"DIR/slow"}, Timeout: 300 * time.Millisecond},
		config.Hook{Command: []string{"DIR/quick"}, Timeout: patience})
	r.script("slow", `echo "$ROTA_REASON" >> `+r.dir+`/began; sleep 1000 & echo $! > `+r.dir+`/child; echo waits; wait`)
	r.script("quick", `echo "$ROTA_REASON" >> `+r.dir+`/told`)
	r.run()
	r.Tell(Event{Event: config.HookState, Reason: "0"})
	r.until("a command that hangs", func() bool { return len(r.lines("child")) == 1 })
	began := time.Now()
	for i := range 3 * waiting {
		r.Tell(Event{Event: config.HookState, Reason: strconv.Itoa(i + 1)})
	}
	if took := time.Since(began); took > 100*time.Millisecond {
		t.Errorf("telling took %v", took)
	}
	r.until("the end of the first", func() bool { return len(r.lines("began")) >= 2 })
	if words := r.said(); !strings.Contains(words, "killed after 300ms") || !strings.Contains(words, "output=waits") || !strings.Contains(words, "lost=") {
		t.Errorf("the log does not tell that it was killed, what it said and what was lost: %s", words)
	}
	// The newest survive.
	last := strconv.Itoa(3 * waiting)
	r.until("the newest, with the quick one", func() bool { l := r.lines("told"); return l[len(l)-1] == last })
	var first int
	if _, err := fmt.Sscan(r.lines("began")[1], &first); err != nil || first < waiting {
		t.Errorf("after event 0 the slow one was told of %d, %v: the oldest should be lost", first, err)
	}
}

// TestWhatACommandStartedDiesWithIt when its time is over.
func TestWhatACommandStartedDiesWithIt(t *testing.T) {
	r := newRig(t, config.Hook{Command: []string{"DIR/parent"}, Timeout: 200 * time.Millisecond})
	r.script("parent", `sleep 1000 & echo $! > `+r.dir+`/child; wait`)
	r.run()
	r.Tell(Event{Event: config.HookState})
	r.until("the kill", func() bool { return strings.Contains(r.said(), "killed after") })
	child, err := strconv.Atoi(r.lines("child")[0])
	if err != nil {
		t.Fatal(err)
	}
	r.until("the child's end", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		return err != nil || strings.Contains(string(stat), ") Z ") // nobody may be there to reap it
	})
}

// TestOutputAndFailures are logged, the first so much of it.
func TestOutputAndFailures(t *testing.T) {
	r := newRig(t,
		config.Hook{Command: []string{"DIR/loud"}, Timeout: patience},
		config.Hook{Command: []string{"DIR/bad"}, Timeout: patience},
		config.Hook{Command: []string{"DIR/leaves"}, Timeout: patience})
	r.script("loud", `yes | head -c 100000`)
	r.script("bad", `echo why >&2; exit 3`)
	// It ends and leaves something behind that holds its output: no failure.
	r.script("leaves", `sleep 1000 & echo $! > `+r.dir+`/left; echo bye`)
	r.run()
	r.Tell(Event{Event: config.HookState})
	r.until("three lines", func() bool { return strings.Count(r.said(), "\n") >= 3 })
	words := r.said()
	if len(words) > 3*maxOutput || !strings.Contains(words, "… and 95904 bytes more") {
		t.Errorf("%d bytes of log", len(words))
	}
	for _, want := range []string{`level=WARN msg="hook: failed"`, `error="exit status 3" output=why`, "output=bye"} {
		if !strings.Contains(words, want) {
			t.Errorf("no %s in %s", want, words)
		}
	}
	left, err := strconv.Atoi(r.lines("left")[0])
	if err != nil || unix.Kill(left, unix.SIGKILL) != nil {
		t.Errorf("what it left behind is gone: %v", err)
	}
}

// TestUntrustworthy: what others than root could have written is refused with
// one line, until it is mended.
func TestUntrustworthy(t *testing.T) {
	for _, row := range []struct {
		what, want string
		spoil      func(r *rig) error
	}{
		{"writable by all", "mode 0777): chmod go-w it", func(r *rig) error { return os.Chmod(r.dir+"/hooks.d/hook", 0o777) }},
		{"writable by a group", "mode 0775): chmod go-w it", func(r *rig) error { return os.Chmod(r.dir+"/hooks.d/hook", 0o775) }},
		{"of another user", "belongs to user 4242", func(r *rig) error { return os.Chown(r.dir+"/hooks.d/hook", 4242, 0) }},
		{"in a folder that is writable by all", "hooks.d may be written by others", func(r *rig) error { return os.Chmod(r.dir+"/hooks.d", 0o777) }},
		{"a link to a folder that is writable by all", "open may be written by others", func(r *rig) error {
			if err := os.Mkdir(r.dir+"/open", 0o755); err != nil {
				return err
			}
			if err := os.Rename(r.dir+"/hooks.d/hook", r.dir+"/open/hook"); err != nil {
				return err
			}
			if err := os.Symlink(r.dir+"/open/hook", r.dir+"/hooks.d/hook"); err != nil {
				return err
			}
			return os.Chmod(r.dir+"/open", 0o777)
		}},
	} {
		t.Run(row.what, func(t *testing.T) {
			r := newRig(t)
			r.script("hooks.d/hook", `echo ran >> `+r.dir+`/ran`)
			if err := row.spoil(r); err != nil {
				t.Fatal(err)
			}
			stop := r.run()
			for range 3 {
				r.Tell(Event{Event: config.HookState})
			}
			stop()
			if n := strings.Count(r.said(), "\n"); n != 1 || !strings.Contains(r.said(), row.want) || !strings.Contains(r.said(), "hook: not run") {
				t.Errorf("want one line with %q: %s", row.want, r.said())
			}
			if got := r.lines("ran"); got != nil {
				t.Errorf("it ran: %q", got)
			}
		})
	}
}

// TestOtherHooks while it runs: what happens from then on is told to those.
func TestOtherHooks(t *testing.T) {
	r := newRig(t, config.Hook{Command: []string{"DIR/before"}, Timeout: patience})
	for _, name := range []string{"before", "after", "hooks.d/folder", "other"} {
		r.script(name, `echo "$0 $ROTA_REASON" >> `+r.dir+`/told`)
	}
	if err := os.Mkdir(r.dir+"/other.d", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(r.dir+"/other", r.dir+"/other.d/other"); err != nil {
		t.Fatal(err)
	}
	stop := r.run()
	r.Tell(Event{Event: config.HookState, Reason: "1"})
	r.until("two of the first event", func() bool { return len(r.lines("told")) == 2 })
	r.Use([]config.Hook{{Command: []string{r.dir + "/after"}, Timeout: patience}}, r.dir+"/other.d")
	r.Tell(Event{Event: config.HookState, Reason: "2"})
	stop()
	got := r.lines("told")
	slices.Sort(got)
	want := []string{r.dir + "/after 2", r.dir + "/before 1", r.dir + "/hooks.d/folder 1", r.dir + "/other.d/other 2"}
	if !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// TestJudge names the first hook that would not be run, of those that are new.
func TestJudge(t *testing.T) {
	r := newRig(t)
	good, open, none := r.script("good", ""), r.script("open", ""), r.dir+"/none"
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	hooks := func(paths ...string) (all []config.Hook) {
		for _, p := range paths {
			all = append(all, config.Hook{Command: []string{p}})
		}
		return all
	}
	for _, row := range []struct {
		what         string
		next, before []config.Hook
		want         string
	}{
		{"all is well", hooks(good), nil, ""},
		{"one that is not there", hooks(good, none), nil, "hooks[1].command: "},
		{"one that others may write", hooks(open), hooks(none), "hooks[0].command: "},
		{"one that was there before", hooks(open, good), hooks(good, open), ""},
	} {
		err := Judge(row.next, row.before)
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.HasPrefix(err.Error(), row.want)) {
			t.Errorf("%s: %v, want %q", row.what, err, row.want)
		}
	}
}

// TestTheEndWaitsForCommands that were told before, for a while.
func TestTheEndWaitsForCommands(t *testing.T) {
	r := newRig(t, config.Hook{Command: []string{"DIR/last"}, Timeout: patience})
	r.script("last", `sleep 0.2; cat >> `+r.dir+`/told`)
	stop := r.run()
	r.Tell(Event{Event: config.HookState, State: "stopped"})
	stop()
	if got := r.lines("told"); len(got) != 1 || !strings.Contains(got[0], `"state":"stopped"`) {
		t.Errorf("told %q", got)
	}
	hung := newRig(t, config.Hook{Command: []string{"DIR/hangs"}, Timeout: time.Hour})
	hung.script("hangs", "sleep 1000")
	stop = hung.run()
	hung.Tell(Event{Event: config.HookState})
	began := time.Now()
	stop()
	if took := time.Since(began); took > stopPatience+patience/2 {
		t.Errorf("a command that hangs held up the end for %v", took)
	}
}

// TestStart is where the caller sees to priorities.
func TestStart(t *testing.T) {
	r := newRig(t, config.Hook{Command: []string{"DIR/a"}, Timeout: patience})
	r.script("a", "echo hello")
	started := 0
	r.o.Start = func(cmd *exec.Cmd) error { started++; return cmd.Start() }
	stop := r.run()
	r.Tell(Event{Event: config.HookState})
	stop()
	if started != 1 || !strings.Contains(r.said(), "output=hello") {
		t.Errorf("started %d: %s", started, r.said())
	}
}
