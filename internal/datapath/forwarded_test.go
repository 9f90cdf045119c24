package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
	"github.com/rota-cluster/rota/internal/ownership"
)

// passedOn is by how much a port that a host passes on to its container is higher
// than the container's.
const passedOn = 8000

// container is a namespace behind the host that only the host reaches. The host passes
// on to it what comes for some ports, by DNAT.
func (h *host) container() *host {
	h.t.Helper()
	c := &host{Space: netnstest.New(h.t), t: h.t}
	netnstest.Veth(h.Space, "inside0", c.Space, "node0")
	h.AddAddress("inside0", "10.0.0.1/24")
	h.AddAddress("inside0", "fd00::1/64")
	c.AddAddress("node0", "10.0.0.2/24")
	c.AddAddress("node0", "fd00::2/64")
	c.Route("node0", "0.0.0.0/0", addr("10.0.0.1"))
	c.Route("node0", "::/0", addr("fd00::1"))
	h.Sysctl("net/ipv4/ip_forward", "1")
	h.Sysctl("net/ipv6/conf/all/forwarding", "1")
	for _, port := range []int{80, 81} {
		h.Firewall(fmt.Sprintf(`
			add table inet containers
			add chain inet containers arrival { type nat hook prerouting priority dstnat; }
			add rule inet containers arrival tcp dport %d dnat ip to 10.0.0.2:%d
			add rule inet containers arrival tcp dport %d dnat ip6 to [fd00::2]:%d`,
			port+passedOn, port, port+passedOn, port))
	}
	return c
}

// TestForwarded: conntrack finds the connections that a host passes on, and those alone.
func TestForwarded(t *testing.T) {
	h, client := segment(t)
	h.attach(config.DatapathAuto, false)
	h.share()
	h.own()
	h.echo()
	h.container().echo()
	client.Route("client0", "10.0.0.0/24", addr("192.0.2.1"))
	client.Route("client0", "fd00::/64", addr("2001:db8::1"))
	// To this one, which only tests, the container's addresses are shared too.
	o := h.options()
	o.Pools[0].Addresses = append(o.Pools[0].Addresses, addr("10.0.0.2"), addr("fd00::2"))
	asks := loadForTest(t, o)
	if !asks.AsksConntrack() {
		t.Error("the programs do not ask this kernel, which has what is needed")
	}
	old := describeKernel()
	old.conntrack = conntrackLayout{}
	asksNot, err := load(o, nil, old)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = asksNot.Close() })
	if asksNot.AsksConntrack() {
		t.Error("the programs ask a kernel that lacks what is needed")
	}
	if why := asksNot.WhyNoConntrack(); !errors.Is(why, ErrNoConntrack) || !strings.Contains(why.Error(), "loaded after them") {
		t.Errorf("they say: %v", why)
	}
	for _, to := range []struct{ client, shared, container string }{{"192.0.2.2", web4, "10.0.0.2"}, {"2001:db8::2", web6, "fd00::2"}} {
		passed, port := dial(t, client, to.shared, 80+passedOn)
		_, routed := dial(t, client, to.container, 80)
		served, own := dial(t, client, to.shared, 80)
		rows := []struct {
			words          string
			address        string
			segment        segmentOf
			asked, unasked Verdict
		}{
			{"a reset of a connection that is passed on", to.shared, tcp(port, 80+passedOn, tcpRST), PassLingering, DropLingeringNoSocket},
			{"a SYN by its ports", to.shared, tcp(port, 80+passedOn, tcpSYN), DropLingeringNew, DropLingeringNew},
			{"UDP by its ports", to.shared, udp(port, 80+passedOn, 4), DropLingeringNew, DropLingeringNew},
			{"of no connection", to.shared, tcp(port, 81+passedOn, tcpRST), DropLingeringNoSocket, DropLingeringNoSocket},
			{"of one that is tracked, but not translated", to.container, tcp(routed, 80, tcpRST), DropLingeringNoSocket, DropLingeringNoSocket},
			{"of one that has a socket", to.shared, tcp(own, 80, tcpRST), PassLingering, PassLingering},
		}
		for _, r := range rows {
			t.Run(r.words+", to "+r.address, func(t *testing.T) {
				h.expectLingering(t, asks, packet(to.client, r.address, r.segment), r.asked)
				h.expectLingering(t, asksNot, packet(to.client, r.address, r.segment), r.unasked)
			})
		}
		h.expectForwarded(t, asks, addr(to.shared))
		if err := errors.Join(served.SetLinger(0), served.Close()); err != nil { // it may be in the same bucket
			t.Fatal(err)
		}
		netnstest.Until(t, "the bucket of a connection that the programs do not find is not live", func() bool {
			return !h.live(asksNot, addr(to.client), port, 80+passedOn)
		})
		if !h.live(asks, addr(to.client), port, 80+passedOn) {
			t.Errorf("%s: the bucket of a connection that is passed on is not live", to.shared)
		}
		t.Run("when it has been reset, at "+to.shared, func(t *testing.T) {
			if err := errors.Join(passed.SetLinger(0), passed.Close()); err != nil {
				t.Fatal(err)
			}
			netnstest.Until(t, "its bucket is not live", func() bool { return !h.live(asks, addr(to.client), port, 80+passedOn) })
			h.expectLingering(t, asks, packet(to.client, to.shared, tcp(port, 80+passedOn, tcpRST)), DropLingeringNoSocket)
			h.expectForwarded(t, asks, netip.Addr{})
		})
	}
}

