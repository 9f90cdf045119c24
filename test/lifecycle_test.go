package test

import (
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
	"github.com/rota-cluster/rota/internal/lab/service"
)

// TestAStopLeavesTheHostAsItWas, however the daemon stood on it.
func TestAStopLeavesTheHostAsItWas(t *testing.T) {
	m := newMachine(t)
	for _, c := range []struct {
		what   string
		change func(*settings)
		signal syscall.Signal
	}{
		{"at tc, multicast MAC", func(s *settings) { s.datapath = "tc" }, syscall.SIGTERM},
		{"at native XDP, unicast MAC", func(s *settings) { s.datapath, s.mac = "xdp", "unicast" }, syscall.SIGTERM},
		{"at generic XDP, MAC of a group", func(s *settings) { s.datapath, s.mac = "xdp-generic", "igmp" }, syscall.SIGINT},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := m.usual()
			c.change(&s)
			before := snap(t, m.host)
			d := m.start(t, s).serving()
			during := snap(t, m.host).changes(before)
			for _, what := range []string{`address 192\.0\.2\.10/32`, `address 2001:db8::10/128`, `program \d+`, `receives eth0`} {
				if !slices.ContainsFunc(during, regexp.MustCompile(`^\+ .*`+what).MatchString) {
					t.Errorf("no %s on the host while the daemon serves", what)
				}
			}
			for _, line := range during {
				if regexp.MustCompile(`^[+-] (sysctl|nft|rule)`).MatchString(line) {
					t.Errorf("not rota's to touch: %s", line)
				}
			}
			m.expectAnswers(t)
			if o := d.end(c.signal); o.code != 0 {
				t.Errorf("exit %d after %s:\n%s", o.code, c.signal, o.stderr)
			}
			expectUnchanged(t, m.host, before, "after a stop")
			if _, err := os.Stat(s.socket); err == nil {
				t.Error("the socket is left")
			}
		})
	}
}

// TestAKilledDaemonFailsClosed: what it leaves drops the shared addresses'
// traffic once the lease is over, still names nothing but the cluster's MAC,
// and is taken over by the next start.
func TestAKilledDaemonFailsClosed(t *testing.T) {
	m := newMachine(t)
	before := snap(t, m.host)
	d := m.start(t, m.usual()).serving()
	m.expectAnswers(t)
	d.end(syscall.SIGKILL)
	left := snap(t, m.host)

	// The lease is 300 ms; the rest is for a busy machine.
	if waited, err := waitUntil(2*time.Second, func() bool { return m.unanswered(t) }); err != nil {
		t.Errorf("still answers %s after the daemon's end", waited)
	}
	must(t, m.client.Host().Run(forgetNeighbours))
	for range 3 {
		if !m.unanswered(t) {
			t.Error("answers again")
		}
	}
	for _, a := range m.lab.Shared() {
		if mac := m.neighbour(t, a); !strings.HasPrefix(mac, "03:") {
			t.Errorf("the client finds %s at %q, which is not the cluster's MAC", a, mac)
		}
	}
	expectUnchanged(t, m.host, left, "without a daemon")

	again := m.start(t, m.usual()).serving()
	if words := again.output(); !strings.Contains(words, "found what an earlier start left") || !strings.Contains(words, "reused=true") {
		t.Errorf("does not say that it took over what was there:\n%s", words)
	}
	m.expectAnswers(t)
	again.stop()
	expectUnchanged(t, m.host, before, "after a crash, a start and a stop")
}

