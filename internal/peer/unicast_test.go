package peer

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

var (
	first4, second4 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	first6, second6 = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
)

// unicast opens a Unicast that is closed when the test ends.
func (h host) unicast(t testing.TB, own netip.Addr) *Unicast {
	t.Helper()
	var u *Unicast
	h.Do(func() (err error) {
		u, err = OpenUnicast(own, beatPort)
		return err
	})
	t.Cleanup(func() { _ = u.Close() })
	return u
}

// one receives the next payload.
func one(t testing.TB, u *Unicast) (p Payload, text string) {
	t.Helper()
	if err := u.conn.SetReadDeadline(time.Now().Add(netnstest.Patience)); err != nil {
		t.Fatal(err)
	}
	if err := u.Receive(func(got Payload) { p, text = got, string(got.Data) }); err != nil {
		t.Fatal(err)
	}
	return p, text
}

func TestUnicastGoesToOneNodeAndItsOwnAddress(t *testing.T) {
	hosts := newSegment(t, 2)
	a, b := hosts[0], hosts[1]
	for _, at := range []struct {
		host    host
		address string
	}{{a, "192.0.2.1/24"}, {b, "192.0.2.2/24"}, {b, "192.0.2.10/24"}, {a, "2001:db8::1/64"}, {b, "2001:db8::2/64"}} {
		at.host.AddAddress("eth0", at.address)
	}
	for _, way := range []struct{ from, to netip.Addr }{{first4, second4}, {first6, second6}} {
		from, to := a.unicast(t, way.from), b.unicast(t, way.to)
		large := make([]byte, 3000) // fragmented
		from.Send(way.to, [][]byte{[]byte("one"), large})
		p, text := one(t, to)
		if text != "one" || p.Source != way.from || p.Destination != way.to {
			t.Errorf("got %q from %s to %s", text, p.Source, p.Destination)
		}
		if _, text = one(t, to); len(text) != len(large) {
			t.Errorf("got %d bytes of %d", len(text), len(large))
		}
		if c := from.Counters(); c.Sent != 2 || c.Unsent != 0 {
			t.Errorf("the sender: %+v", c)
		}
		if c := to.Counters(); c.Received != 2 {
			t.Errorf("the receiver: %+v", c)
		}
	}
	// What comes to a shared address is not taken: its port is free for others.
	b.Do(func() error {
		other, err := net.ListenPacket("udp4", netip.AddrPortFrom(shared4, beatPort).String())
		if err != nil {
			return err
		}
		return other.Close()
	})
}

func TestUnicastToNobodyIsCounted(t *testing.T) {
	a := newSegment(t, 1)[0]
	a.AddAddress("eth0", "192.0.2.1/24")
	u := a.unicast(t, first4)
	for i, to := range []netip.Addr{
		netip.MustParseAddr("198.51.100.1"), // no route
		first6,                              // of the other family
		first4,                              // itself
		netip.MustParseAddr("224.0.0.1"), netip.MustParseAddr("127.0.0.1"), netip.IPv4Unspecified(), {},
	} {
		u.Send(to, [][]byte{[]byte("beat")})
		if c := u.Counters(); c.Sent != 0 || c.Unsent != uint64(i+1) {
			t.Fatalf("to %s: %+v", to, c)
		}
	}
}

func TestUnicastOutlivesItsAddress(t *testing.T) {
	hosts := newSegment(t, 2)
	a, b := hosts[0], hosts[1]
	from, to := a.unicast(t, first4), b.unicast(t, second4) // before they are there
	a.AddAddress("eth0", "192.0.2.1/24")
	b.AddAddress("eth0", "192.0.2.2/24")
	from.Send(second4, [][]byte{[]byte("there")})
	if _, text := one(t, to); text != "there" {
		t.Errorf("got %q", text)
	}
}

func TestUnicastNeedsAnAddressOfItsOwn(t *testing.T) {
	for _, own := range []netip.Addr{{}, netip.IPv4Unspecified(), netip.IPv6Unspecified(), netip.MustParseAddr("224.0.0.1"), netip.MustParseAddr("fe80::1"), netip.MustParseAddr("::1")} {
		if u, err := OpenUnicast(own, beatPort); err == nil {
			_ = u.Close()
			t.Errorf("%s: opened", own)
		}
	}
}

// On another interface beats go to all stations, and no other cluster's come in.
func TestBesideTheServiceInterface(t *testing.T) {
	hosts := newSegment(t, 3)
	beside := func(o *Options) { o.Beside, o.MAC, o.Source = true, nil, netip.Addr{} }
	a, b := hosts[0].open(t, options(beside)), listen(t, hosts[1].open(t, options(beside)))
	other := hosts[2].open(t, options(beside, func(o *Options) { o.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.77")} }))
	send(t, other, "of another cluster")
	send(t, a, "ours")
	got := b.next()
	if got.text != "ours" || got.DestinationMAC != broadcast || got.SourceMAC != hosts[0].mac || got.Source != netip.IPv4Unspecified() {
		t.Errorf("got %+v", got)
	}
}