// dial opens a connection from the space, and tells its port there.
func dial(t *testing.T, space *netnstest.Space, address string, port uint16) (conn *net.TCPConn, from uint16) {
	t.Helper()
	space.Do(func() error {
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(addr(address), port).String(), netnstest.Patience)
		if err == nil {
			conn = c.(*net.TCPConn)
			t.Cleanup(func() { _ = conn.Close() })
		}
		return err
	})
	return conn, conn.LocalAddr().(*net.TCPAddr).AddrPort().Port()
}

func packet(from, to string, s segmentOf) packetOf {
	if addr(to).Is6() {
		return ip6(from, to, s)
	}
	return ip4(from, to, s)
}

// expectLingering judges a packet in a lingering bucket, and as a contested one what must be the same there.
func (h *host) expectLingering(t *testing.T, d *Datapath, p packetOf, want Verdict) {
	t.Helper()
	inContested := map[Verdict]Verdict{PassLingering: PassContested, DropLingeringNoSocket: DropContestedNoSocket, DropLingeringNew: PassContestedNew}
	for state, want := range map[State]Verdict{ownership.Lingering: want, ownership.Contested: inContested[want]} {
		setAll(t, d, state)
		h.Do(func() error {
			expectVerdict(t, d, frame(p), want)
			return nil
		})
	}
}

func (h *host) expectForwarded(t *testing.T, d *Datapath, want netip.Addr) {
	t.Helper()
	h.Do(func() error {
		got, err := d.Forwarded()
		if got != want {
			t.Errorf("passes on what comes for %v, want %v", got, want)
		}
		return err
	})
}

// live tells whether a connection's bucket is.
func (h *host) live(d *Datapath, remote netip.Addr, port, local uint16) (live bool) {
	h.t.Helper()
	h.Do(func() error {
		found, err := d.Live()
		if err == nil {
			live = found.Buckets[0].Has(d.options().Pools[0].Hasher.Bucket(remote, port, local))
		}
		return err
	})
	return live
}

// TestConntrackRefused: what the kernel does not let the programs ask, they do without, and say why.
func TestConntrackRefused(t *testing.T) {
	k := describeKernel()
	k.conntrack.TCP = 0xfff0 // beyond the struct
	d, err := load(testOptions(), nil, k)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if why := d.WhyNoConntrack(); d.AsksConntrack() || !errors.Is(why, ErrNoConntrack) || !strings.Contains(why.Error(), "refuses") {
		t.Errorf("asks: %v, %v", d.AsksConntrack(), why)
	}
}

