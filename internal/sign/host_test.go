package sign

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/health"
)

func TestSwap(t *testing.T) {
	root := t.TempDir()
	c := newClock()
	s := &swap{proc: root, now: c.now}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, "vmstat"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("pswpin 0\npswpout 1000\n")
	expect(t, "swap", s.read(), health.Measured, 0, "first look")
	c.pass(2 * time.Second)
	pages := 4 << 20 / os.Getpagesize()
	write("pswpin " + itoa(pages) + "\npswpout " + itoa(1000+pages) + "\n")
	expect(t, "swap", s.read(), health.Measured, 4, "4.0 MiB/s")
}

func TestOOMKills(t *testing.T) {
	root := t.TempDir()
	c := newClock()
	s := newOOMKills(Env{Roots: Roots{Proc: root}, Now: c.now})
	for _, row := range []struct {
		total string
		value float64
	}{{"5", 0}, {"7", 2}, {"7", 0}} {
		if err := os.WriteFile(filepath.Join(root, "vmstat"), []byte("oom_kill "+row.total+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		expect(t, "oom_kills", s.read(), health.Measured, row.value, "")
		c.pass(memory - time.Second)
		c.pass(time.Duration(row.value) * time.Second)
	}
}

// A file system that an administrator remounts read-only counts if it could be written before.
func TestReadOnlyLater(t *testing.T) {
	root := t.TempDir()
	mounted := func(options, super string) {
		t.Helper()
		if err := os.MkdirAll(root+"/self", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(root+"/self/mountinfo", []byte("27 1 254:0 / / "+options+" - ext4 /dev/vda1 "+super+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := newReadOnly(root, []string{"/"})
	mounted("ro,relatime", "ro")
	expect(t, "from the beginning", s.read(), health.Measured, 0, "as mounted")
	mounted("rw,relatime", "rw")
	expect(t, "writable", s.read(), health.Measured, 0, "")
	mounted("ro,relatime", "ro")
	expect(t, "later", s.read(), health.Measured, 1, "/ gone read-only")
}

func TestLinkCounters(t *testing.T) {
	c := newClock()
	now := link{carrierChanges: 2, errors: 100}
	ask := func() (link, error) { return now, nil }
	flaps := &linkFlaps{ask: ask, name: "eth0", now: c.now, changes: counted{Recent: recent{span: memory}}}
	errs := &linkErrors{ask: ask, name: "eth0", now: c.now, errors: counted{Recent: recent{span: time.Minute}}}
	flaps.read()
	errs.read()
	now = link{carrierChanges: 8, errors: 112}
	expect(t, "flaps", flaps.read(), health.Measured, 6, "carrier of eth0 came or went 6 times")
	expect(t, "errors", errs.read(), health.Measured, 12, "12 frames of eth0")
	flaps.ask = func() (link, error) { return link{}, errNotCounted }
	expect(t, "flaps", flaps.read(), health.CannotTell, 0, "")
}

// The kernel of this host counts for an interface that is surely there.
func TestLinkOfThisHost(t *testing.T) {
	if l, err := askLink("lo"); err != nil || l.carrierChanges > 1000 {
		t.Errorf("%+v, error %v", l, err)
	}
}

func TestClock(t *testing.T) {
	c := newClock()
	status, err := int32(staUnsync), error(nil)
	u := &unsynchronised{now: c.now, status: func() (int32, error) { return status, err }}
	expect(t, "first", u.read(), health.Measured, 0, "not synchronised")
	c.pass(90 * time.Second)
	expect(t, "later", u.read(), health.Measured, 90, "not synchronised for 90 s")
	status = 0
	expect(t, "mended", u.read(), health.Measured, 0, "synchronised")
	err = errTest
	expect(t, "broken", u.read(), health.Broken, 0, "test")
}

func TestClockOfThisHost(t *testing.T) {
	if _, err := clockStatus(); err != nil {
		t.Error(err)
	}
}

func TestClockStepped(t *testing.T) {
	var passed, shown time.Duration
	begin := time.Now()
	s := &stepped{now: func() time.Time { return begin.Add(passed) }, look: func() (time.Duration, time.Duration) { return passed, shown }}
	for _, row := range []struct {
		name          string
		passed, shown time.Duration
		value         float64
		text          string
	}{
		{"first look", 0, 0, 0, "no step"},
		{"on time", time.Second, time.Second, 0, ""},
		{"slewed", time.Second, 1010 * time.Millisecond, 0, ""},
		{"stepped back", time.Second, -2 * time.Second, 3, "stepped by 3s within"},
		{"a smaller step", time.Second, 2 * time.Second, 3, ""},
		{"the greater one is forgotten", memory - time.Second, memory - time.Second, 1, "stepped by 1s"},
		{"all are", 2 * time.Second, 2 * time.Second, 0, "no step"},
	} {
		passed, shown = passed+row.passed, shown+row.shown
		expect(t, row.name, s.read(), health.Measured, row.value, row.text)
	}
	if r := newStepped(time.Now).read(); r.Value != 0 {
		t.Errorf("this host: %+v", r)
	}
}

func TestScheduling(t *testing.T) {
	if r := (scheduling{time.Now}).read(); r.Answer != health.Measured || r.Value < 0 || r.Value > 10000 {
		t.Errorf("%+v", r)
	}
}

func TestCertificates(t *testing.T) {
	now := time.Now()
	write := func(days ...int) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "c.pem")
		var text strings.Builder
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range days {
			c := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: now.Truncate(time.Second).Add(time.Duration(d) * day)}
			der, err := x509.CreateCertificate(rand.Reader, &c, &c, key.Public(), key)
			if err != nil {
				t.Fatal(err)
			}
			if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	files := []string{write(90), write(60, 10, 30)}
	r := certificates{files, func() time.Time { return now.Truncate(time.Second) }}.read()
	expect(t, "certificates", r, health.Measured, 10, files[1]+" is good until ")
	r = certificates{append([]string{"none.pem"}, files...), func() time.Time { return now.Truncate(time.Second) }}.read()
	expectPartly(t, "certificates", r, 10, files[1]+" is good until ", "none.pem: no such file")
}

func TestDrives(t *testing.T) {
	var log smartLog
	sata := ataReport{unreadable: -1, used: -1}
	d := newDrives(fixtures("ill"))
	d.nvme = func(device string) (smartLog, error) {
		if device != "testdata/ill/dev/nvme0" {
			t.Errorf("asks %s", device)
		}
		return log, nil
	}
	d.ata = func(device string) (ataReport, error) {
		if device != "testdata/ill/dev/sda" {
			t.Errorf("asks %s", device)
		}
		return sata, nil
	}
	expect(t, "emmc", diskHealth{d}.read(), health.Measured, 1, "mmcblk0: its spare blocks are nearly used up")
	expect(t, "emmc", diskWear{d}.read(), health.Measured, 100, "mmcblk0 has used 100 %")
	log[0], log[5], sata.failing = 1|1<<3, 104, true
	expect(t, "all", diskHealth{d}.read(), health.Measured, 3, "nvme0: spare blocks nearly used up, read-only; sda: a SMART attribute is past its threshold; mmcblk0")
	expect(t, "all", diskWear{d}.read(), health.Measured, 104, "nvme0 has used 104 %")
	sata = ataReport{unreadable: 8, used: 105}
	expect(t, "a disk that fails", diskHealth{d}.read(), health.Measured, 3, "sda: 8 sectors that it can hardly read")
	expect(t, "a disk that is worn", diskWear{d}.read(), health.Measured, 105, "sda has used 105 %")
	d.ata = func(string) (ataReport, error) { return sata, errTest }
	expectPartly(t, "a disk that cannot be read", diskHealth{d}.read(), 2, "mmcblk0: its spare blocks are nearly used up", "; sda: test")
	expectPartly(t, "a disk that cannot be read", diskWear{d}.read(), 104, "nvme0 has used 104 %", "; sda: test")
}

// The sense data of a disk that is well, of one that fails, and of one that does not know the command.
func TestATA(t *testing.T) {
	answer := func(mid, high byte) []byte {
		return append([]byte{0x72, 0x01, 0x00, 0x1d, 0, 0, 0, 14, 0x09, 12, 0, 0, 0, 0, 0, 0, 0, mid, 0, high, 0, 0x50}, make([]byte, 10)...)
	}
	if failing, err := smartStatus(answer(0x4f, 0xc2)); failing || err != nil {
		t.Errorf("well: %v, %v", failing, err)
	}
	if failing, err := smartStatus(answer(0xf4, 0x2c)); !failing || err != nil {
		t.Errorf("failing: %v, %v", failing, err)
	}
	for _, sense := range [][]byte{answer(0, 0), make([]byte, 32)} {
		if _, err := smartStatus(sense); err == nil {
			t.Errorf("%x is taken for a status", sense)
		}
	}
}

// Pages of the Device Statistics log: of a disk that has the value, and of some that do not say.
func TestATAStatistics(t *testing.T) {
	page := func(number byte, at int, value ...byte) []byte {
		log := make([]byte, 512)
		log[0], log[2] = 1, number
		copy(log[at:], value)
		return log
	}
	for _, row := range []struct {
		name string
		log  []byte
		page byte
		at   int
		want int64
	}{
		{"used", page(pageSolidState, percentUsed, 37, 0, 0, 0, 0, 0, 0, 0xc0), pageSolidState, percentUsed, 37},
		{"used, of which one byte counts", page(pageSolidState, percentUsed, 37, 9, 0, 0, 0, 0, 0, 0xc0), pageSolidState, percentUsed, 37},
		{"sectors", page(pageRotating, candidates, 0x10, 0x01, 0, 0, 0, 0, 0, 0xd0), pageRotating, candidates, 0x110},
		{"not valid now", page(pageRotating, candidates, 5, 0, 0, 0, 0, 0, 0, 0x80), pageRotating, candidates, -1},
		{"not supported", page(pageRotating, candidates), pageRotating, candidates, -1},
		{"another page", page(pageRotating, percentUsed, 5, 0, 0, 0, 0, 0, 0, 0xc0), pageSolidState, percentUsed, -1},
	} {
		if got := statistic(row.log, row.page, row.at); got != row.want {
			t.Errorf("%s: got %d, want %d", row.name, got, row.want)
		}
	}
}

func TestGateways(t *testing.T) {
	found, err := gateways("testdata/ill/proc", "eth0")
	if err != nil || len(found) != 2 || found[0] != netip.MustParseAddr("192.0.2.1") || found[1] != netip.MustParseAddr("fe80::1%eth0") {
		t.Errorf("%v, error %v", found, err)
	}
	for addr, want := range map[string]bool{"192.0.2.1": true, "192.0.2.9": false, "192.0.2.7": false} {
		if resolved("testdata/ill/proc", "eth0", netip.MustParseAddr(addr)) != want {
			t.Errorf("%s: want %v", addr, want)
		}
	}
}

func TestReach(t *testing.T) {
	c := newClock()
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	up := map[netip.Addr]bool{a: true, b: true}
	var lack error
	r := reach{now: c.now, answer: func(h netip.Addr) (bool, error) { return up[h], lack }, mute: map[netip.Addr]*watchedFor{}}
	both := []netip.Addr{a, b}
	expect(t, "both", r.ask(both), health.Measured, 0, "2 answer")
	up[b] = false
	c.pass(3 * time.Second)
	expect(t, "one", r.ask(both), health.Measured, 3, "192.0.2.2: no answer for 3.0 s")
	expectTargets(t, r.ask(both), "192.0.2.1 0 192.0.2.1: answers", "192.0.2.2 3 192.0.2.2: no answer for 3.0 s")
	up[a] = false
	c.pass(time.Second)
	expect(t, "none", r.ask(both), health.Measured, 4, "192.0.2.1, 192.0.2.2: no answer")
	up[a], up[b] = true, true
	expect(t, "again", r.ask(both), health.Measured, 0, "")
	// What this host lacks is no silence of others, also not afterwards.
	up[a], lack = false, unix.EMFILE
	expect(t, "cannot ask", r.ask(both), health.Broken, 0, "ask who answers: too many open files")
	c.pass(time.Minute)
	expect(t, "cannot ask", r.ask(both), health.Broken, 0, "too many open files")
	lack = nil
	expect(t, "can ask", r.ask(both), health.Measured, 0, "192.0.2.1: no answer for 0.0 s")
	c.pass(time.Second)
	expect(t, "asked", r.ask(both), health.Measured, 1, "192.0.2.1: no answer for 1.0 s")
}

func expectTargets(t *testing.T, r health.Reading, want ...string) {
	t.Helper()
	var got []string
	for _, x := range r.Targets {
		got = append(got, fmt.Sprint(x.Name, " ", x.Value, " ", x.Text))
	}
	if !slices.Equal(got, want) {
		t.Errorf("targets %q, want %q", got, want)
	}
}

// One router has another zone on each node, because their interfaces have other names.
func TestReachNamesWithoutZones(t *testing.T) {
	r := reach{now: newClock().now, answer: func(netip.Addr) (bool, error) { return true, nil }, mute: map[netip.Addr]*watchedFor{}}
	expectTargets(t, r.ask([]netip.Addr{netip.MustParseAddr("fe80::1%eth7")}), "fe80::1 0 fe80::1%eth7: answers")
}

func TestPing(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		if answers, err := ping(netip.MustParseAddr(host), time.Now); !answers || err != nil {
			t.Errorf("%s does not answer, error %v", host, err)
		}
	}
	if answers, err := ping(netip.MustParseAddr("240.0.0.1"), time.Now); answers || err != nil {
		t.Errorf("a host that cannot be there: answers %v, error %v", answers, err)
	}
	// Without a descriptor nobody can be asked.
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	answers, err := ping(netip.MustParseAddr("127.0.0.1"), time.Now)
	if again := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); again != nil {
		t.Fatal(again)
	}
	if answers || !errors.Is(err, unix.EMFILE) {
		t.Errorf("without a descriptor: answers %v, error %v", answers, err)
	}
}