// TestAStartAfterACrash finds whatever another configuration left, and makes
// the host look as if that had never been.
func TestAStartAfterACrash(t *testing.T) {
	m := newMachine(t)
	before := snap(t, m.host)
	for _, c := range []struct {
		what        string
		crash, next func(*settings)
	}{
		{"the same", func(*settings) {}, func(*settings) {}},
		{"another address, another MAC", func(s *settings) { s.mac = "igmp" },
			func(s *settings) {
				s.mac, s.addresses = "unicast", []string{otherShared.String(), lab.Shared6.String()}
			}},
		{"another cluster", func(s *settings) { s.cluster = "old" }, func(*settings) {}},
		{"from tc to XDP", func(s *settings) { s.datapath = "tc" }, func(s *settings) { s.datapath = "xdp" }},
		{"from XDP to tc", func(s *settings) { s.datapath = "xdp" }, func(s *settings) { s.datapath = "tc" }},
		{"from native to generic XDP, other buckets", func(s *settings) { s.datapath = "xdp" },
			func(s *settings) { s.datapath, s.more = "xdp-generic", []string{"    buckets: 64"} }},
		{"another interface", func(s *settings) { s.iface, s.cluster, s.mac = second, "old", "igmp" }, func(*settings) {}},
		{"another interface, at XDP", func(s *settings) { s.iface, s.datapath = second, "xdp" }, only4},
	} {
		t.Run(c.what, func(t *testing.T) {
			crash, next := m.usual(), m.usual()
			c.crash(&crash)
			c.next(&next)
			fresh := m.start(t, next).up()
			want := numberless(snap(t, m.host))
			fresh.stop()
			expectUnchanged(t, m.host, before, "after a first start and stop")

			m.start(t, crash).up().end(syscall.SIGKILL)
			d := m.start(t, next).up()
			if got := numberless(snap(t, m.host)); !slices.Equal(got, want) {
				t.Errorf("after a crash and a start the host differs from one after a first start:\n%s",
					strings.Join(got.changes(want), "\n"))
			}
			d.stop()
			expectUnchanged(t, m.host, before, "after a crash, a start and a stop")
		})
	}
}

// TestAnAddressThatBecameSomebodyElses is not touched by the start after a crash.
func TestAnAddressThatBecameSomebodyElses(t *testing.T) {
	m := newMachine(t)
	m.start(t, m.usual()).up().end(syscall.SIGKILL)
	m.do(t, func() error {
		if err := deleteAddress(first, "192.0.2.10/32"); err != nil {
			return err
		}
		return addAddress(first, "192.0.2.10/24")
	})
	s := m.usual()
	s.addresses = []string{otherShared.String()}
	m.start(t, s).serving().stop()
	if !slices.ContainsFunc(snap(t, m.host), func(l string) bool { return strings.HasPrefix(l, "address 192.0.2.10/24") }) {
		t.Error("the operator's own address has gone")
	}
}

// TestAStartThatIsCutShort, at moments that nobody chose, leaves nothing that
// the next start and stop would not take away.
func TestAStartThatIsCutShort(t *testing.T) {
	m := newMachine(t)
	before := snap(t, m.host)
	s := m.usual()
	for i, signal := range []syscall.Signal{
		syscall.SIGKILL, syscall.SIGKILL, syscall.SIGKILL, syscall.SIGKILL, syscall.SIGKILL, syscall.SIGTERM, syscall.SIGTERM, syscall.SIGTERM,
	} {
		s.datapath = []string{"tc", "xdp", "xdp-generic"}[i%3]
		d := m.start(t, s)
		moment := time.NewTimer(time.Duration(i%5) * 25 * time.Millisecond)
		<-moment.C
		if o := d.end(signal); signal == syscall.SIGTERM && o.code != 0 && o.code != -1 { // -1: it had not begun to listen
			t.Errorf("exit %d:\n%s", o.code, o.stderr)
		}
	}
	m.start(t, s).serving().stop()
	expectUnchanged(t, m.host, before, "after starts that were cut short, a start and a stop")
}

// TestTheInterfaceGoes and comes back, as with a driver that is loaded anew: the
// daemon waits for it and begins anew. Whenever it is stopped, nothing is left.
func TestTheInterfaceGoes(t *testing.T) {
	m := newMachine(t)
	for _, mac := range []string{"multicast", "unicast", "igmp"} {
		before := snap(t, m.host)
		m.addInterface(t, "eth2")
		s := m.usual()
		s.iface, s.mac = "eth2", mac
		d := m.start(t, s).up()
		order(t, "weight", "50", "--socket", d.socket)
		for _, back := range []bool{true, false} {
			m.do(t, func() error { return setLink("eth2", netlink.LinkDel) })
			waitFor(t, "a daemon that waits for its interface", func() bool {
				s := d.status()
				return s != nil && s.State == api.Fenced && warns(s, "interface-gone", "eth2")
			})
			if back {
				m.addInterface(t, "eth2")
				d.serving()
				if s := d.status(); !warns(s, api.WarnWeight, "weight 50 by order") {
					t.Errorf("the weight is forgotten: %v", s.Warnings)
				}
			}
		}
		d.stop()
		if n := strings.Count(d.output(), "level=ERROR"); n > 0 {
			t.Errorf("%d errors:\n%s", n, d.output())
		}
		expectUnchanged(t, m.host, before, "after the interface")
	}
}

