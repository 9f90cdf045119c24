package netcfg

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

// TestTheWayToTheSegment is there as long as the node's own address and route are.
func TestTheWayToTheSegment(t *testing.T) {
	node, _ := segment(t)
	addShared(t, node, "node0", netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10"))
	way := func(to string) (index int) {
		node.Do(func() (err error) {
			index, err = WayTo(netip.MustParseAddr(to))
			return err
		})
		return index
	}
	for _, family := range []struct{ shared, neighbour, own, network string }{
		{"192.0.2.10", "192.0.2.2", "192.0.2.1/24", "192.0.2.0/24"},
		{"2001:db8::10", "2001:db8::2", "2001:db8::1/64", "2001:db8::/64"},
	} {
		l := link(t, node, "node0")
		if got := l.Neighbour(netip.MustParseAddr(family.shared)).String(); got != family.neighbour {
			t.Errorf("beside %s is %s, want %s", family.shared, got, family.neighbour)
		}
		if got := way(family.neighbour); got != l.Index {
			t.Errorf("the way to %s is by interface %d", family.neighbour, got)
		}
		node.Do(func() error {
			dst, err := netlink.ParseIPNet(family.network)
			if err != nil {
				return err
			}
			return netlink.RouteDel(&netlink.Route{LinkIndex: l.Index, Dst: dst, Scope: netlink.SCOPE_LINK})
		})
		if got := way(family.neighbour); got != 0 {
			t.Errorf("without the route the way to %s is by interface %d", family.neighbour, got)
		}
		node.DeleteAddress("node0", family.own)
		if got := link(t, node, "node0").Neighbour(netip.MustParseAddr(family.shared)); got.IsValid() {
			t.Errorf("without an own address there is %s beside %s", got, family.shared)
		}
		node.AddAddress("node0", family.own)
		netnstest.Until(t, "there is a way with a new address", func() bool { return way(family.neighbour) == l.Index })
	}
}

func TestNeighbour(t *testing.T) {
	l := Link{
		Own: []netip.Prefix{
			netip.MustParsePrefix("169.254.1.1/16"), netip.MustParsePrefix("203.0.113.1/32"), netip.MustParsePrefix("198.51.100.1/30"),
			netip.MustParsePrefix("192.0.2.0/31"), netip.MustParsePrefix("fe80::1/64"),
		},
		Shared: []netip.Addr{netip.MustParseAddr("198.51.100.2")},
	}
	for shared, want := range map[string]string{
		"198.51.100.2": "198.51.100.3", // neither its own nor a shared one
		"192.0.2.1":    "192.0.2.1",    // nobody else can be there: better than nothing
		"203.0.113.1":  "198.51.100.3", // of another network of the family
		"2001:db8::10": "invalid IP",   // link-local is no network for it
		"fe80::10":     "fe80::2",
	} {
		if got := l.Neighbour(netip.MustParseAddr(shared)); got.String() != want {
			t.Errorf("beside %s: %s, want %s", shared, got, want)
		}
	}
}
