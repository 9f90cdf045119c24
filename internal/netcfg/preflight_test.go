package netcfg

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

func preflight(s *netnstest.Space, l Link, shared ...netip.Addr) (warnings []string, err error) {
	err = s.Try(func() error {
		var err error
		warnings, err = Preflight(l, shared)
		return err
	})
	return warnings, err
}

func TestPreflightSaysWhatStandsInTheWay(t *testing.T) {
	for _, row := range []struct {
		words   string
		prepare func(t *testing.T, node *netnstest.Space)
		name    string
		forbids string // in the error
		warns   string // in a warning
	}{
		{"all is well", nil, "node0", "", ""},
		{"loopback", nil, "lo", "is not Ethernet", ""},
		{"no ARP", func(_ *testing.T, n *netnstest.Space) {
			n.Do(func() error {
				l, err := netlink.LinkByName("node0")
				if err != nil {
					return err
				}
				return netlink.LinkSetARPOff(l)
			})
		}, "node0", "ip link set node0 arp on", ""},
		{"a port of a bridge", func(_ *testing.T, n *netnstest.Space) {
			n.Do(func() error {
				br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
				if err := netlink.LinkAdd(br); err != nil {
					return err
				}
				l, err := netlink.LinkByName("node0")
				if err != nil {
					return err
				}
				return netlink.LinkSetMaster(l, br)
			})
		}, "node0", "is a port of bridge br0; give br0", ""},
		{"down", func(_ *testing.T, n *netnstest.Space) { n.Down("node0") }, "node0", "", "ip link set node0 up"},
		{"no own IPv4 address", func(_ *testing.T, n *netnstest.Space) { n.DeleteAddress("node0", "192.0.2.1/24") }, "node0", "", "no IPv4 address of its own"},
		{"ARP is not answered", func(_ *testing.T, n *netnstest.Space) { n.Sysctl("net/ipv4/conf/all/arp_ignore", "8") }, "node0", "", "arp_ignore is 8"},
	} {
		t.Run(row.words, func(t *testing.T) {
			node, _ := segment(t)
			if row.prepare != nil {
				row.prepare(t, node)
			}
			warnings, err := preflight(node, link(t, node, row.name), shared4, shared6)
			if row.forbids == "" && err != nil || row.forbids != "" && (err == nil || !strings.Contains(err.Error(), row.forbids)) {
				t.Errorf("error: %v, want %q", err, row.forbids)
			}
			text := strings.Join(warnings, "\n")
			if row.warns == "" && text != "" || !strings.Contains(text, row.warns) {
				t.Errorf("warnings: %q, want %q", text, row.warns)
			}
		})
	}
}
