package netcfg

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

func TestOutgoingTrafficNeverPicksTheSharedAddress(t *testing.T) {
	const gone = "192.0.2.1/24"
	for _, row := range []struct {
		words   string
		prepare func(node *netnstest.Space)
		to      string
		want    string // the source; empty: any but the shared ones, or no way at all
	}{
		{"a neighbour, IPv4", nil, "192.0.2.2", "192.0.2.1"},
		{"a neighbour, IPv6", nil, "2001:db8::2", "2001:db8::1"},
		{"through a gateway, IPv4", func(n *netnstest.Space) { n.Route("node0", "198.51.100.0/24", netip.MustParseAddr("192.0.2.2")) }, "198.51.100.1", "192.0.2.1"},
		{"through a gateway, IPv6", func(n *netnstest.Space) { n.Route("node0", "2001:db8:1::/64", netip.MustParseAddr("2001:db8::2")) }, "2001:db8:1::1", "2001:db8::1"},
		{"a route without a gateway, IPv4", func(n *netnstest.Space) { n.Route("node0", "198.51.100.0/24", netip.Addr{}) }, "198.51.100.1", "192.0.2.1"},
		{"a route without a gateway, IPv6", func(n *netnstest.Space) { n.Route("node0", "2001:db8:1::/64", netip.Addr{}) }, "2001:db8:1::1", "2001:db8::1"},
		{"multicast, IPv4", func(n *netnstest.Space) { n.Route("node0", "224.0.0.0/4", netip.Addr{}) }, "224.0.0.251", "192.0.2.1"},
		{"the own address was removed and given again, so that it is younger than the shared", func(n *netnstest.Space) {
			n.DeleteAddress("node0", gone)
			n.AddAddress("node0", gone)
			n.Route("node0", "198.51.100.0/24", netip.Addr{})
		}, "198.51.100.1", "192.0.2.1"},
		{"no own IPv4 address is left", func(n *netnstest.Space) {
			n.DeleteAddress("node0", gone)
			n.Route("node0", "198.51.100.0/24", netip.Addr{})
		}, "198.51.100.1", ""},
		{"no own IPv4 address is left, multicast", func(n *netnstest.Space) {
			n.DeleteAddress("node0", gone)
			n.Route("node0", "224.0.0.0/4", netip.Addr{})
		}, "224.0.0.251", ""},
		{"the own IPv6 address is unique local, the destination global", func(n *netnstest.Space) {
			n.DeleteAddress("node0", "2001:db8::1/64")
			n.AddAddress("node0", "fd00::1/64")
			n.Route("node0", "2001:db8:1::/64", netip.Addr{})
		}, "2001:db8:1::1", "fd00::1"},
	} {
		t.Run(row.words, func(t *testing.T) {
			node, _ := segment(t)
			l := link(t, node, "node0")
			addShared(t, node, "node0", shared4, shared6)
			node.Do(func() error { return Receive(l, Reception{MAC: igmpMAC, Group: igmpGroup}) })
			if row.prepare != nil {
				row.prepare(node)
			}
			source := sourceTowards(node, row.to)
			if row.want != "" && source.String() != row.want {
				t.Errorf("the source is %s, want %s", source, row.want)
			}
			if source == shared4 || source == shared6 || source.IsMulticast() {
				t.Errorf("the source is %s", source)
			}
		})
	}
}

// sourceTowards is the source that the kernel picks; the zero Addr where it finds no way.
func sourceTowards(s *netnstest.Space, to string) (source netip.Addr) {
	_ = s.Try(func() error {
		conn, err := net.Dial("udp", net.JoinHostPort(to, "9"))
		if err != nil {
			return err
		}
		defer conn.Close()
		source = conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		return nil
	})
	return source
}

func TestSharedIPv6AddressIsUsableAtOnceThoughANeighbourHasIt(t *testing.T) {
	node, neighbour := segment(t)
	for _, s := range []*netnstest.Space{node, neighbour} {
		s.Sysctl("net/ipv6/conf/all/accept_dad", "1")
		s.Sysctl("net/ipv6/conf/default/dad_transmits", "1")
	}
	node.Sysctl("net/ipv6/conf/node0/dad_transmits", "1")
	neighbour.Sysctl("net/ipv6/conf/peer0/dad_transmits", "1")
	wire := neighbour.Capture("peer0")
	addShared(t, node, "node0", shared6)
	addShared(t, neighbour, "peer0", shared6)

	for name, s := range map[string]*netnstest.Space{"node0": node, "peer0": neighbour} {
		if flags := flagsOf(t, s, name, shared6); flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 {
			t.Errorf("%s: flags %#x: tentative or duplicate", name, flags)
		}
	}

	// The proof that detection would have told: an ordinary address is given up.
	node.Do(func() error { return plainAddress("node0", "2001:db8::99/64") })
	netnstest.Until(t, "the ordinary address of the node is in use", func() bool {
		return flagsOf(t, node, "node0", netip.MustParseAddr("2001:db8::99"))&unix.IFA_F_TENTATIVE == 0
	})
	neighbour.Do(func() error { return plainAddress("peer0", "2001:db8::99/64") })
	netnstest.Until(t, "the neighbour's copy of the ordinary address is found to be a duplicate", func() bool {
		return flagsOf(t, neighbour, "peer0", netip.MustParseAddr("2001:db8::99"))&unix.IFA_F_DADFAILED != 0
	})
	for _, f := range wire.Frames() {
		if isProbeFor(f.Bytes, shared6) {
			t.Errorf("duplicate address detection for %s was on the wire", shared6)
		}
	}
}