// TestParseForwarded: older kernels tell of every connection, and all but these are left out here.
func TestParseForwarded(t *testing.T) {
	const translated = ipsConfirmed | ipsSeenReply | ipsDstNAT
	for words, r := range map[string]struct {
		status uint32
		state  uint8
		zone   bool
		want   bool
	}{
		"established":                    {status: translated, state: nl.TCP_CONNTRACK_ESTABLISHED, want: true},
		"opening":                        {status: translated, state: nl.TCP_CONNTRACK_SYN_RECV, want: true},
		"its end acknowledged not yet":   {status: translated, state: nl.TCP_CONNTRACK_LAST_ACK, want: true},
		"not answered":                   {status: ipsConfirmed | ipsDstNAT, state: nl.TCP_CONNTRACK_SYN_SENT},
		"picked up on its way, as above": {status: ipsConfirmed | ipsDstNAT, state: nl.TCP_CONNTRACK_ESTABLISHED},
		"in TIME_WAIT":                   {status: translated, state: nl.TCP_CONNTRACK_TIME_WAIT},
		"reset":                          {status: translated, state: nl.TCP_CONNTRACK_CLOSE},
		"not translated":                 {status: ipsConfirmed | ipsSeenReply, state: nl.TCP_CONNTRACK_ESTABLISHED},
		"about to be removed":            {status: translated | ipsDying, state: nl.TCP_CONNTRACK_ESTABLISHED},
		"in a zone":                      {status: translated, state: nl.TCP_CONNTRACK_ESTABLISHED, zone: true},
	} {
		for _, to := range []string{web4, web6} {
			msg := conntrackMessage(client4, to, r.status, r.state, r.zone)
			if addr(to).Is6() {
				msg = conntrackMessage(client6, to, r.status, r.state, r.zone)
			}
			c, ok := parseForwarded(msg)
			if ok != r.want || ok && (c.local != netip.AddrPortFrom(addr(to), 8080) || c.remote.Port() != 1234) {
				t.Errorf("%s, to %s: %v, %v", words, to, c, ok)
			}
			for n := range msg {
				parseForwarded(msg[:n]) // does not crash
			}
		}
	}
}

// conntrackMessage is what the kernel tells of a connection.
func conntrackMessage(from, to string, status uint32, state uint8, zone bool) []byte {
	source, destination := nl.CTA_IP_V4_SRC, nl.CTA_IP_V4_DST
	if addr(to).Is6() {
		source, destination = nl.CTA_IP_V6_SRC, nl.CTA_IP_V6_DST
	}
	nest := func(kind int, children ...*nl.RtAttr) *nl.RtAttr {
		a := nl.NewRtAttr(kind|unix.NLA_F_NESTED, nil)
		for _, c := range children {
			a.AddChild(c)
		}
		return a
	}
	attributes := []*nl.RtAttr{
		nest(nl.CTA_TUPLE_ORIG,
			nest(nl.CTA_TUPLE_IP, nl.NewRtAttr(source, addr16(from)), nl.NewRtAttr(destination, addr16(to))),
			nest(nl.CTA_TUPLE_PROTO, nl.NewRtAttr(nl.CTA_PROTO_NUM, []byte{protocolTCP}),
				nl.NewRtAttr(nl.CTA_PROTO_SRC_PORT, be16(1234)), nl.NewRtAttr(nl.CTA_PROTO_DST_PORT, be16(8080)))),
		nl.NewRtAttr(nl.CTA_STATUS, binary.BigEndian.AppendUint32(nil, status)),
		nest(nl.CTA_PROTOINFO, nest(nl.CTA_PROTOINFO_TCP, nl.NewRtAttr(nl.CTA_PROTOINFO_TCP_STATE, []byte{state}))),
	}
	if zone {
		attributes = append(attributes, nl.NewRtAttr(nl.CTA_ZONE, be16(7)))
	}
	msg := make([]byte, nl.SizeofNfgenmsg)
	for _, a := range attributes {
		msg = append(msg, a.Serialize()...)
	}
	return msg
}
