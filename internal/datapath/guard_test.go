package datapath

import (
	"bytes"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/netcfg"
	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

// secondSegment joins the node by another interface to another neighbour.
func secondSegment(t *testing.T, h *host, name string) *netnstest.Space {
	t.Helper()
	other := netnstest.New(t)
	netnstest.Veth(h.Space, name, other, "other0")
	other.AddAddress("other0", "192.0.2.99/24")
	other.AddAddress("other0", "2001:db8::99/64")
	return other
}

// provoke makes the node speak of the shared addresses on the interface: the
// neighbour asks for them, and a process of the node announces them with the
// interface's own MAC. The last frame shows that all before it are through.
func provoke(t *testing.T, h *host, name string, other *netnstest.Space, wire *netnstest.Capture) {
	t.Helper()
	for _, a := range []netip.Addr{shared4, shared6} {
		conn, err := connect(other, a, 20*time.Millisecond)
		if err == nil {
			_ = conn.Close()
		}
	}
	h.Do(func() error {
		l, err := netcfg.LinkByName(name)
		if err != nil {
			return err
		}
		for _, a := range []netip.Addr{shared4, shared6, netip.MustParseAddr("192.0.2.111")} {
			// What the guard drops is lost, as it could be on the wire.
			if err := netcfg.Announce(l, a, l.MAC); err != nil {
				return err
			}
		}
		return nil
	})
	wire.Await("the announcement of an address that is nobody's concern", func(f netnstest.Frame) bool {
		return slices.ContainsFunc(f.Bindings(), func(b netnstest.Binding) bool { return b.Address.String() == "192.0.2.111" })
	})
}

// wrong lists the frames that bind a shared address to another MAC than the given one.
func wrong(frames []netnstest.Frame, mac net.HardwareAddr) (bindings []netnstest.Binding) {
	for _, f := range frames {
		for _, b := range f.Bindings() {
			if (b.Address == shared4 || b.Address == shared6) && !bytes.Equal(b.MAC, mac) {
				bindings = append(bindings, b)
			}
		}
	}
	return bindings
}

func TestGuardKeepsOtherInterfacesSilent(t *testing.T) {
	for _, clsact := range []bool{false, true} {
		h, _ := segment(t)
		present := secondSegment(t, h, "second0")
		wire := present.Capture("other0")

		// Without a guard Linux does answer, on an interface that has not even an address.
		h.share()
		provoke(t, h, "second0", present, wire)
		kinds := make(map[string]bool)
		for _, b := range wrong(wire.Frames(), nil) {
			kinds[b.What] = true
		}
		if !kinds["arp reply"] || !kinds["na"] {
			t.Fatalf("unguarded there were only %v: the test proves nothing", kinds)
		}

		present.ForgetNeighbours("other0")
		h.attach(config.DatapathTC, clsact)
		stop := h.mending()
		seen := len(wire.Frames())
		provoke(t, h, "second0", present, wire)
		if leaks := wrong(wire.Frames()[seen:], nil); len(leaks) > 0 {
			t.Errorf("clsact %v: on an interface that was there: %v", clsact, leaks)
		}

		later := secondSegment(t, h, "third0")
		netnstest.Until(t, "the new interface has its guard", func() bool {
			return slices.ContainsFunc(h.standing(), func(s string) bool { return len(s) > 6 && s[:6] == "third0" })
		})
		wire = later.Capture("other0")
		provoke(t, h, "third0", later, wire)
		if leaks := wrong(wire.Frames(), nil); len(leaks) > 0 {
			t.Errorf("clsact %v: on an interface that came later: %v", clsact, leaks)
		}
		stop()
		h.leave()
		if left := h.standing(); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}

func TestGuardOfOneServiceStaysWhenAnotherLeaves(t *testing.T) {
	h, _ := segment(t)
	secondSegment(t, h, "second0")
	secondSegment(t, h, "third0")
	another := &host{Space: h.Space, t: t, reception: unicastReception}
	h.Do(func() (err error) {
		another.link, err = netcfg.LinkByName("second0")
		return err
	})
	h.attach(config.DatapathTC, false)
	before := h.standing()
	another.attach(config.DatapathTC, false)
	h.attach(config.DatapathTC, false) // and the first starts anew
	another.Do(func() error { return Remove(another.link) })
	if after := h.standing(); !slices.Equal(before, after) {
		t.Errorf("before the other came: %q\nafter it left: %q", before, after)
	}
	h.Do(func() error { return Remove(h.link) })
	if left := h.standing(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestGuardsOfAnInterfaceThatIsGoneAreRemovedByTheNext(t *testing.T) {
	h, _ := segment(t)
	other := secondSegment(t, h, "second0")
	h.attach(config.DatapathTC, false)
	h.Delete("node0")
	if got := h.standing(); !slices.Equal(got, []string{"second0 tc egress rota_guard tcx"}) {
		t.Fatalf("there stand %q", got)
	}
	netnstest.Veth(h.Space, "node0", other, "client0")
	h.Do(func() (err error) {
		h.link, err = netcfg.LinkByName("node0")
		return err
	})
	h.attach(config.DatapathTC, false)
	h.Do(func() error { return Remove(h.link) })
	if got := h.standing(); len(got) > 0 {
		t.Errorf("left behind: %q", got)
	}
}

func TestServiceOnABridgeOrMacvlanIsAnnouncedThroughWhatIsBelow(t *testing.T) {
	for _, row := range []struct {
		words string
		build func(below netlink.Link) error
	}{
		{"bridge", func(below netlink.Link) error {
			br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "upper0"}}
			if err := netlink.LinkAdd(br); err != nil {
				return err
			}
			return netlink.LinkSetMaster(below, br)
		}},
		{"macvlan", func(below netlink.Link) error {
			return netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: netlink.LinkAttrs{Name: "upper0", ParentIndex: below.Attrs().Index}, Mode: netlink.MACVLAN_MODE_BRIDGE})
		}},
	} {
		t.Run(row.words, func(t *testing.T) {
			h, client := segment(t)
			h.Do(func() error {
				below, err := netlink.LinkByName("node0")
				if err != nil {
					return err
				}
				return row.build(below)
			})
			h.Up("upper0")
			h.DeleteAddress("node0", "192.0.2.1/24")
			h.DeleteAddress("node0", "2001:db8::1/64")
			h.AddAddress("upper0", "192.0.2.1/24")
			h.AddAddress("upper0", "2001:db8::1/64")
			netnstest.Until(t, "the upper interface runs", func() (running bool) {
				h.Do(func() (err error) {
					h.link, err = netcfg.LinkByName("upper0")
					return err
				})
				return h.link.Running
			})
			wire := client.Capture("client0")
			h.attach(config.DatapathAuto, false)
			h.share()
			h.own()
			h.echo()
			for _, a := range []netip.Addr{shared4, shared6} {
				conn, err := connect(client, a, netnstest.Patience)
				if err != nil {
					t.Errorf("connect to %s: %v", a, err)
					continue
				}
				if err := exchange(conn); err != nil {
					t.Errorf("exchange with %s: %v", a, err)
				}
				_ = conn.Close()
			}
			if leaks := wrong(wire.Frames(), h.reception.MAC); len(leaks) > 0 {
				t.Errorf("bound to another MAC: %v", leaks)
			}
			h.leave()
		})
	}
}
