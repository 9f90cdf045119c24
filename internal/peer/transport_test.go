package peer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
	"github.com/rota-cluster/rota/internal/ownership"
	"github.com/rota-cluster/rota/internal/wire"
)

func TestBeatsReachEveryOtherNode(t *testing.T) {
	macs := []struct{ name, mac string }{
		{"multicast", "03:01:02:03:04:05"}, {"igmp", "01:00:5e:01:02:03"}, {"unicast", "02:01:02:03:04:05"},
	}
	families := []struct {
		name   string
		change func(*Options)
		source string
	}{
		{"IPv4", func(o *Options) {}, own4.String()},
		{"IPv6", overIPv6, own6.String()},
		{"IPv4 without an address", func(o *Options) { o.Source = netip.Addr{} }, "0.0.0.0"},
		{"IPv6 without an address", func(o *Options) { overIPv6(o); o.Source = own4 }, "fe80::"},
	}
	for _, m := range macs {
		for _, family := range families {
			t.Run(m.name+" "+family.name, func(t *testing.T) {
				mac, err := net.ParseMAC(m.mac)
				if err != nil {
					t.Fatal(err)
				}
				o := options(family.change, func(o *Options) { o.MAC = mac })
				hosts := newSegment(t, 3)
				var in [3]*inbox
				for i, h := range hosts {
					in[i] = listen(t, h.open(t, o))
				}
				for i, from := range hosts {
					send(t, in[i].Transport, fmt.Sprint("from ", i))
					for j := range hosts {
						if j == i {
							continue
						}
						got := in[j].next()
						if got.text != fmt.Sprint("from ", i) || got.SourceMAC != from.mac || got.DestinationMAC != MAC(mac) ||
							got.Destination != o.Addresses[0] || !strings.HasPrefix(got.Source.String(), family.source) {
							t.Errorf("host %d got %+v", j, got)
						}
					}
				}
				for i := range hosts {
					// Each has heard the two others; its own came before theirs, or never.
					if c := in[i].Counters(); c.Sent != 1 || c.Received != 2 || c.Faults != [Faults]uint64{} {
						t.Errorf("host %d: %+v", i, c)
					}
				}
			})
		}
	}
}

