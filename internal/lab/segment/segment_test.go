package segment

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

const beatPort = 7479

// newSegment builds a segment with hosts h1, h2, … that goes with the test.
func newSegment(t *testing.T, hosts int) *Segment {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces need root: run the tests as root")
	}
	s, err := Build(Options{Name: fmt.Sprintf("t%d", os.Getpid()), BeatPort: beatPort})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for i := 1; i <= hosts; i++ {
		if _, err := s.Attach(fmt.Sprintf("h%d", i), nic(i)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func nic(i int) NIC {
	return NIC{
		MAC: net.HardwareAddr{2, 0, 0, 0, 0, byte(i)},
		Addresses: []netip.Prefix{
			netip.MustParsePrefix(fmt.Sprintf("192.0.2.%d/24", i)),
			netip.MustParsePrefix(fmt.Sprintf("2001:db8::%d/64", i)),
		},
	}
}

func (h *Host) addr4() netip.Addr { return h.nic.Addresses[0].Addr() }
func (h *Host) addr6() netip.Addr { return h.nic.Addresses[1].Addr() }

// arrivals sends n datagrams and counts those that come.
func arrivals(t *testing.T, from *Host, to netip.AddrPort, toHost *Host, n int) int {
	t.Helper()
	var in *net.UDPConn
	err := toHost.Run(func() (err error) {
		in, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(to))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := in.SetReadBuffer(8 << 20); err != nil {
		t.Fatal(err)
	}
	out, err := from.Dial(context.Background(), "udp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for range n {
		if _, err := out.Write([]byte("beat")); err != nil {
			t.Fatal(err)
		}
	}
	got, buf := 0, make([]byte, 64)
	for {
		if err := in.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := in.Read(buf); errors.Is(err, os.ErrDeadlineExceeded) {
			return got
		} else if err != nil {
			t.Fatal(err)
		}
		got++
	}
}

func TestLossesTakeWhatTheySay(t *testing.T) {
	s := newSegment(t, 3)
	h := s.Hosts()
	const sent, other = 500, 9000
	cases := []struct {
		sentence string
		set      func(Loss) error
		loss     Loss
		to       *Host
		port     uint16
		min, max int
	}{
		{"no fault loses nothing", nil, Loss{}, h[1], other, sent, sent},
		{"a full loss from the sender takes all", port(s, h[0], FromHost), Loss{Frames: Certain}, h[1], other, 0, 0},
		{"a full loss to the receiver takes all", port(s, h[1], ToHost), Loss{Frames: Certain}, h[1], other, 0, 0},
		{"the other direction of the sender's port goes on", port(s, h[0], ToHost), Loss{Frames: Certain / 1000}, h[1], other, sent, sent},
		{"30 % takes about 30 %", port(s, h[0], FromHost), Loss{Frames: 300_000}, h[1], other, sent * 60 / 100, sent * 80 / 100},
		{"a loss of beats takes beats", port(s, h[0], FromHost), Loss{Beats: Certain}, h[1], beatPort, 0, 0},
		{"a loss of beats takes nothing else", port(s, h[0], FromHost), Loss{Beats: Certain}, h[1], other, sent, sent},
		{"half of the beats", port(s, h[1], ToHost), Loss{Beats: Certain / 2}, h[1], beatPort, sent * 40 / 100, sent * 60 / 100},
		{"a broken pair takes all between the two", pair(s, h[0], h[1]), Loss{Frames: Certain}, h[1], other, 0, 0},
		{"a broken pair leaves the third alone", pair(s, h[0], h[1]), Loss{Frames: Certain}, h[2], other, sent, sent},
		{"what is for the host alone is not flooded", port(s, h[1], ToHost), Loss{Flooded: Certain}, h[1], other, sent, sent},
		{"a pair may lose beats only", pair(s, h[0], h[1]), Loss{Beats: Certain}, h[1], beatPort, 0, 0},
	}
	for _, c := range cases {
		for _, address := range []netip.Addr{c.to.addr4(), c.to.addr6()} {
			t.Run(fmt.Sprintf("%s/%s", c.sentence, address), func(t *testing.T) {
				// The neighbours know each other before the fault, or their
				// resolution would be lost as well.
				if arrivals(t, h[0], netip.AddrPortFrom(address, other), c.to, 1) != 1 {
					t.Fatal("nothing arrives before the fault")
				}
				if c.set != nil {
					if err := c.set(c.loss); err != nil {
						t.Fatal(err)
					}
					defer func() {
						if err := c.set(Loss{}); err != nil {
							t.Error(err)
						}
					}()
				}
				got := arrivals(t, h[0], netip.AddrPortFrom(address, c.port), c.to, sent)
				if got < c.min || got > c.max {
					t.Errorf("%d of %d arrived, want %d to %d", got, sent, c.min, c.max)
				}
			})
		}
	}
	lost, err := s.Lost(h[0], FromHost)
	if err != nil || lost < 2*sent {
		t.Errorf("counted %d lost frames, %v; want at least %d", lost, err, 2*sent)
	}
}

func port(s *Segment, h *Host, d Direction) func(Loss) error {
	return func(l Loss) error { return s.SetLoss(h, d, l) }
}

func pair(s *Segment, from, to *Host) func(Loss) error {
	return func(l Loss) error { return s.SetPairLoss(from, to, l) }
}

// What is sent to a MAC that the switch does not know goes to all, until it is not flooded
// to one any more.
func TestFloodingEndsAtOnePort(t *testing.T) {
	s := newSegment(t, 3)
	h := s.Hosts()
	flooded := func(to *Host) int {
		t.Helper()
		err := h[0].withInterface(InterfaceName, func(links *netlink.Handle, eth netlink.Link) error {
			return links.NeighSet(&netlink.Neigh{
				LinkIndex: eth.Attrs().Index, IP: to.addr4().AsSlice(),
				State: netlink.NUD_PERMANENT, HardwareAddr: net.HardwareAddr{3, 0, 0x5e, 0, 0, 1},
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		return arrivals(t, h[0], netip.AddrPortFrom(to.addr4(), 9000), to, 5)
	}
	for _, to := range h[1:] {
		if n := flooded(to); n != 5 {
			t.Fatalf("%d of 5 flooded datagrams arrive at %s", n, to.Name())
		}
	}
	if err := s.SetLoss(h[1], ToHost, Loss{Flooded: Certain}); err != nil {
		t.Fatal(err)
	}
	if n := flooded(h[1]); n != 0 {
		t.Errorf("%d of 5 flooded datagrams arrive where nothing is flooded", n)
	}
	if n := flooded(h[2]); n != 5 {
		t.Errorf("%d of 5 flooded datagrams arrive at the other port", n)
	}
	if n := arrivals(t, h[2], netip.AddrPortFrom(h[1].addr4(), 9000), h[1], 5); n != 5 {
		t.Errorf("%d of 5 datagrams for the host alone arrive, its MAC asked for by broadcast", n)
	}
}

func TestSecondSwitch(t *testing.T) {
	s, err := Build(Options{Name: fmt.Sprintf("t%d", os.Getpid()), Second: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.Attach("fourteen-chars", nic(1)); err == nil {
		t.Error("a name too long for the second port")
	}
	var own [2]netip.Addr
	for i := range own {
		h, err := s.Attach(fmt.Sprintf("h%d", i+1), nic(i+1))
		if err != nil {
			t.Fatal(err)
		}
		own[i] = netip.MustParseAddr(fmt.Sprintf("198.51.100.%d", i+1))
		err = h.withInterface(SecondInterfaceName, func(links *netlink.Handle, eth netlink.Link) error {
			return addAddress(links, eth, netip.PrefixFrom(own[i], 24))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	a, b := s.Hosts()[0], s.Hosts()[1]
	if err := s.SetCarrier(b, false); err != nil { // the first network is another
		t.Fatal(err)
	}
	to := netip.AddrPortFrom(own[1], 9000)
	waitFor(t, "datagrams by the second network", func() bool { return arrivals(t, a, to, b, 1) > 0 })
	if err := s.SetSecondCarrier(b, false); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "no datagrams without a cable", func() bool { return arrivals(t, a, to, b, 1) == 0 })
}

func TestPulledCableIsSeenByTheHost(t *testing.T) {
	s := newSegment(t, 1)
	h := s.Hosts()[0]
	for _, on := range []bool{false, true} {
		if err := s.SetCarrier(h, on); err != nil {
			t.Fatal(err)
		}
		waitFor(t, fmt.Sprintf("carrier %v", on), func() bool {
			var up bool
			err := h.withInterface(InterfaceName, func(_ *netlink.Handle, eth netlink.Link) error {
				up = eth.Attrs().OperState == netlink.OperUp
				return nil
			})
			return err == nil && up == on
		})
	}
}

func TestInterfaceDownAndUpAgain(t *testing.T) {
	s := newSegment(t, 2)
	a, b := s.Hosts()[0], s.Hosts()[1]
	to := netip.AddrPortFrom(b.addr4(), 9000)
	if err := b.SetLink(false); err != nil {
		t.Fatal(err)
	}
	if n := arrivals(t, a, to, b, 5); n != 0 {
		t.Errorf("%d datagrams arrived at an interface that is down", n)
	}
	if err := b.SetLink(true); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "datagrams to arrive again", func() bool { return arrivals(t, a, to, b, 1) > 0 })
}

func TestChildLivesInItsHostAndDiesWithIt(t *testing.T) {
	s := newSegment(t, 1)
	h := s.Hosts()[0]
	cmd := exec.Command("sleep", "600")
	if err := h.Start(cmd); err != nil {
		t.Fatal(err)
	}
	var want string
	err := h.Run(func() (err error) {
		want, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
	if err != nil || got != want {
		t.Errorf("the child is in %s, %v; want %s", got, err, want)
	}
	if err := s.Detach(h); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the child ended with %v, want it killed", err)
	}
}

func TestRemoveTakesOneSegmentsNamespacesOnly(t *testing.T) {
	s := newSegment(t, 1)
	stale, err := Build(Options{Name: s.options.Name + "x"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stale.Close() })
	unmounted := stale.Namespace() + "-unmounted" // of which a mount namespace has left the name alone
	if err := os.WriteFile(namedRoot+"/"+unmounted, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	removed, err := Remove(stale.options.Name)
	if want := []string{stale.Namespace(), unmounted}; err != nil || !slices.Equal(removed, want) {
		t.Errorf("removed %v, %v; want %v", removed, err, want)
	}
	for _, ns := range []string{s.Namespace(), s.Hosts()[0].Namespace()} {
		if _, err := os.Stat(namedRoot + "/" + ns); err != nil {
			t.Errorf("another segment's namespace is gone: %v", err)
		}
	}
	if _, err := Build(Options{Name: s.options.Name}); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second segment of one name: %v, want os.ErrExist", err)
	}
}

func TestBadNamesAreRefused(t *testing.T) {
	for _, name := range []string{"", "a-b", "A", "seventeenlettersx"} {
		if _, err := Build(Options{Name: name}); err == nil {
			t.Errorf("name %q accepted", name)
		}
	}
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10 s for %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
