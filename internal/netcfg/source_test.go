package netcfg

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

// TestTheSourceIsShared is told when it is so, as the kernel itself says.
func TestTheSourceIsShared(t *testing.T) {
	const own = "2001:db8::1/64"
	for _, row := range []struct {
		words   string
		prepare func(t *testing.T, node *netnstest.Space)
		told    bool
	}{
		{"an own address", func(*testing.T, *netnstest.Space) {}, false},
		{"none but link-local", func(_ *testing.T, n *netnstest.Space) { n.DeleteAddress("node0", own) }, true},
		{"one of the site", func(_ *testing.T, n *netnstest.Space) {
			n.DeleteAddress("node0", own)
			n.AddAddress("node0", "fd00::1/64")
		}, false},
		{"one on another interface", func(_ *testing.T, n *netnstest.Space) {
			n.DeleteAddress("node0", own)
			n.Up("lo")
			n.AddAddress("lo", "2001:db8:1::1/128")
		}, false},
		{"a deprecated one, which only may be preferred", func(t *testing.T, n *netnstest.Space) {
			n.DeleteAddress("node0", own)
			n.Do(func() error {
				l, err := netlink.LinkByName("node0")
				if err != nil {
					return err
				}
				a, err := netlink.ParseAddr("2001:db8:1::1/128")
				if err != nil {
					return err
				}
				a.ValidLft, a.PreferedLft = 3600, 0
				return netlink.AddrAdd(l, a)
			})
		}, true},
	} {
		t.Run(row.words, func(t *testing.T) {
			node, _ := segment(t)
			router := netip.MustParseAddr("fe80::1")
			node.Route("node0", "2001:db8::/48", router) // as announced by a router
			row.prepare(t, node)
			addShared(t, node, "node0", shared4, shared6)
			var text, source string
			node.Do(func() error {
				var err error
				if text, err = SharedSource(link(t, node, "node0"), []netip.Addr{shared4, shared6}); err != nil {
					return err
				}
				routes, err := netlink.RouteGet(netip.MustParseAddr("2001:db8::2").AsSlice())
				if err == nil {
					source = routes[0].Src.String()
				}
				return err
			})
			if (source == shared6.String()) != row.told {
				t.Errorf("the kernel sends from %s", source)
			}
			if (text != "") != row.told || row.told && !(strings.Contains(text, shared6.String()) && strings.Contains(text, "ip addr add ADDRESS/64 dev node0")) {
				t.Errorf("told: %q, want any: %v", text, row.told)
			}
		})
	}
}