// A real stack checks lengths and checksums, for payloads of both parities.
func TestKernelTakesTheFrames(t *testing.T) {
	hosts := newSegment(t, 2)
	a, b := hosts[0], hosts[1]
	for _, address := range []string{"192.0.2.1/24", "2001:db8::1/64"} {
		a.AddAddress("eth0", address)
	}
	for _, address := range []string{"192.0.2.10/24", "2001:db8::10/64"} {
		b.AddAddress("eth0", address)
	}
	for _, family := range []struct {
		network string
		change  func(*Options)
	}{{"udp4", func(o *Options) {}}, {"udp6", overIPv6}} {
		o := options(family.change, func(o *Options) { o.MAC = net.HardwareAddr(b.mac[:]) })
		var udp net.PacketConn
		b.Do(func() (err error) {
			udp, err = net.ListenPacket(family.network, netip.AddrPortFrom(o.Addresses[0], o.Port).String())
			return err
		})
		tr := a.open(t, o)
		buf := make([]byte, 2048)
		read := func(patience time.Duration) (string, netip.Addr, error) {
			if err := udp.SetReadDeadline(time.Now().Add(patience)); err != nil {
				return "", netip.Addr{}, err
			}
			n, from, err := udp.ReadFrom(buf)
			if err != nil {
				return "", netip.Addr{}, err
			}
			return string(buf[:n]), from.(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
		}
		netnstest.Until(t, "the stack has its new route", func() bool { // IPv6 adds it a little later than the address
			send(t, tr, "ready?")
			_, _, err := read(10 * time.Millisecond)
			return err == nil
		})
		for _, n := range []int{0, 1, 2, 3, 200, 1451, 1452} {
			text := strings.Repeat("b", n)
			send(t, tr, text)
			got, from, err := read(netnstest.Patience)
			for got == "ready?" {
				got, from, err = read(netnstest.Patience)
			}
			if err != nil || got != text || from != o.Source {
				t.Errorf("%s, %d bytes: got %d from %v, %v", family.network, n, len(got), from, err)
			}
		}
		_ = udp.Close()
	}
}

func TestBeatsComeInBelowTheFirewall(t *testing.T) {
	hosts := newSegment(t, 2)
	hosts[1].Firewall(`
table netdev drop_all {
	chain incoming { type filter hook ingress device "eth0" priority -500; policy drop; }
}
table inet drop_all {
	chain routed { type filter hook prerouting priority -500; policy drop; }
	chain incoming { type filter hook input priority -500; policy drop; }
	chain outgoing { type filter hook output priority -500; policy drop; }
}`)
	a, b := listen(t, hosts[0].open(t, options())), listen(t, hosts[1].open(t, options()))
	send(t, a.Transport, "in")
	if got := b.next(); got.text != "in" {
		t.Errorf("got %q", got.text)
	}
	send(t, b.Transport, "out")
	if got := a.next(); got.text != "out" {
		t.Errorf("got %q", got.text)
	}
}

func TestFramesThatAreNoBeatsAreNotHeard(t *testing.T) {
	hosts := newSegment(t, 2)
	a, b := hosts[0], listen(t, hosts[1].open(t, options()))
	frame := func(change func(*Frame)) []byte {
		f := frame4("no beat")
		change(&f)
		return mustAppend(t, f)
	}
	tagged := mustAppend(t, frame4("in a VLAN"))
	tagged = append(tagged[:12:12], append([]byte{0x81, 0, 0, 7}, tagged[12:]...)...)
	priority := mustAppend(t, frame4("with a mere priority"))
	priority = append(priority[:12:12], append([]byte{0x81, 0, 0xe0, 0}, priority[12:]...)...)
	routed := mustAppend(t, frame6("routed"))
	routed[21]--
	damaged := mustAppend(t, frame6("damaged"))
	damaged[len(damaged)-1]++
	for _, bad := range [][]byte{
		tagged, routed, damaged, routed,
		frame(func(f *Frame) { f.DestinationPort++ }),
		frame(func(f *Frame) { f.Destination = own4; f.DestinationMAC = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }),
	} {
		a.inject(t, bad)
	}
	hosts[1].inject(t, mustAppend(t, frame4("sent by the host itself")))
	a.inject(t, priority)
	a.inject(t, frame(func(f *Frame) { f.Payload = []byte("beat") }))
	for _, want := range []string{"with a mere priority", "beat"} {
		if got := b.next(); got.text != want {
			t.Errorf("got %q, want %q", got.text, want)
		}
	}
	want := [Faults]uint64{FaultRouted: 2, FaultBadChecksum: 1}
	if c := b.Counters(); c.Faults != want || c.Received != 2 {
		t.Errorf("%+v", c)
	}
}

func TestInterfaceGoesDownAndUp(t *testing.T) {
	hosts := newSegment(t, 2)
	a, b := hosts[0].open(t, options()), listen(t, hosts[1].open(t, options()))
	send(t, a, "before")
	b.next()

	hosts[1].Down("eth0")
	netnstest.Until(t, "the receiver sees its interface down", func() bool { return b.Counters().Downs == 1 })
	if err := b.Send([][]byte{[]byte("x"), []byte("y")}); err == nil || b.Counters().Unsent[SendDown] != 2 {
		t.Errorf("send on an interface that is down: %v, %+v", err, b.Counters())
	}
	hosts[1].Up("eth0")
	awaitBeat(t, a, b, "after")

	hosts[0].Down("eth0")
	if err := a.Send([][]byte{nil}); err == nil || errors.Is(err, ErrInterfaceGone) {
		t.Errorf("send on an interface that is down: %v", err)
	}
	hosts[0].Up("eth0")
	awaitBeat(t, a, b, "up again")
}

// TestCarrier: the kernel takes frames for a dead link without a word.
func TestCarrier(t *testing.T) {
	a, b := netnstest.New(t), netnstest.New(t)
	netnstest.Veth(a, "eth0", b, "eth0")
	awaitUp(t, a, "eth0")
	tr := host{Space: a}.open(t, options())
	if err := tr.Carrier(); err != nil {
		t.Fatalf("at first: %v", err)
	}
	finds := func(want error) {
		t.Helper()
		netnstest.Until(t, fmt.Sprintf("Carrier finds %v", want), func() bool { return errors.Is(tr.Carrier(), want) })
	}
	b.Down("eth0")
	finds(ErrNoCarrier)
	a.Down("eth0")
	finds(ErrDown)
	a.Up("eth0")
	b.Up("eth0")
	finds(nil)
}

// awaitBeat sends until it is heard: a link needs its time to come up.
func awaitBeat(t *testing.T, from *Transport, to *inbox, text string) {
	t.Helper()
	netnstest.Until(t, "beats are heard again", func() bool {
		_ = from.Send([][]byte{[]byte(text)})
		select {
		case got := <-to.queue:
			return got.text == text
		default:
			return false
		}
	})
}

func TestOpenWhileTheInterfaceIsDown(t *testing.T) {
	hosts := newSegment(t, 2)
	hosts[1].Down("eth0")
	a, b := hosts[0].open(t, options()), listen(t, hosts[1].open(t, options()))
	hosts[1].Up("eth0")
	awaitBeat(t, a, b, "hello")
}

func TestInterfaceIsGone(t *testing.T) {
	h := newSegment(t, 1)[0]
	in := listen(t, h.open(t, options()))
	h.Delete("eth0")
	netnstest.Until(t, "the loss is seen", func() bool { return in.Counters().Downs > 0 })
	if err := in.Send([][]byte{nil}); !errors.Is(err, ErrInterfaceGone) {
		t.Errorf("got %v", err)
	}
	if c := in.Counters(); c.Unsent[SendGone] != 1 {
		t.Errorf("%+v", c)
	}
	err := h.Try(func() error { _, err := Open(options()); return err })
	if err == nil || !strings.Contains(err.Error(), "eth0") {
		t.Errorf("open an interface that is gone: %v", err)
	}
}

func TestFramesCarryTheInterfacesPresentMAC(t *testing.T) {
	hosts := newSegment(t, 2)
	a, b := hosts[0].open(t, options()), listen(t, hosts[1].open(t, options()))
	now := MAC{0x02, 9, 9, 9, 9, 9}
	hosts[0].Do(func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkSetHardwareAddr(l, net.HardwareAddr(now[:]))
	})
	a.SetSource(netip.MustParseAddr("192.0.2.77"))
	send(t, a, "beat")
	if got := b.next(); got.SourceMAC != now || got.Source.String() != "192.0.2.77" {
		t.Errorf("from %v, %v", got.SourceMAC, got.Source)
	}
}

