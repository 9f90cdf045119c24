package sign

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
)

// clock is a clock that tests turn. Turned by both hands it is the wall's and
// the monotonic one.
type clock struct{ time time.Time }

func (c *clock) now() time.Time       { return c.time }
func (c *clock) pass(d time.Duration) { c.time = c.time.Add(d) }

func newClock() *clock { return &clock{time.Now()} }

func fixtures(name string) Roots {
	at := filepath.Join("testdata", name)
	return Roots{Proc: at + "/proc", Sys: at + "/sys", Dev: at + "/dev"}
}

// look reads every sign once, of a host that testdata holds.
func look(t *testing.T, env Env, change func(*config.SignInForce)) map[string]health.Reading {
	t.Helper()
	signs := new(config.Config).SignsInForce()
	for i := range signs {
		switch signs[i].Name {
		case "disk_space", "disk_inodes":
			signs[i].Items = []string{"/"}
		}
		if change != nil {
			change(&signs[i])
		}
	}
	var mu sync.Mutex
	got := map[string]health.Reading{}
	w := New(signs, env, func(r Report) {
		mu.Lock()
		defer mu.Unlock()
		got[signs[r.Sign].Name] = r.Reading
		if r.At.IsZero() || r.Took < 0 {
			t.Errorf("%s: at %v, took %v", signs[r.Sign].Name, r.At, r.Took)
		}
	})
	w.Once(t.Context())
	return got
}

func expect(t *testing.T, name string, got health.Reading, answer health.Answer, value float64, part string) {
	t.Helper()
	if got.Answer != answer || got.Value != value || !strings.Contains(got.Text, part) {
		t.Errorf("%s: got %v %v %q, want %v %v with %q", name, got.Answer, got.Value, got.Text, answer, value, part)
	}
}

// expectPartly: there is the value of what can be read, and what cannot is named.
func expectPartly(t *testing.T, name string, got health.Reading, value float64, part, unread string) {
	t.Helper()
	expect(t, name, got, health.Broken, value, part)
	if got.Unread != 1 || !strings.Contains(got.Text, unread) {
		t.Errorf("%s: %d unread, %q, want %q in it", name, got.Unread, got.Text, unread)
	}
}

func TestIllHost(t *testing.T) {
	env := Env{Roots: fixtures("ill"), Now: newClock().now, Interface: "lo", Bus: "unix:path=/no/such/bus"}
	got := look(t, env, func(s *config.SignInForce) {
		if s.Name == "read_only" {
			s.Items = []string{"/", "/srv/a b/c", "/boot", "/data"}
		}
	})
	for _, row := range []struct {
		name  string
		value float64
		text  string
	}{
		{"memory_pressure", 45.5, "every task waited for memory 45.5 % of the last 10 s"},
		{"cpu_pressure", 72.25, "some task waited for cpu"},
		{"io_pressure", 41, ""},
		{"swap", 0, "first look"},
		{"oom_kills", 0, ""},
		{"read_only", 2, "/, /data gone read-only"},
		{"io_errors", 3, "last: Buffer I/O error on dev sda1"},
		{"fs_errors", 2, "last: EXT4-fs (vda1): Remounting"},
		{"hung_tasks", 1, "jbd2/vda1-8:200 blocked"},
		{"soft_lockups", 2, "rcu_preempt detected stalls"},
		{"machine_checks", 1, "Machine check events logged"},
		{"memory_corrected", 0, "12 since boot"},
		{"memory_uncorrected", 1, ""},
		{"temperature", 3, "coretemp Package id 0: 97 °C, 3 below critical"},
		{"raid", 1, "md0 degraded"},
		{"link_flaps", 0, ""},
		{"link_errors", 0, ""},
		{"conntrack", 100 * 230000.0 / 262144, "230000 of 262144 tracked connections"},
		{"file_descriptors", 90, "900 of 1000 open files"},
	} {
		expect(t, row.name, got[row.name], health.Measured, row.value, row.text)
	}
}

// A host with nothing: the kernel cannot tell, and says which part is missing.
func TestBareHost(t *testing.T) {
	env := Env{Roots: fixtures("bare"), Now: time.Now, Interface: "lo", Bus: "unix:path=/no/such/bus"}
	got := look(t, env, nil)
	for name, text := range map[string]string{
		"memory_pressure": "no pressure stall information", "cpu_pressure": "", "io_pressure": "",
		"swap": "no swap", "oom_kills": "does not count OOM kills", "io_errors": "no /dev/kmsg", "hung_tasks": "",
		"memory_corrected": "no EDAC driver", "memory_uncorrected": "", "disk_health": "no NVMe, SATA or eMMC disk", "disk_wear": "tells its wear",
		"temperature": "critical temperature", "raid": "no md array", "conntrack": "not loaded", "file_descriptors": "",
		"gateway": "no default route by lo", "shutdown": "no system bus",
	} {
		expect(t, name, got[name], health.CannotTell, 0, text)
	}
	for name, text := range map[string]string{"hosts": "no host is named", "certificates": "no file is named"} {
		expect(t, name, got[name], health.SwitchedOff, 0, text)
	}
	expect(t, "read_only", got["read_only"], health.Measured, 0, "/ as mounted")
}

func TestSwitchedOff(t *testing.T) {
	env := Env{Roots: fixtures("ill"), Now: time.Now, Interface: "lo", Bus: "unix:path=/no/such/bus"}
	for name, r := range look(t, env, func(s *config.SignInForce) { s.Off = true }) {
		expect(t, name, r, health.SwitchedOff, 0, "switched off in the configuration")
	}
}

