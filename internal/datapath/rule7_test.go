package datapath

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/rota-cluster/rota/internal/netcfg"
	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

// The whole life of a node, with all that makes Linux speak of an address. On
// the wire only the cluster's MAC may be bound to a shared address, and no frame
// may come from it.
func TestOnlyTheClustersMACIsEverBoundToASharedAddress(t *testing.T) {
	for i, way := range ways {
		for name, r := range map[string]netcfg.Reception{"multicast": multicastReception, "unicast": unicastReception, "igmp": igmpReception} {
			t.Run(wayName(i)+", "+name, func(t *testing.T) {
				h, client := segment(t)
				h.reception = r
				// The kernel announces addresses by itself when an interface comes up.
				h.Sysctl("net/ipv4/conf/node0/arp_notify", "1")
				h.Sysctl("net/ipv6/conf/node0/ndisc_notify", "1")
				h.Sysctl("net/ipv6/conf/node0/keep_addr_on_down", "1")
				wire := client.Capture("client0")
				h.attach(way.wish, way.clsact)
				h.share()
				h.own()
				h.echo()
				for _, a := range []netip.Addr{shared4, shared6} {
					talk(t, h, client, a)
				}
				h.Down("node0")
				h.Up("node0")
				h.share()
				for _, a := range []netip.Addr{shared4, shared6} {
					talk(t, h, client, a)
				}
				h.attach(way.wish, way.clsact) // as a restart does
				h.own()
				talk(t, h, client, shared4)
				h.leave()
				h.Do(func() error { // the last frame
					l, err := netcfg.LinkByName("node0")
					if err != nil {
						return err
					}
					return netcfg.Announce(l, netip.MustParseAddr("192.0.2.111"), l.MAC)
				})
				wire.Await("the last frame", func(f netnstest.Frame) bool {
					b := f.Bindings()
					return len(b) > 0 && b[0].Address.String() == "192.0.2.111"
				})
				judge7(t, wire.Frames(), r.MAC)
			})
		}
	}
}

// talk makes both sides resolve each other anew in the middle of a connection:
// the node then sends requests from the shared address.
func talk(t *testing.T, h *host, client *netnstest.Space, a netip.Addr) {
	t.Helper()
	client.ForgetNeighbours("client0")
	conn, err := connect(client, a, netnstest.Patience)
	if err != nil {
		t.Fatalf("connect to %s: %v", a, err)
	}
	defer conn.Close()
	h.ForgetNeighbours("node0")
	if err := exchange(conn); err != nil {
		t.Fatalf("exchange with %s: %v", a, err)
	}
}

func judge7(t *testing.T, frames []netnstest.Frame, mac net.HardwareAddr) {
	t.Helper()
	if leaks := wrong(frames, mac); len(leaks) > 0 {
		t.Errorf("bound to another MAC: %v", leaks)
	}
	kinds := make(map[string]int)
	for _, f := range frames {
		if bytes.Equal(f.Bytes[6:12], mac) {
			t.Errorf("a frame comes from the cluster's MAC: %x", f.Bytes)
		}
		for _, b := range f.Bindings() {
			if !f.Outgoing && (b.Address == shared4 || b.Address == shared6) {
				kinds[b.What]++
			}
		}
	}
	for _, kind := range []string{"arp request", "arp reply", "ns", "na"} {
		if kinds[kind] == 0 {
			t.Errorf("no %s about a shared address among %v: the test proves less than it says", kind, kinds)
		}
	}
}
