package datapath

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/netcfg"
	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

// ways are all ways to attach.
var ways = []struct {
	wish   config.Datapath
	clsact bool
	mode   Mode
	stand  []string // what then stands on node0
}{
	{config.DatapathXDP, false, ModeNative, []string{"node0 XDP rota_xdp native", "node0 tc egress rota_announce tcx", "node0 tc ingress rota_adopt tcx"}},
	{config.DatapathXDP, true, ModeNative, []string{"node0 XDP rota_xdp native", "node0 tc egress rota_announce clsact", "node0 tc ingress rota_adopt clsact"}},
	{config.DatapathXDPGeneric, false, ModeGeneric, []string{"node0 XDP rota_xdp generic", "node0 tc egress rota_announce tcx", "node0 tc ingress rota_adopt tcx"}},
	{config.DatapathXDPGeneric, true, ModeGeneric, []string{"node0 XDP rota_xdp generic", "node0 tc egress rota_announce clsact", "node0 tc ingress rota_adopt clsact"}},
	{config.DatapathTC, false, ModeTC, []string{"node0 tc egress rota_announce tcx", "node0 tc ingress rota_tc tcx"}},
	{config.DatapathTC, true, ModeTC, []string{"node0 tc egress rota_announce clsact", "node0 tc ingress rota_tc clsact"}},
	{config.DatapathAuto, false, ModeTC, []string{"node0 tc egress rota_announce tcx", "node0 tc ingress rota_tc tcx"}},
}

func wayName(i int) string {
	by := "tcx"
	if ways[i].clsact {
		by = "clsact"
	}
	return fmt.Sprintf("%s by %s", ways[i].wish, by)
}