// writer writes files below a root, and the directories that they are in.
func writer(t *testing.T, root string) func(path, text string) {
	return func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBroken(t *testing.T) {
	root := t.TempDir()
	write := writer(t, root)
	write("proc/pressure/memory", "nonsense\n")
	write("proc/vmstat", "oom_kill many\n")
	write("proc/self/mountinfo", "")
	write("proc/uptime", "long")
	write("proc/sys/fs/file-nr", "1 2")
	write("sys/devices/system/edac/mc/mc0/ce_count", "few")
	write("cert.pem", "no certificate")
	env := Env{Roots: Roots{Proc: root + "/proc", Sys: root + "/sys", Dev: root + "/dev"}, Now: time.Now, Interface: "none0", Bus: "unix:path=/no/such/bus"}
	got := look(t, env, func(s *config.SignInForce) {
		switch s.Name {
		case "certificates":
			s.Items = []string{root + "/cert.pem"}
		case "disk_space":
			s.Items = []string{root + "/none"}
		}
	})
	for name, text := range map[string]string{
		"memory_pressure": `no avg10 of "full"`, "oom_kills": "no number", "read_only": "on no file system", "io_errors": "uptime",
		"file_descriptors": "not three numbers", "memory_corrected": "no number", "certificates": "holds no certificate",
		"disk_space": "no such file", "link_flaps": "none0", "link_errors": "none0",
	} {
		expect(t, name, got[name], health.Broken, 0, text)
	}
}

// Of several things one that cannot be read does not hide another that is ill.
func TestBrokenInPart(t *testing.T) {
	root := t.TempDir()
	write := writer(t, root)
	write("proc/self/mountinfo", "1 1 8:1 / /srv rw - ext4 /dev/a rw,emergency_ro\n2 1 8:2 / /data rw - ext4 /dev/b rw\n")
	write("sys/block/md0/md/degraded", "what")
	write("sys/block/md1/md/degraded", "1")
	env := Env{Roots: Roots{Proc: root + "/proc", Sys: root + "/sys", Dev: root + "/dev"}, Now: time.Now, Interface: "none0", Bus: "unix:path=/no/such/bus"}
	got := look(t, env, func(s *config.SignInForce) {
		if s.Name == "read_only" {
			s.Items = []string{"/none", "/srv", "/data"}
		}
	})
	expectPartly(t, "read_only", got["read_only"], 1, "/srv gone read-only", "; /none: on no file system")
	expectPartly(t, "raid", got["raid"], 1, "md1 degraded", `md0/md/degraded holds "what"`)
	write("sys/block/md1/md/degraded", "0")
	expectPartly(t, "raid", raid{env.Roots.Sys}.read(), 0, "1 md arrays, all whole", `holds "what"`)
	write("sys/block/md1/md/degraded", "else")
	if r := (raid{env.Roots.Sys}).read(); r.Answer != health.Broken || r.Unread > 0 {
		t.Errorf("none can be read: %+v", r)
	}
}

// Every sign of the configuration is one that this package can read.
func TestEverySignIsKnown(t *testing.T) {
	for _, kind := range config.SignKinds() {
		_, a := sensors[kind.Name]
		_, b := kernelKinds[kind.Name]
		if a == b {
			t.Errorf("%s has a sensor: %v, of the kernel's log: %v", kind.Name, a, b)
		}
	}
	if n := len(sensors) + len(kernelKinds); n != len(config.SignKinds()) {
		t.Errorf("%d sensors for %d signs", n, len(config.SignKinds()))
	}
}

// hanging does not come back until it is let go.
type hanging struct {
	release chan struct{}
	reads   int
}

func (h *hanging) read() health.Reading {
	h.reads++
	<-h.release
	return measured(1, "back")
}

func TestOneThatHangsDelaysNoOther(t *testing.T) {
	signs := new(config.Config).SignsInForce()[:2]
	signs[0].Interval, signs[1].Interval = time.Millisecond, time.Millisecond
	var mu sync.Mutex
	var answers [2][]health.Answer
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h := &hanging{release: make(chan struct{})}
	w := New(signs, Env{Roots: fixtures("ill"), Now: time.Now}, func(r Report) {
		mu.Lock()
		defer mu.Unlock()
		answers[r.Sign] = append(answers[r.Sign], r.Answer)
		if r.Sign == 0 && r.Answer == health.Broken {
			select {
			case <-h.release:
			default:
				close(h.release)
			}
		}
		if slices.Contains(answers[0], health.Measured) {
			cancel()
		}
	})
	w.sensors[0] = h
	w.Run(ctx)
	if answers[0][0] != health.Broken || len(answers[1]) < 100 {
		t.Errorf("the one that hangs: %v; the other was read %d times", answers[0], len(answers[1]))
	}
}

// Run returns although a sign hangs.
func TestStop(t *testing.T) {
	signs := new(config.Config).SignsInForce()[:1]
	ctx, cancel := context.WithCancel(t.Context())
	h := &hanging{release: make(chan struct{})}
	defer close(h.release)
	w := New(signs, Env{Roots: fixtures("ill"), Now: time.Now}, func(Report) {})
	w.sensors[0] = h
	done := make(chan struct{})
	go func() { w.Run(ctx); close(done) }()
	cancel()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("Run does not return")
	}
}

func TestRecent(t *testing.T) {
	c := newClock()
	r := recent{span: time.Minute}
	for _, row := range []struct {
		pass  time.Duration
		total uint64
		want  uint64
	}{{0, 100, 0}, {time.Second, 103, 3}, {30 * time.Second, 104, 4}, {30 * time.Second, 104, 1}, {time.Second, 2, 1}, {time.Second, 5, 4}} {
		c.pass(row.pass)
		if got := r.add(c.now(), row.total); got != row.want {
			t.Errorf("%v: got %d", row, got)
		}
	}
}

var errTest = errors.New("test")
