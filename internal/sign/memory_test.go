package sign

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
)

// What is judged by the looks before goes on where another sensor looks on, a while later: after a reload, or
// in the next daemon.
func TestTheNextSensorRemembers(t *testing.T) {
	root := t.TempDir()
	write := writer(t, root)
	mounted := func(options string) {
		write("self/mountinfo", "27 1 254:0 / / "+options+" - ext4 /dev/vda1 "+options+"\n")
	}
	namespace := func(name string) {
		at := filepath.Join(root, "self/ns/mnt")
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(at) // there may be none
		if err := os.Symlink(name, at); err != nil {
			t.Fatal(err)
		}
	}
	c := newClock()
	var counts link
	var steps time.Duration
	device, answers := "eth0", true
	env := func() Env {
		return Env{Roots: Roots{Proc: root, Sys: root}, Now: c.now, Interface: device, link: func() (link, error) { return counts, nil }}
	}
	host := netip.MustParseAddr("192.0.2.1")
	makes := map[string]func() sensor{
		"read_only":   func() sensor { return newReadOnly(root, []string{"/"}) },
		"link_flaps":  func() sensor { return newLinkFlaps(env()) },
		"link_errors": func() sensor { return newLinkErrors(env()) },
		"oom_kills":   func() sensor { return newOOMKills(env()) },
		"swap":        func() sensor { return &swap{proc: root, now: c.now} },
		"clock_stepped": func() sensor {
			return &stepped{now: c.now, look: func() (time.Duration, time.Duration) { return 0, steps }}
		},
		"clock_unsynchronised": func() sensor {
			return &unsynchronised{now: c.now, status: func() (int32, error) { return staUnsync, nil }}
		},
		"hosts": func() sensor {
			r := newReach(env())
			r.answer = func(netip.Addr) (bool, error) { return answers, nil }
			return hosts{reach: r, list: []netip.Addr{host}}
		},
	}
	ill := func() {
		counts = link{5, 20}
		mounted("ro")
		write("vmstat", "oom_kill 4\npswpin "+itoa(4<<20/os.Getpagesize())+"\npswpout 0\n")
	}
	for _, row := range []struct {
		name, sign string
		between    func()
		want       float64
	}{
		{"remounted while nobody looked", "read_only", func() { ill() }, 1},
		{"but mounted so where the next one runs", "read_only", func() { ill(); namespace("mnt:[2]") }, 0},
		{"flaps before and meanwhile", "link_flaps", func() { ill() }, 5},
		{"flaps of another interface", "link_flaps", func() { ill(); device = "eth1" }, 0},
		{"flaps at some time in the last hour", "link_flaps", func() { ill(); c.pass(time.Hour) }, 0},
		{"flaps of the future: the clock was set back", "link_flaps", func() { ill(); c.pass(-time.Hour) }, 0},
		{"errors", "link_errors", func() { ill() }, 20},
		{"kills", "oom_kills", func() { ill() }, 4},
		{"swapping", "swap", func() { ill(); c.pass(time.Second) }, 4},
		{"a step before", "clock_stepped", func() {}, 2},
		{"not synchronised for as long as was watched", "clock_unsynchronised", func() { c.pass(time.Minute) }, 1},
		{"no answer for as long as was asked", "hosts", func() { answers = false; c.pass(time.Minute) }, 1},
	} {
		c = newClock()
		counts, steps, answers, device = link{}, 0, true, "eth0"
		mounted("rw")
		namespace("mnt:[1]")
		write("vmstat", "oom_kill 0\npswpin 0\npswpout 0\n")
		var reports []Report
		signs := []config.SignInForce{{SignKind: config.SignKind{Name: row.sign}}}
		before := New(signs, env(), func(r Report) { reports = append(reports, r) })
		before.sensors[0] = makes[row.sign]()
		before.Once(t.Context())
		counts, steps, answers = link{2, 4}, 2*time.Second, false
		c.pass(time.Second)
		before.Once(t.Context())
		row.between()

		after := New(signs, env(), func(r Report) { reports = append(reports, r) })
		after.sensors[0] = makes[row.sign]()
		if err := after.Recall(0, reports[1].Memory); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
		after.Once(t.Context())
		if got := reports[2]; got.Answer != health.Measured || got.Value != row.want {
			t.Errorf("%s: %v %v %q, want %v", row.name, got.Answer, got.Value, got.Text, row.want)
		}
	}
	w := New([]config.SignInForce{{SignKind: config.SignKind{Name: "link_flaps"}}}, env(), func(Report) {})
	if err := w.Recall(0, json.RawMessage(`[]`)); err == nil {
		t.Error("takes what is no memory of it")
	}
}

// Whoever takes a path out of the list accepts what has become of it.
func TestAPathThatIsTakenOutIsForgotten(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "self"), 0o755); err != nil {
		t.Fatal(err)
	}
	mounted := func(options string) {
		t.Helper()
		line := "27 1 254:0 / / " + options + " - ext4 /dev/vda1 " + options + "\n"
		if err := os.WriteFile(filepath.Join(root, "self/mountinfo"), []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var memory json.RawMessage
	look := func(paths ...string) health.Reading {
		t.Helper()
		var got Report
		w := New([]config.SignInForce{{SignKind: config.SignKind{Name: "read_only", Items: paths}}}, Env{Roots: Roots{Proc: root}, Now: time.Now}, func(r Report) { got = r })
		if err := w.Recall(0, memory); err != nil {
			t.Fatal(err)
		}
		w.Once(t.Context())
		memory = got.Memory
		return got.Reading
	}
	mounted("rw")
	look("/", "/srv")
	mounted("ro")
	expect(t, "remounted", look("/", "/srv"), health.Measured, 2, "/, /srv gone read-only")
	expect(t, "one is taken out", look("/"), health.Measured, 1, "/ gone read-only")
	expect(t, "and put back", look("/", "/srv"), health.Measured, 1, "/ gone read-only")
}
