package netcfg

import (
	"bytes"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

func TestAnnouncementMovesNeighboursToTheClustersMAC(t *testing.T) {
	for _, row := range []struct {
		words   string
		address netip.Addr
		mac     net.HardwareAddr
		alone   bool // no link-local address
		want    []string
	}{
		{"IPv4, multicast MAC", shared4, multicastMAC, false, []string{"arp request", "arp reply"}},
		{"IPv4, unicast MAC", shared4, unicastMAC, false, []string{"arp request", "arp reply"}},
		{"IPv6, multicast MAC", shared6, multicastMAC, false, []string{"na"}},
		{"IPv6, unicast MAC", shared6, unicastMAC, false, []string{"na"}},
		{"IPv6, without a link-local address", shared6, multicastMAC, true, []string{"na"}},
	} {
		t.Run(row.words, func(t *testing.T) {
			node, neighbour := segment(t)
			if row.alone {
				node.DeleteAddress("node0", firstLinkLocal(t, node).String()+"/64")
			}
			wrong := net.HardwareAddr{0x02, 9, 9, 9, 9, 9}
			stale(t, neighbour, row.address, wrong)
			wire := neighbour.Capture("peer0")
			l := link(t, node, "node0")
			node.Do(func() error { return Announce(l, row.address, row.mac) })

			netnstest.Until(t, "the neighbour has the cluster's MAC", func() bool {
				return bytes.Equal(macOf(t, neighbour, row.address), row.mac)
			})
			for _, want := range row.want {
				wire.Await(want, func(f netnstest.Frame) bool {
					return slices.ContainsFunc(f.Bindings(), func(b netnstest.Binding) bool { return b.What == want && b.Address == row.address })
				})
			}
			for _, f := range wire.Frames() {
				for _, b := range f.Bindings() {
					if b.Address != row.address {
						continue
					}
					if !bytes.Equal(b.MAC, row.mac) {
						t.Errorf("%v", b)
					}
					if source := net.HardwareAddr(f.Bytes[6:12]); !bytes.Equal(source, l.MAC) {
						t.Errorf("the frame's source is %s, not the node's %s", source, l.MAC)
					}
				}
			}
		})
	}
}

func firstLinkLocal(t *testing.T, s *netnstest.Space) netip.Addr {
	t.Helper()
	var a netip.Addr
	netnstest.Until(t, "there is a link-local address", func() (ok bool) {
		a, ok = link(t, s, "node0").LinkLocal()
		return ok
	})
	return a
}

// stale gives the neighbour an old, unconfirmed opinion.
func stale(t *testing.T, s *netnstest.Space, a netip.Addr, mac net.HardwareAddr) {
	t.Helper()
	index := link(t, s, "peer0").Index
	s.Do(func() error {
		return netlink.NeighSet(&netlink.Neigh{LinkIndex: index, IP: a.AsSlice(), HardwareAddr: mac, State: netlink.NUD_STALE})
	})
}

func macOf(t *testing.T, s *netnstest.Space, a netip.Addr) (mac net.HardwareAddr) {
	t.Helper()
	index := link(t, s, "peer0").Index
	s.Do(func() error {
		all, err := netlink.NeighList(index, netlink.FAMILY_ALL)
		for _, n := range all {
			if n.IP.Equal(a.AsSlice()) {
				mac = n.HardwareAddr
			}
		}
		return err
	})
	return mac
}

// The frames byte by byte, from the RFCs; the checksum was worked out by hand.
func TestAnnouncementFrames(t *testing.T) {
	source := net.HardwareAddr{0x02, 0, 0, 0, 0, 0xaa}
	wantARP := append([]byte{
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0, 0, 0xaa, 0x08, 0x06,
		0, 1, 8, 0, 6, 4, 0, 2,
		0x03, 1, 2, 3, 4, 5, 192, 0, 2, 10,
	}, 0x03, 1, 2, 3, 4, 5, 192, 0, 2, 10)
	if got := gratuitousARP(arpReply, source, multicastMAC, shared4); !bytes.Equal(got, wantARP) {
		t.Errorf("ARP reply\n%x, want\n%x", got, wantARP)
	}
	na := unsolicitedNA(source, multicastMAC, netip.MustParseAddr("fe80::1"), shared6)
	if got := na[14+40:]; got[0] != 136 || got[4] != 0x20 || len(got) != 32 {
		t.Errorf("NA %x", got)
	}
	if sum := icmp6Checksum(netip.MustParseAddr("fe80::1"), allNodes, na[14+40:]); sum != 0 {
		t.Errorf("the checksum over a message with its checksum is %#x, want 0", sum)
	}
}
