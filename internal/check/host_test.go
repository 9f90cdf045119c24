package check

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
	"github.com/rota-cluster/rota/internal/turn"
)

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lever")
	absent := of("file", path)
	absent.Absent = true
	expect(t, probe(t, of("file", path)), health.Leave, "is not there")
	expect(t, probe(t, absent), health.OK, "is not there")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, probe(t, of("file", path)), health.OK, "is there")
	expect(t, probe(t, absent), health.Leave, "is there")
	expect(t, probe(t, of("file", path+"/below")), health.Leave, "cannot look")
}

func TestProcess(t *testing.T) {
	// A name that the kernel cuts off.
	dir := t.TempDir()
	name := "rota-check-test-sleeper"
	if err := os.Symlink("/bin/sleep", filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, name), "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := filepath.Join(dir, "pid")
	if err := os.WriteFile(pid, fmt.Appendln(nil, cmd.Process.Pid), 0o600); err != nil {
		t.Fatal(err)
	}
	runs := fmt.Sprintf("process %d runs", cmd.Process.Pid)
	expect(t, probe(t, of("process", name)), health.OK, runs)
	expect(t, probe(t, of("process", pid)), health.OK, runs)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// It is a zombie for as long as nobody waits for it.
	eventually(t, func() bool { return probe(t, of("process", pid)).Level == health.Leave })
	expect(t, probe(t, of("process", pid)), health.Leave, "does not run")
	expect(t, probe(t, of("process", name)), health.Leave, "no process rota-check")
	_ = cmd.Wait() // it was killed
	if err := os.WriteFile(pid, []byte("soon"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, probe(t, of("process", pid)), health.Leave, "holds no process number")
	expect(t, probe(t, of("process", dir+"/none")), health.Leave, "read the pid file "+dir+"/none: no such file")
	// One that nobody writes to: to open it would wait for that.
	if err := unix.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, probe(t, of("process", dir+"/fifo")), health.Leave, "read the pid file "+dir+"/fifo: not a regular file")
	expect(t, probe(t, of("process", "/dev/zero")), health.Leave, "read the pid file /dev/zero: not a regular file")
	expect(t, probe(t, of("file", dir+"/fifo")), health.OK, "is there")
}

func TestExec(t *testing.T) {
	expect(t, probe(t, of("exec", "/bin/sh", "-c", "echo first; echo fine")), health.OK, "fine")
	expect(t, probe(t, of("exec", "/bin/sh", "-c", "echo no room >&2; exit 3")), health.Leave, "exit status 3: no room")
	expect(t, probe(t, of("exec", "/no/such")), health.Leave, "start /no/such: no such file")
}

// A command that hangs is killed with everything that it has started.
func TestExecIsKilledAsAGroup(t *testing.T) {
	child := filepath.Join(t.TempDir(), "child")
	c := of("exec", "/bin/sh", "-c", "sleep 60 & echo $! >"+child+"; wait")
	c.Timeout = 500 * time.Millisecond
	expect(t, probe(t, c), health.Leave, "did not end in time and was killed")
	text, err := os.ReadFile(child)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	p := process{proc: "/proc"}
	eventually(t, func() bool { _, state, err := p.stat(strconv.Itoa(pid)); return err == nil && !runs(state) })
}

// What has left the group is found by its environment, and nothing else is.
func TestExecIsKilledWithItsStrays(t *testing.T) {
	at := func(name string) string { return filepath.Join(t.TempDir(), name) }
	stray, stranger := at("stray"), at("stranger")
	other := exec.Command("/bin/sh", "-c", "setsid sh -c 'echo $$ >"+stranger+"; exec sleep 60' & wait")
	other.Env = append(os.Environ(), "ROTA_CHECK=another")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	alive := func(file string) bool {
		text, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		_, state, err := (&process{proc: "/proc"}).stat(strings.TrimSpace(string(text)))
		return err == nil && runs(state)
	}
	eventually(t, func() bool { return alive(stranger) })
	c := of("exec", "/bin/sh", "-c", "setsid sh -c 'setsid sleep 60 & echo $! >"+stray+"' & wait; sleep 60")
	c.Timeout = time.Second
	expect(t, probe(t, c), health.Leave, "did not end in time and was killed")
	if _, err := os.Stat(stray); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return !alive(stray) })
	if !alive(stranger) {
		t.Error("kills what is another's")
	}
	text, err := os.ReadFile(stranger)
	if err != nil {
		t.Fatal(err)
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || unix.Kill(pid, unix.SIGKILL) != nil {
		t.Errorf("%q cannot be killed", text)
	}
	_ = other.Wait() // of a shell whose child was killed
}