// A beat of many parts over an interface of small MTU, and one made for a larger.
func TestSmallMTU(t *testing.T) {
	hosts := newSegment(t, 2)
	a, b := hosts[0].open(t, options(overIPv6)), listen(t, hosts[1].open(t, options(overIPv6)))
	const mtu = 1280
	hosts[0].Do(func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkSetMTU(l, mtu)
	})
	size, err := wire.PartSize(mtu)
	if err != nil {
		t.Fatal(err)
	}
	self := ownership.Ref{Name: "node-a", Incarnation: 1}
	key := make([]byte, wire.KeyBytes)
	sealer, err := wire.NewSealer(wire.SealerConfig{Key: key, Cluster: "web", Self: self, PartSize: size, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	opener, err := wire.NewOpener(wire.OpenerConfig{Keys: [][]byte{key}, Cluster: "web", Self: ownership.Ref{Name: "node-b", Incarnation: 1}})
	if err != nil {
		t.Fatal(err)
	}
	claims := ownership.NewBitmap(65536)
	for bucket := uint32(0); bucket < 65536; bucket += 3 {
		claims.Set(bucket)
	}
	parts, err := sealer.Seal(&ownership.Beat{From: self, Seq: 1, Pools: []ownership.PoolBeat{{Name: "web", Claims: claims}}})
	if err != nil || len(parts) < 7 || len(parts[0]) != MaxPayload(mtu, shared6) {
		t.Fatalf("%d parts, the first of %d bytes, %v", len(parts), len(parts[0]), err)
	}
	if err := a.Send(parts); err != nil {
		t.Fatal(err)
	}
	for i := range parts {
		beat, reason := opener.Open([]byte(b.next().text))
		if last := i == len(parts)-1; reason.Dropped() || last != (beat != nil) || last && !beat.Pools[0].Claims.Equal(claims) {
			t.Fatalf("part %d of %d: %v", i, len(parts), reason)
		}
	}
	if err := a.Send([][]byte{make([]byte, wire.MaxPart), []byte("short")}); err == nil {
		t.Error("a frame longer than the MTU was sent")
	}
	if got := b.next(); got.text != "short" || a.Counters().Unsent[SendTooLong] != 1 {
		t.Errorf("got %q, %+v", got.text, a.Counters())
	}
}

func TestWhatTheKernelDropsIsCounted(t *testing.T) {
	hosts := newSegment(t, 2)
	a, b := hosts[0].open(t, options()), hosts[1].open(t, options())
	payload := make([]byte, 1400)
	burst := make([][]byte, 64)
	for i := range burst {
		burst[i] = payload
	}
	var overruns uint64
	netnstest.Until(t, "the receiver that does not run is full", func() bool {
		if err := a.Send(burst); err != nil {
			t.Fatal(err)
		}
		overruns = b.Counters().Overruns
		return overruns > 0
	})
	in := listen(t, b)
	netnstest.Until(t, "everything is accounted for", func() bool {
		c := in.Counters()
		return c.Received+c.Overruns == a.Counters().Sent
	})
	if c := in.Counters(); c.Overruns < overruns {
		t.Errorf("%d overruns, then %d", overruns, c.Overruns)
	}
}

func TestReceiveEnds(t *testing.T) {
	h := newSegment(t, 1)[0]
	tr := h.open(t, options())
	for _, when := range []string{"while it waits", "before it begins"} {
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		if when == "before it begins" {
			cancel()
		}
		go func() { ended <- receiveAll(ctx, tr, func(Payload) {}) }()
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("%s: %v", when, err)
			}
		case <-time.After(netnstest.Patience):
			t.Fatalf("%s: Receive goes on", when)
		}
	}
	tr = h.open(t, options())
	until := monotonic(t) + 20*time.Millisecond
	if err := tr.Receive(until, func(Payload) {}); err != nil || monotonic(t) < until {
		t.Errorf("Receive with a deadline: %v, %v early", err, until-monotonic(t))
	}
	tr.Interrupt()
	if err := tr.Receive(0, func(Payload) {}); err != nil {
		t.Errorf("Receive that was interrupted: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- receiveAll(context.Background(), tr, func(Payload) {}) }()
	if err := errors.Join(tr.Close(), tr.Close()); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("Receive of a closed one: %v", err)
		}
	case <-time.After(netnstest.Patience):
		t.Fatal("Receive of a closed one goes on")
	}
	if err := tr.Send([][]byte{nil}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("send after close: %v", err)
	}
	tr.Counters() // of a closed one: the last
}

func TestOpenRefuses(t *testing.T) {
	h := newSegment(t, 1)[0]
	rows := []struct {
		name   string
		change func(*Options)
	}{
		{"no MAC", func(o *Options) { o.MAC = nil }},
		{"no address", func(o *Options) { o.Addresses = nil }},
		{"an address that is none", func(o *Options) { o.Addresses = []netip.Addr{shared4, {}} }},
		{"too many addresses", func(o *Options) { o.Addresses = make([]netip.Addr, MaxAddresses+1) }},
		{"no port", func(o *Options) { o.Port = 0 }},
		{"no such interface", func(o *Options) { o.Interface = "eth7" }},
		{"an interface without MAC", func(o *Options) { o.Interface = "lo" }},
	}
	for _, row := range rows {
		err := h.Try(func() error {
			tr, err := Open(options(row.change))
			if err == nil {
				_ = tr.Close()
			}
			return err
		})
		if err == nil || strings.ContainsRune(err.Error(), '\n') {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	var a [MaxAddresses]netip.Addr
	for i := range a {
		a[i] = netip.AddrFrom16([16]byte{0x20, 1, 15: byte(i)})
	}
	h.open(t, options(func(o *Options) { o.Addresses = a[:] }))
}
