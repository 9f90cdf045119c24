package peer

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

// host is a namespace with eth0 on the segment's switch.
type host struct {
	*netnstest.Space
	mac MAC
}

// newSegment makes hosts on a Linux bridge, which floods what it does not
// know. They have no addresses.
func newSegment(t testing.TB, hosts int) []host {
	t.Helper()
	bridge := netnstest.New(t)
	bridge.Do(func() error { return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}) })
	bridge.Up("br0")
	all := make([]host, hosts)
	for i := range all {
		h := host{Space: netnstest.New(t)}
		port := fmt.Sprintf("port%d", i)
		netnstest.Veth(h.Space, "eth0", bridge, port)
		bridge.Do(func() error {
			br, err := netlink.LinkByName("br0")
			if err != nil {
				return err
			}
			l, err := netlink.LinkByName(port)
			if err != nil {
				return err
			}
			return netlink.LinkSetMaster(l, br)
		})
		h.Do(func() error {
			l, err := net.InterfaceByName("eth0")
			if err == nil {
				h.mac = MAC(l.HardwareAddr)
			}
			return err
		})
		awaitUp(t, h.Space, "eth0")
		awaitUp(t, bridge, port)
		all[i] = h
	}
	return all
}

// awaitUp waits until the link works: a bridge forwards to a port only then.
func awaitUp(t testing.TB, s *netnstest.Space, name string) {
	t.Helper()
	netnstest.Until(t, name+" is up", func() bool {
		var up bool
		s.Do(func() error {
			l, err := netlink.LinkByName(name)
			if err == nil {
				up = l.Attrs().OperState == netlink.OperUp
			}
			return err
		})
		return up
	})
}

// options are those of most tests here.
func options(change ...func(*Options)) Options {
	o := Options{
		Interface: "eth0", MAC: net.HardwareAddr(clusterMAC[:]),
		Addresses: []netip.Addr{shared4, shared6}, Source: own4, Port: beatPort,
	}
	for _, c := range change {
		c(&o)
	}
	return o
}

func overIPv6(o *Options) { o.Addresses, o.Source = []netip.Addr{shared6, shared4}, own6 }

// open opens a Transport that is closed when the test ends.
func (h host) open(t testing.TB, o Options) *Transport {
	t.Helper()
	var tr *Transport
	h.Do(func() (err error) {
		tr, err = Open(o)
		return err
	})
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

// received is a Payload that may be kept.
type received struct {
	Payload
	text string
}

// inbox is a Transport that runs until the test ends.
type inbox struct {
	*Transport
	t     testing.TB
	queue chan received
}

// receiveAll receives until ctx is done.
func receiveAll(ctx context.Context, tr *Transport, handle func(Payload)) error {
	defer context.AfterFunc(ctx, tr.Interrupt)()
	for ctx.Err() == nil {
		if err := tr.Receive(0, handle); err != nil {
			return err
		}
	}
	return nil
}

func listen(t testing.TB, tr *Transport) *inbox {
	t.Helper()
	in := &inbox{Transport: tr, t: t, queue: make(chan received, 4096)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- receiveAll(ctx, tr, func(p Payload) { in.queue <- received{p, string(p.Data)} })
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Receive: %v", err)
			}
		case <-time.After(netnstest.Patience):
			t.Error("Receive does not end")
		}
	})
	return in
}

// next waits for the next payload.
func (in *inbox) next() received {
	in.t.Helper()
	select {
	case r := <-in.queue:
		return r
	case <-time.After(netnstest.Patience):
		in.t.Fatalf("nothing comes; counters %+v", in.Counters())
		return received{}
	}
}

// send sends texts, one payload each.
func send(t testing.TB, tr *Transport, texts ...string) {
	t.Helper()
	payloads := make([][]byte, len(texts))
	for i, s := range texts {
		payloads[i] = []byte(s)
	}
	if err := tr.Send(payloads); err != nil {
		t.Fatal(err)
	}
}

// inject puts a frame of any bytes on the wire.
func (h host) inject(t testing.TB, frame []byte) {
	t.Helper()
	h.Do(func() error {
		l, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: l.Index, Halen: 6})
	})
}
