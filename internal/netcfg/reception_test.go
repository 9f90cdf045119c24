package netcfg

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

var receptions = []struct {
	words string
	r     Reception
}{
	{"multicast", Reception{MAC: multicastMAC}},
	{"unicast", Reception{MAC: unicastMAC}},
	{"igmp", Reception{MAC: igmpMAC, Group: igmpGroup}},
}

func TestReceptionIsSetFoundAndUndone(t *testing.T) {
	for _, row := range receptions {
		t.Run(row.words, func(t *testing.T) {
			node, _ := segment(t)
			l := link(t, node, "node0")
			before := listed(t, node, l)
			for range 2 {
				node.Do(func() error { return Receive(l, row.r) })
				if !receives(t, node, l, row.r.MAC) {
					t.Fatalf("%s is not received", row.r.MAC)
				}
			}
			if shared := link(t, node, "node0").Shared; len(shared) != 0 {
				t.Errorf("a group counts as a shared address: %v", shared)
			}
			for range 2 {
				node.Do(func() error { return StopReceiving(l, row.r.MAC) })
				if receives(t, node, l, row.r.MAC) {
					t.Fatalf("%s is received still", row.r.MAC)
				}
			}
			if after := listed(t, node, l); before != after {
				t.Errorf("left behind: before\n%s\nafter\n%s", before, after)
			}
		})
	}
}

func TestABridgeReceivesToo(t *testing.T) {
	node, _ := segment(t)
	node.Do(func() error { return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "bridge0"}}) })
	node.Up("bridge0")
	l := link(t, node, "bridge0")
	for _, row := range receptions {
		if receives(t, node, l, row.r.MAC) {
			t.Errorf("%s: receives %s before", row.words, row.r.MAC)
		}
		node.Do(func() error { return Receive(l, row.r) })
		if !receives(t, node, l, row.r.MAC) {
			t.Errorf("%s: does not receive %s", row.words, row.r.MAC)
		}
	}
}

func receives(t *testing.T, s *netnstest.Space, l Link, mac net.HardwareAddr) (yes bool) {
	t.Helper()
	s.Do(func() (err error) {
		all := NewReceptions()
		yes, err = all.Has(l, mac)
		return errors.Join(err, all.Close())
	})
	return yes
}

// Without the table of groups, groups are not known to be received; what needs no table is, and so are groups
// once it is there.
func TestReceptionsWithoutTheTable(t *testing.T) {
	lo := Link{Index: 1, Name: "lo"}
	all := NewReceptions()
	all.table = filepath.Join(t.TempDir(), "dev_mcast")
	unicast, group := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{3, 0, 0, 0, 0, 1}
	if has, err := all.Has(lo, unicast); has || err != nil {
		t.Errorf("unicast: %v, %v", has, err)
	}
	if has, err := all.Has(lo, group); has || err == nil || !strings.Contains(err.Error(), "the MACs that lo receives: open "+all.table) {
		t.Errorf("multicast: %v, %v", has, err)
	}
	if err := os.WriteFile(all.table, []byte("1    lo              1     1     030000000001\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if has, err := all.Has(lo, group); !has || err != nil {
		t.Errorf("the table is there: %v, %v", has, err)
	}
	if err := errors.Join(all.Close(), NewReceptions().Close()); err != nil {
		t.Error(err)
	}
}

// listed is all that the interface receives and has, in words; but for the
// groups of ND, which the kernel joins some time after an address appears.
func listed(t *testing.T, s *netnstest.Space, l Link) string {
	t.Helper()
	var b strings.Builder
	s.Do(func() error {
		entries, err := netlink.NeighList(l.Index, unix.AF_BRIDGE)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !bytes.HasPrefix(e.HardwareAddr, []byte{0x33, 0x33, 0xff}) {
				b.WriteString(e.HardwareAddr.String() + "\n")
			}
		}
		all, err := addresses()
		for _, a := range all {
			b.WriteString(a.prefix.String() + "\n")
		}
		return err
	})
	return b.String()
}