// isProbeFor: a neighbour solicitation from the unspecified address (RFC 4862 5.4.2).
func isProbeFor(b []byte, a netip.Addr) bool {
	const ip, icmp = 14, 54
	return len(b) >= icmp+24 && b[12] == 0x86 && b[13] == 0xdd && b[icmp] == 135 &&
		netip.AddrFrom16([16]byte(b[ip+8:])).IsUnspecified() && netip.AddrFrom16([16]byte(b[icmp+8:])) == a
}

func plainAddress(name, prefix string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(prefix)
	if err != nil {
		return err
	}
	return netlink.AddrAdd(l, a)
}

func flagsOf(t *testing.T, s *netnstest.Space, name string, a netip.Addr) uint32 {
	t.Helper()
	index := link(t, s, name).Index
	var flags uint32
	s.Do(func() error {
		all, err := addresses()
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(x address) bool { return x.index == index && x.prefix.Addr() == a })
		if i < 0 {
			return errors.New("the address is gone")
		}
		flags = all[i].flags
		return nil
	})
	return flags
}

func TestSharedAddressesComeAndGoAndAreFoundAgain(t *testing.T) {
	node, _ := segment(t)
	for range 2 { // the second time finds them present
		addShared(t, node, "node0", shared4, shared6)
	}
	l := link(t, node, "node0")
	if want := []netip.Addr{shared4, shared6}; !slices.Equal(l.Shared, want) {
		t.Errorf("shared addresses found: %v, want %v", l.Shared, want)
	}
	for _, p := range l.Own {
		if p.Addr() == shared4 || p.Addr() == shared6 {
			t.Errorf("%s counts as the node's own", p)
		}
	}
	if len(l.Own) != 3 { // with the link-local one
		t.Errorf("own addresses: %v, want three", l.Own)
	}
	for range 2 {
		for _, a := range []netip.Addr{shared4, shared6} {
			node.Do(func() error { return RemoveAddress(l, a) })
		}
	}
	if left := link(t, node, "node0"); len(left.Shared) != 0 || len(left.Own) != 3 {
		t.Errorf("after removal: shared %v, own %v", left.Shared, left.Own)
	}
}

func TestAddressOfSomebodyElseIsRefusedAndLeftAlone(t *testing.T) {
	for _, row := range []struct{ words, name, prefix string }{
		{"on the interface, IPv4", "node0", "192.0.2.10/24"},
		{"on the interface, alone in its network", "node0", "192.0.2.10/32"},
		{"on the interface, IPv6", "node0", "2001:db8::10/64"},
		{"on loopback, as LVS wants it", "lo", "192.0.2.10/32"},
	} {
		t.Run(row.words, func(t *testing.T) {
			node, _ := segment(t)
			node.AddAddress(row.name, row.prefix)
			l, a := link(t, node, "node0"), netip.MustParsePrefix(row.prefix).Addr()
			err := node.Try(func() error { return AddAddress(l, a) })
			if !errors.Is(err, ErrForeignAddress) || !strings.Contains(err.Error(), "ip addr del "+row.prefix+" dev "+row.name) {
				t.Errorf("AddAddress says: %v", err)
			}
			if _, err := preflight(node, l, a); !errors.Is(err, ErrForeignAddress) {
				t.Errorf("Preflight says: %v", err)
			}
			_ = node.Try(func() error { return RemoveAddress(l, a) })
			own := link(t, node, row.name).Own
			if !slices.Contains(own, netip.MustParsePrefix(row.prefix)) {
				t.Errorf("the address of somebody else is gone; left: %v", own)
			}
		})
	}
}

func TestAddressNeedsIPv6SwitchedOn(t *testing.T) {
	node, _ := segment(t)
	node.Sysctl("net/ipv6/conf/node0/disable_ipv6", "1")
	l := link(t, node, "node0")
	err := node.Try(func() error { return AddAddress(l, shared6) })
	if err == nil || !strings.Contains(err.Error(), "net.ipv6.conf.node0.disable_ipv6") {
		t.Errorf("AddAddress says: %v", err)
	}
}

func TestLabelFitsTheKernelsLimit(t *testing.T) {
	for name, want := range map[string]string{
		"eth0": "eth0:rota", "abcdefghij": "abcdefghij:rota", "abcdefghijk": "abcdefghijk:r",
		"abcdefghijklm": "abcdefghijklm:r", "abcdefghijklmn": "",
	} {
		if got := label(name); got != want {
			t.Errorf("label of %s: %q, want %q", name, got, want)
		}
	}
}