func TestEveryWayServesRealConnections(t *testing.T) {
	for i, way := range ways {
		for name, r := range map[string]netcfg.Reception{"multicast": multicastReception, "unicast": unicastReception, "igmp": igmpReception} {
			t.Run(wayName(i)+", "+name, func(t *testing.T) {
				h, client := segment(t)
				h.reception = r
				before := h.tcState()
				h.attach(way.wish, way.clsact)
				if h.attached.Mode() != way.mode || h.attached.Reason() == "" {
					t.Errorf("mode %s because %q, want %s and a reason", h.attached.Mode(), h.attached.Reason(), way.mode)
				}
				if got := h.standing(); !slices.Equal(got, way.stand) {
					t.Errorf("there stand %q, want %q", got, way.stand)
				}
				h.share()
				h.own()
				h.echo()
				for _, a := range []netip.Addr{shared4, shared6} {
					if err := ping(client, a); err != nil {
						t.Errorf("ping %s: %v", a, err)
					}
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
				h.datapath.Expire()
				for _, a := range []netip.Addr{shared4, shared6} {
					if conn, err := connect(client, a, 100*time.Millisecond); err == nil {
						_ = conn.Close()
						t.Errorf("%s answers though the lease is over", a)
					}
				}
				h.leave()
				h.leave() // a second time is no error
				if got := h.standing(); len(got) != 0 {
					t.Errorf("left behind: %q", got)
				}
				if after := h.tcState(); after != before {
					t.Errorf("left behind at tc:\n%s\nbefore:\n%s", after, before)
				}
			})
		}
	}
}

// tcState is everything at tc and XDP of node0, whoever's it is.
func (h *host) tcState() string {
	h.t.Helper()
	var b strings.Builder
	h.Do(func() error {
		l, err := netlink.LinkByName("node0")
		if err != nil {
			return err
		}
		qdiscs, err := netlink.QdiscList(l)
		if err != nil {
			return err
		}
		for _, q := range qdiscs {
			fmt.Fprintln(&b, q.Type(), q.Attrs().Parent)
		}
		if x := l.Attrs().Xdp; x != nil && x.Attached {
			fmt.Fprintln(&b, "xdp", x.ProgId)
		}
		for _, at := range []place{atIngress, atEgress} {
			all, err := filters(l.Attrs().Index, at)
			if err != nil {
				return err
			}
			for _, f := range all {
				fmt.Fprintln(&b, at, "filter", f.Type(), f.Attrs().Priority, f.Attrs().Handle)
			}
			r, err := link.QueryPrograms(link.QueryOptions{Target: l.Attrs().Index, Attach: tcxType(at)})
			if err != nil {
				return err
			}
			for _, p := range r.Programs {
				fmt.Fprintln(&b, at, "tcx", p.ID)
			}
		}
		return nil
	})
	return b.String()
}

// stranger is a program of somebody else; it lets everything through.
func stranger(t *testing.T, kind ebpf.ProgramType) *ebpf.Program {
	t.Helper()
	verdict := int32(-1) // TC_ACT_UNSPEC
	if kind == ebpf.XDP {
		verdict = 2 // XDP_PASS
	}
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "stranger", Type: kind, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, verdict), asm.Return()},
	})
	if err != nil {
		t.Fatalf("this test needs root: %v", err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func TestOtherPeoplesProgramsStay(t *testing.T) {
	for _, clsact := range []bool{false, true} {
		t.Run(fmt.Sprintf("clsact %v", clsact), func(t *testing.T) {
			h, client := segment(t)
			p := stranger(t, ebpf.SchedCLS)
			for _, at := range []place{atIngress, atEgress} {
				h.Do(func() error {
					if clsact {
						return addClsact(h.link.Index, at, p, "stranger")
					}
					return link.RawAttachProgram(link.RawAttachProgramOptions{Target: h.link.Index, Program: p, Attach: tcxType(at)})
				})
			}
			before := h.tcState()
			h.attach(config.DatapathTC, clsact)
			h.share()
			h.own()
			h.echo()
			conn, err := connect(client, shared4, netnstest.Patience)
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.Close()
			h.leave()
			if after := h.tcState(); after != before {
				t.Errorf("other people's programs before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

func TestForeignXDPProgramIsRefusedOrGivenWay(t *testing.T) {
	h, _ := segment(t)
	p := stranger(t, ebpf.XDP)
	h.Do(func() error {
		l, err := netlink.LinkByName("node0")
		if err != nil {
			return err
		}
		return netlink.LinkSetXdpFdWithFlags(l, p.FD(), xdpGeneric)
	})
	before := h.tcState()
	for _, wish := range []config.Datapath{config.DatapathXDP, config.DatapathXDPGeneric} {
		err := h.Try(func() error { return h.tryAttach(wish, false) })
		if err == nil || !strings.Contains(err.Error(), `"stranger"`) || !strings.Contains(err.Error(), "datapath: tc") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", wish, err)
		}
		if after := h.tcState(); after != before {
			t.Errorf("%s: a refused attachment left\n%s\nbefore it was\n%s", wish, after, before)
		}
	}
	h.attach(config.DatapathAuto, false)
	if h.attached.Mode() != ModeTC || !strings.Contains(h.attached.Reason(), `"stranger"`) {
		t.Errorf("auto: %s because %q", h.attached.Mode(), h.attached.Reason())
	}
	h.leave()
	if after := h.tcState(); after != before {
		t.Errorf("the foreign program before:\n%s\nafter:\n%s", before, after)
	}
}

func TestNativeXDPThatTheDriverRefuses(t *testing.T) {
	h, _ := segment(t)
	h.Do(func() error {
		p, err := netlink.LinkByName("node0")
		if err != nil {
			return err
		}
		return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0", MTU: p.Attrs().MTU}})
	})
	h.Do(func() (err error) {
		h.link, err = netcfg.LinkByName("br0")
		return err
	})
	err := h.Try(func() error { return h.tryAttach(config.DatapathXDP, false) })
	if err == nil || !strings.Contains(err.Error(), `driver "bridge" has no native XDP; use datapath: tc`) || strings.Contains(err.Error(), "\n") {
		t.Errorf("xdp on a bridge: %v", err)
	}
	if left := h.standing(); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestRemoveRefusesToBareASharedAddress(t *testing.T) {
	h, _ := segment(t)
	h.attach(config.DatapathTC, false)
	h.share()
	before := h.standing()
	if err := h.Try(func() error { return Remove(h.link) }); !errors.Is(err, ErrStillShared) {
		t.Errorf("Remove says: %v", err)
	}
	if after := h.standing(); !slices.Equal(before, after) {
		t.Errorf("before %q, after %q", before, after)
	}
	h.leave()
}

func TestChooseWeighsDriverOffloadsAndOthers(t *testing.T) {
	for _, row := range []struct {
		words   string
		wish    config.Datapath
		link    netcfg.Link
		foreign string
		want    []Mode
		because string
	}{
		{"a driver that keeps its offloads", config.DatapathAuto, netcfg.Link{Driver: "ixgbe"}, "", []Mode{ModeNative, ModeTC}, "keeps"},
		{"the same with LRO on", config.DatapathAuto, netcfg.Link{Driver: "mlx5_core", ReceiveOffloads: []string{"rx-lro"}}, "", []Mode{ModeTC}, "rx-lro"},
		{"veth", config.DatapathAuto, netcfg.Link{Driver: "veth"}, "", []Mode{ModeTC}, "veth"},
		{"virtio", config.DatapathAuto, netcfg.Link{Driver: "virtio_net"}, "", []Mode{ModeTC}, "virtio_net"},
		{"a driver that does not say its name", config.DatapathAuto, netcfg.Link{}, "", []Mode{ModeTC}, "not known"},
		{"somebody else's XDP program", config.DatapathAuto, netcfg.Link{Driver: "ixgbe"}, "a program", []Mode{ModeTC}, "a program"},
		{"native wanted on veth", config.DatapathXDP, netcfg.Link{Driver: "veth"}, "", []Mode{ModeNative}, "configured"},
		{"generic wanted", config.DatapathXDPGeneric, netcfg.Link{Driver: "ixgbe"}, "", []Mode{ModeGeneric}, "configured"},
		{"tc wanted", config.DatapathTC, netcfg.Link{Driver: "ixgbe"}, "", []Mode{ModeTC}, "configured"},
	} {
		t.Run(row.words, func(t *testing.T) {
			var modes []Mode
			choices := choose(row.wish, row.link, row.foreign)
			for _, c := range choices {
				modes = append(modes, c.mode)
			}
			if !slices.Equal(modes, row.want) || !strings.Contains(choices[0].reason, row.because) {
				t.Errorf("chosen %v, because %q", modes, choices[0].reason)
			}
		})
	}
}

func TestIngressQdiscInTheWayOfClsact(t *testing.T) {
	h, _ := segment(t)
	h.Do(func() error {
		l, err := netlink.LinkByName("node0")
		if err != nil {
			return err
		}
		return netlink.QdiscAdd(&netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Parent: netlink.HANDLE_INGRESS, Handle: netlink.MakeHandle(0xffff, 0)}})
	})
	before := h.tcState()
	if err := h.Try(func() error { return h.tryAttach(config.DatapathTC, true) }); err == nil || !strings.Contains(err.Error(), "clsact") || errors.Is(err, unix.EINVAL) {
		t.Errorf("attach says: %v", err)
	}
	if after := h.tcState(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}