// A macvlan filters what it takes in by the list of its MACs, as hardware does;
// a veth lets everything through.
func TestReceptionOpensTheFilterOfADeviceThatHasOne(t *testing.T) {
	for _, row := range receptions {
		if row.words == "unicast" {
			continue // a macvlan takes in only its own unicast MAC, and says so: next test
		}
		t.Run(row.words, func(t *testing.T) {
			node, neighbour := segment(t)
			node.Do(func() error { return addMacvlan("node0", "mv0") })
			node.Up("mv0")
			l := link(t, node, "mv0")
			inside := node.Capture("mv0")
			netnstest.Until(t, "the macvlan runs", func() bool { return link(t, node, "mv0").Running })
			from := link(t, neighbour, "peer0")

			deliver := func(number byte) (passed bool) {
				test := append(ethernet(row.r.MAC, from.MAC, 0x88b5), number)
				marker := append(ethernet(broadcastMAC, from.MAC, 0x88b5), number)
				for _, f := range []*[]byte{&test, &marker} {
					*f = append(*f, make([]byte, 46)...)
				}
				neighbour.Do(func() error { return Transmit(from, [][]byte{test, marker}) })
				inside.Await("the broadcast behind the test frame", func(f netnstest.Frame) bool { return bytes.HasPrefix(f.Bytes, marker[:15]) })
				for _, f := range inside.Frames() {
					passed = passed || bytes.HasPrefix(f.Bytes, test[:15])
				}
				return passed
			}
			if deliver(1) {
				t.Fatal("the device does not filter: the test proves nothing")
			}
			node.Do(func() error { return Receive(l, row.r) })
			if !deliver(2) {
				t.Error("the frame was filtered out")
			}
			node.Do(func() error { return StopReceiving(l, row.r.MAC) })
			// macvlan computes its filter before it drops the entry (macvlan_set_mac_lists),
			// so the removal shows with the next change of its list.
			node.Do(func() error { return Receive(l, Reception{MAC: net.HardwareAddr{3, 9, 9, 9, 9, 9}}) })
			if deliver(3) {
				t.Error("the frame came through after StopReceiving")
			}
		})
	}
}

func addMacvlan(parent, name string) error {
	p, err := netlink.LinkByName(parent)
	if err != nil {
		return err
	}
	return netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: netlink.LinkAttrs{Name: name, ParentIndex: p.Attrs().Index}, Mode: netlink.MACVLAN_MODE_BRIDGE})
}

func TestSecondUnicastMACWhereTheDriverRefusesIt(t *testing.T) {
	node, _ := segment(t)
	node.Do(func() error { return addMacvlan("node0", "mv0") })
	l := link(t, node, "mv0")
	err := node.Try(func() error { return Receive(l, Reception{MAC: unicastMAC}) })
	if err == nil || !strings.Contains(err.Error(), "driver macvlan") || !strings.Contains(err.Error(), "use mac: multicast") {
		t.Errorf("Receive says: %v", err)
	}
}

func TestIGMPMembershipIsReportedAndKept(t *testing.T) {
	node, neighbour := segment(t)
	wire := neighbour.Capture("peer0")
	l := link(t, node, "node0")
	node.Do(func() error { return Receive(l, Reception{MAC: igmpMAC, Group: igmpGroup}) })
	wire.Await("an IGMPv3 report of the group", func(f netnstest.Frame) bool {
		return reports(f.Bytes, igmpGroup)
	})
	// The thread and the sockets that joined are gone. A querier asks again.
	query := neighbourQuery(link(t, neighbour, "peer0").MAC)
	seen := len(wire.Frames())
	from := link(t, neighbour, "peer0")
	neighbour.Do(func() error { return Transmit(from, [][]byte{query}) })
	netnstest.Until(t, "the query is answered", func() bool {
		for _, f := range wire.Frames()[seen:] {
			if reports(f.Bytes, igmpGroup) {
				return true
			}
		}
		return false
	})
}

// reports: an IGMPv3 membership report (RFC 3376 4.2) with a record of the group.
func reports(b []byte, group netip.Addr) bool {
	const ip = 14
	if len(b) < ip+24 || b[12] != 8 || b[13] != 0 || b[ip+9] != 2 {
		return false
	}
	igmp := b[ip+int(b[ip]&15)*4:]
	return len(igmp) > 8 && igmp[0] == 0x22 && bytes.Contains(igmp[8:], group.AsSlice())
}

// neighbourQuery is a general IGMPv3 query (RFC 3376 4.1) that wants answers within 0.1 s.
func neighbourQuery(source net.HardwareAddr) []byte {
	igmp := []byte{0x11, 1, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0}
	putChecksum(igmp[2:], igmp)
	ip := []byte{0x46, 0, 0, byte(24 + len(igmp)), 0, 0, 0, 0, 1, 2, 0, 0, 192, 0, 2, 2, 224, 0, 0, 1, 0x94, 4, 0, 0}
	putChecksum(ip[10:], ip)
	return append(append(ethernet(net.HardwareAddr{1, 0, 0x5e, 0, 0, 1}, source, 0x0800), ip...), igmp...)
}

func putChecksum(at, over []byte) {
	var sum uint32
	for i := 0; i+1 < len(over); i += 2 {
		sum += uint32(over[i])<<8 | uint32(over[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	at[0], at[1] = byte(^sum>>8), byte(^sum)
}
