package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/lab/segment"
	"github.com/rota-cluster/rota/internal/lab/service"
)

var (
	shared4    = netip.MustParseAddr("192.0.2.10")
	shared6    = netip.MustParseAddr("2001:db8::10")
	shared     = []netip.Addr{shared4, shared6}
	clusterMAC = net.HardwareAddr{3, 0, 0, 0, 0, 1}
)

// rig is a client and some nodes without rota: whoever is given the shared
// address answers. Every node receives what is sent to the cluster's MAC.
type rig struct {
	*segment.Segment
	client *Client
	nodes  []*segment.Host
}

func newRig(t *testing.T, nodes int) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces need root: run the tests as root")
	}
	s, err := segment.Build(segment.Options{Name: fmt.Sprintf("p%d", os.Getpid()), BeatPort: 7479})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	r := &rig{Segment: s}
	host, err := s.Attach("client", nic(200, 201))
	must(t, err)
	r.client = NewClient(host)
	for i := 1; i <= nodes; i++ {
		h, err := s.Attach(fmt.Sprintf("n%d", i), nic(i))
		must(t, err)
		adopt(t, h)
		r.nodes = append(r.nodes, h)
		r.serve(t, h)
	}
	return r
}

// serve runs the node's service until the test ends or the result is called.
func (r *rig) serve(t *testing.T, h *segment.Host) (stop func()) {
	t.Helper()
	s, err := service.Listen(context.Background(), h)
	must(t, err)
	run := Start(context.Background(), func(ctx context.Context) (struct{}, error) { return struct{}{}, s.Run(ctx) })
	stop = func() {
		_, err := run.Stop()
		must(t, err)
	}
	t.Cleanup(stop)
	return stop
}

// flood makes the client send what is for the shared addresses to the
// cluster's MAC, which every node receives.
func (r *rig) flood(t *testing.T) {
	t.Helper()
	must(t, r.client.Host().Run(func() error {
		eth, err := netlink.LinkByName(segment.InterfaceName)
		if err != nil {
			return err
		}
		for _, a := range shared {
			err := netlink.NeighSet(&netlink.Neigh{
				LinkIndex: eth.Attrs().Index, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: clusterMAC,
			})
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// own gives a node the shared addresses, and disown takes them away.
func own(t *testing.T, h *segment.Host) {
	t.Helper()
	for _, a := range shared {
		must(t, h.AddAddress(netip.PrefixFrom(a, a.BitLen())))
	}
}

func disown(t *testing.T, h *segment.Host) {
	t.Helper()
	for _, a := range shared {
		must(t, h.RemoveAddress(netip.PrefixFrom(a, a.BitLen())))
	}
}

// adopt makes the host's kernel take frames to a group MAC for its own: TCP
// would discard them (skb->pkt_type, net/ipv4/tcp_ipv4.c tcp_v4_rcv).
func adopt(t *testing.T, h *segment.Host) {
	t.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R2, unix.PACKET_HOST),
			asm.FnSkbChangeType.Call(),
			asm.Mov.Imm(asm.R0, 0), // TC_ACT_OK
			asm.Return(),
		},
	})
	must(t, err)
	defer program.Close()
	must(t, h.Run(func() error {
		eth, err := netlink.LinkByName(segment.InterfaceName)
		if err != nil {
			return err
		}
		err = netlink.QdiscAdd(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: eth.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
		}})
		if err != nil {
			return err
		}
		return netlink.FilterAdd(&netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{
				LinkIndex: eth.Attrs().Index, Parent: netlink.HANDLE_MIN_INGRESS,
				Handle: 1, Priority: 1, Protocol: unix.ETH_P_ALL,
			},
			Fd: program.FD(), Name: "adopt", DirectAction: true,
		})
	}))
}

func nic(numbers ...int) segment.NIC {
	n := segment.NIC{MAC: net.HardwareAddr{2, 0, 0, 0, 0, byte(numbers[0])}}
	for _, i := range numbers {
		n.Addresses = append(n.Addresses,
			netip.MustParsePrefix(fmt.Sprintf("192.0.2.%d/24", i)),
			netip.MustParsePrefix(fmt.Sprintf("2001:db8::%d/64", i)))
	}
	return n
}

func (r *rig) names() Names { return NamesOf(r.Hosts()) }

// tap collects from now on; stop ends it and gives the report.
func (r *rig) tap(t *testing.T) (stop func() TapReport) {
	t.Helper()
	tap, err := r.client.OpenTap(shared, r.names())
	must(t, err)
	run := Start(context.Background(), tap.Run)
	t.Cleanup(func() { _, _ = run.Stop() })
	return func() TapReport {
		report, err := run.Stop()
		must(t, err)
		return report
	}
}

func (r *rig) setLoss(t *testing.T, h *segment.Host, l segment.Loss) {
	t.Helper()
	must(t, r.SetLoss(h, segment.FromHost, l))
	must(t, r.SetLoss(h, segment.ToHost, l))
}

// waitLost waits until a fault has taken n more frames on their way to h.
func (r *rig) waitLost(t *testing.T, h *segment.Host, n uint64) {
	t.Helper()
	begin, err := r.Lost(h, segment.ToHost)
	must(t, err)
	waitFor(t, fmt.Sprintf("%d frames to be lost", n), func() bool {
		now, err := r.Lost(h, segment.ToHost)
		must(t, err)
		return now-begin >= n
	})
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