// TestADaemonWithoutAPlaceForItsMemory warns and runs.
func TestADaemonWithoutAPlaceForItsMemory(t *testing.T) {
	m := newMachine(t)
	m.write(t, "state", "not a folder\n", 0o644)
	d := m.start(t, m.usual()).serving()
	if words := d.output(); !strings.Contains(words, "runs without memory") {
		t.Errorf("does not say that it has no memory:\n%s", words)
	}
	d.stop()
}

// up waits until the daemon answers, and so has set up the host.
func (r *running) up() *running {
	r.t.Helper()
	waitFor(r.t, "a daemon that answers", func() bool {
		if r.over() {
			r.t.Fatalf("the daemon ended, %s:\n%s", r.cmd.ProcessState, r.output())
		}
		return r.status() != nil
	})
	return r
}

// numberless is a snapshot without what differs from start to start.
func numberless(s snapshot) snapshot {
	n := make(snapshot, 0, len(s))
	for _, line := range s {
		n = append(n, programNumber.ReplaceAllString(line, "program N"))
	}
	slices.Sort(n)
	return n
}

var programNumber = regexp.MustCompile(`program \d+`)

// expectAnswers from all shared addresses.
func (m *machine) expectAnswers(t *testing.T) {
	t.Helper()
	for _, a := range m.lab.Shared() {
		r, err := m.client.Burst(soon(t), probe.Burst{To: netip.AddrPortFrom(a, service.HTTPPort), Connections: 50})
		must(t, err)
		if err := r.Check(); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
}

// unanswered tells whether a few connections to each shared address get no
// answer of any kind. A reset is an answer, and wrong.
func (m *machine) unanswered(t *testing.T) bool {
	t.Helper()
	silent := true
	for _, a := range m.lab.Shared() {
		r, err := m.client.Burst(soon(t), probe.Burst{
			To: netip.AddrPortFrom(a, service.HTTPPort), Connections: 10, Patience: 100 * time.Millisecond,
		})
		must(t, err)
		if n := r.Outcomes[probe.Answered] + r.Outcomes[probe.Unanswered]; n != r.Asked {
			t.Fatalf("%s: %s; want answers or nothing", a, r)
		}
		silent = silent && r.Outcomes[probe.Unanswered] == r.Asked
	}
	return silent
}

// neighbour is where the client finds an address; "" if it does not know.
func (m *machine) neighbour(t *testing.T, a netip.Addr) (mac string) {
	t.Helper()
	must(t, m.client.Host().Run(func() error {
		all, err := netlink.NeighList(0, netlink.FAMILY_ALL)
		for _, n := range all {
			if at, ok := netip.AddrFromSlice(n.IP); ok && at.Unmap() == a {
				mac = n.HardwareAddr.String()
			}
		}
		return err
	}))
	return mac
}

// forgetNeighbours of the calling thread's host.
func forgetNeighbours() error {
	all, err := netlink.NeighList(0, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	for _, n := range all {
		if n.State != netlink.NUD_NOARP {
			_ = netlink.NeighDel(&n) // it may have gone by itself
		}
	}
	return nil
}

// TestTheInterfaceIsRenamed while the daemon runs, as udev does: a stop finds it all the same.
func TestTheInterfaceIsRenamed(t *testing.T) {
	m := newMachine(t)
	before := snap(t, m.host)
	m.addInterface(t, "eth2")
	s := m.usual()
	s.iface = "eth2"
	d := m.start(t, s).serving()
	m.do(t, func() error {
		return setLink("eth2", func(l netlink.Link) error { return netlink.LinkSetName(l, "lan0") })
	})
	d.stop()
	ours := regexp.MustCompile(`192\.0\.2\.10|2001:db8::10|program|receives lan0 \d 1 `)
	for _, line := range snap(t, m.host).changes(before) {
		if ours.MatchString(line) {
			t.Errorf("after a stop: %s", line)
		}
	}
	m.do(t, func() error { return setLink("lan0", netlink.LinkDel) })
	expectUnchanged(t, m.host, before, "after the interface")
}
