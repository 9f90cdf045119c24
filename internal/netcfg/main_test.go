package netcfg

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

// childTask makes the test binary do one thing in a process of its own, which
// the test can then kill.
const childTask = "ROTA_NETCFG_TEST_TASK"

func TestMain(m *testing.M) {
	if task := os.Getenv(childTask); task != "" {
		if err := runChild(task); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

var (
	shared4 = netip.MustParseAddr("192.0.2.10")
	shared6 = netip.MustParseAddr("2001:db8::10")

	multicastMAC = net.HardwareAddr{0x03, 1, 2, 3, 4, 5}
	unicastMAC   = net.HardwareAddr{0x02, 1, 2, 3, 4, 5}
	igmpGroup    = netip.MustParseAddr("239.193.2.3")
	igmpMAC      = net.HardwareAddr{0x01, 0x00, 0x5e, 0x41, 2, 3}
)

// segment is a node and a neighbour on one wire, with an address each.
func segment(t *testing.T) (node, neighbour *netnstest.Space) {
	t.Helper()
	node, neighbour = netnstest.New(t), netnstest.New(t)
	netnstest.Veth(node, "node0", neighbour, "peer0")
	node.AddAddress("node0", "192.0.2.1/24")
	node.AddAddress("node0", "2001:db8::1/64")
	neighbour.AddAddress("peer0", "192.0.2.2/24")
	neighbour.AddAddress("peer0", "2001:db8::2/64")
	return node, neighbour
}

func link(t *testing.T, s *netnstest.Space, name string) Link {
	t.Helper()
	var l Link
	s.Do(func() (err error) {
		l, err = LinkByName(name)
		return err
	})
	return l
}

func addShared(t *testing.T, s *netnstest.Space, name string, all ...netip.Addr) {
	t.Helper()
	l := link(t, s, name)
	for _, a := range all {
		s.Do(func() error { return AddAddress(l, a) })
	}
}