// Whoever runs checks decides how commands are started.
func TestExecIsStartedByStart(t *testing.T) {
	by := env
	by.Start = func(cmd *exec.Cmd) error {
		cmd.Env = append(cmd.Environ(), "STARTED=as wished")
		return cmd.Start()
	}
	p, err := newProber(of("exec", "/bin/sh", "-c", "echo $STARTED"), by)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if got := p.probe(ctx); got.Text != "as wished" {
		t.Errorf("%+v", got)
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within 10 s")
		}
	}
}

func withServer(c config.Check, server string) config.Check {
	c.Server = server
	return c
}

func silentUDP(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.LocalAddr().String()
}

// nameServer knows one address, of ok.test, and sends an answer to somebody else's question first.
func nameServer(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		b := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response = true
			q := m.Questions[0]
			switch name := q.Name.String(); {
			case name != "ok.test.":
				m.RCode = dnsmessage.RCodeNameError
			case q.Type == dnsmessage.TypeA:
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}},
				}}
			}
			other := m
			other.ID++
			for _, answer := range []dnsmessage.Message{other, m} {
				if packed, err := answer.Pack(); err == nil {
					_, _ = conn.WriteTo(packed, from) // judged by what the check says
				}
			}
		}
	}()
	return conn.LocalAddr().String()
}

func TestDNS(t *testing.T) {
	server := nameServer(t)
	ask := func(name, kind string) config.Check {
		c := withServer(of("dns", name), server)
		c.Type = kind
		return c
	}
	expect(t, probe(t, ask("ok.test", "A")), health.OK, "answers")
	expect(t, probe(t, ask("OK.test.", "A")), health.Leave, "NameError") // this server minds capitals
	expect(t, probe(t, ask("ok.test", "MX")), health.Leave, "without a record of type MX")
	expect(t, probe(t, ask("none.test", "A")), health.Leave, "NameError")
	nobody := withServer(of("dns", "ok.test"), closed(t))
	expect(t, probe(t, nobody), health.Leave, "connection refused")
	mute := withServer(of("dns", "ok.test"), silentUDP(t))
	mute.Timeout = 50 * time.Millisecond
	expect(t, probe(t, mute), health.Leave, "not done in time")
}

// What the kernel does not let go of holds one goroutine, not one per probe, nor one per Runner.
func TestOneLookOutlastsAll(t *testing.T) {
	for name, kind := range map[string]func(look func()) prober{
		"bounded": func(look func()) prober { return newBounded(func() Outcome { look(); return passed("back") }) },
		"program": func(look func()) prober {
			return &program{args: []string{"/bin/true"}, random: rand.Float64, turn: turn.New(), start: func(c *exec.Cmd) error { look(); return c.Start() }}
		},
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			var started atomic.Int32
			look := func() { started.Add(1); <-release }
			var last turn.Turn
			for range 3 {
				r := &Runner{slots: []*slot{{prober: kind(look)}}}
				r.Await(0, last)
				last = r.Turn(0)
				for range 3 {
					ctx, cancel := contextFor(t, 10*time.Millisecond)
					if o := r.slots[0].prober.probe(ctx); o.Level != health.Leave {
						t.Errorf("while it hangs: %v", o)
					}
					cancel()
				}
			}
			if n := started.Load(); n != 1 {
				t.Errorf("%d looks began", n)
			}
			close(release)
			r := &Runner{slots: []*slot{{prober: kind(look)}}}
			r.Await(0, last)
			ctx, cancel := contextFor(t, 10*time.Second)
			defer cancel()
			if o := r.slots[0].prober.probe(ctx); o.Level != health.OK || started.Load() != 2 {
				t.Errorf("when it hangs no more: %v, %d looks", o, started.Load())
			}
		})
	}
}

// What comes back late is the answer of the next probe.
func TestBounded(t *testing.T) {
	release := make(chan Outcome)
	started := 0
	b := newBounded(func() Outcome { started++; return <-release })
	for range 3 {
		ctx, cancel := contextFor(t, 10*time.Millisecond)
		expect(t, b.probe(ctx), health.Leave, "the kernel does not answer")
		cancel()
	}
	release <- passed("back")
	ctx, cancel := contextFor(t, 10*time.Second)
	defer cancel()
	expect(t, b.probe(ctx), health.OK, "back")
	if started != 1 {
		t.Errorf("started %d times", started)
	}
}
