package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/netcfg"
)

// From linux/if_link.h.
const (
	xdpOnlyIfNone = 1 << 0 // XDP_FLAGS_UPDATE_IF_NOEXIST
	xdpGeneric    = 1 << 1 // XDP_FLAGS_SKB_MODE
	xdpNative     = 1 << 2 // XDP_FLAGS_DRV_MODE
	xdpReplace    = 1 << 4 // XDP_FLAGS_REPLACE: only if IFLA_XDP_EXPECTED_FD stands there

	xdpExpectedFD = 8 // IFLA_XDP_EXPECTED_FD

	xdpAttachedNative  = 1 // XDP_ATTACHED_DRV
	xdpAttachedGeneric = 2 // XDP_ATTACHED_SKB
)

// surveyXDP finds what stands at XDP: rota's program, or somebody else's.
func surveyXDP(index int) (found []standing, foreign string, err error) {
	link, err := netlink.LinkByIndex(index)
	if err != nil {
		return nil, "", fmt.Errorf("ask for the XDP program of interface number %d: %w", index, err)
	}
	x := link.Attrs().Xdp
	if x == nil || !x.Attached {
		return nil, "", nil
	}
	if x.ProgId == 0 { // several at once, one of them in the hardware
		return nil, "a program in the network card", nil
	}
	id := ebpf.ProgramID(x.ProgId)
	s, ok, err := recognise(id)
	if err != nil {
		return nil, "", err
	}
	switch x.AttachMode {
	case xdpAttachedNative:
		s.mode = ModeNative
	case xdpAttachedGeneric:
		s.mode = ModeGeneric
	default:
		ok = false
	}
	if !ok {
		return nil, describeProgram(id), nil
	}
	s.index, s.place = index, atXDP
	return []standing{s}, "", nil
}

// attachXDP puts the program at XDP by rtnetlink, where it outlives this
// process: in place of old in one step, or where nothing stands.
func attachXDP(link netcfg.Link, p *ebpf.Program, mode Mode, old *standing) error {
	flags := uint32(xdpOnlyIfNone)
	var expected *ebpf.Program
	if old != nil {
		var err error
		if expected, err = old.open(); err != nil {
			return err
		}
		defer expected.Close()
		flags = xdpReplace
	}
	if err := setXDP(link.Index, p, expected, flags|modeFlag(mode)); err != nil {
		return explainXDP(link, mode, err)
	}
	return nil
}

// detachXDP takes away this program and no other.
func detachXDP(s standing) error {
	p, err := s.open()
	if err != nil {
		return err
	}
	defer p.Close()
	if err := setXDP(s.index, nil, p, xdpReplace|modeFlag(s.mode)); err != nil {
		return fmt.Errorf("take %s XDP off interface number %d: %w", s.mode, s.index, err)
	}
	return nil
}

func modeFlag(m Mode) uint32 {
	if m == ModeGeneric {
		return xdpGeneric
	}
	return xdpNative
}

// setXDP asks for the kernel's own words about a failure (extended
// acknowledgement): drivers say there what they need.
func setXDP(index int, p, expected *ebpf.Program, flags uint32) error {
	socket, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("rtnetlink socket: %w", err)
	}
	defer socket.Close()
	if err := socket.SetExtAck(true); err != nil {
		return fmt.Errorf("rtnetlink socket: %w", err)
	}
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: socket}}
	info := nl.NewIfInfomsg(unix.AF_UNSPEC)
	info.Index = int32(index)
	req.AddData(info)
	xdp := nl.NewRtAttr(unix.IFLA_XDP|unix.NLA_F_NESTED, nil)
	number := func(v int) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(int32(v))) }
	fd := -1
	if p != nil {
		fd = p.FD()
	}
	xdp.AddRtAttr(nl.IFLA_XDP_FD, number(fd))
	xdp.AddRtAttr(nl.IFLA_XDP_FLAGS, number(int(flags)))
	if expected != nil {
		xdp.AddRtAttr(xdpExpectedFD, number(expected.FD()))
	}
	req.AddData(xdp)
	_, err = req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// explainXDP names what is needed.
func explainXDP(link netcfg.Link, mode Mode, err error) error {
	need := "use datapath: tc"
	switch {
	case errors.Is(err, unix.EOPNOTSUPP) && mode == ModeNative:
		need = fmt.Sprintf("driver %q has no native XDP; use datapath: tc or xdp-generic", link.Driver)
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
		need = "another XDP program stands there; take it off or use datapath: tc"
	case mode == ModeNative && (errors.Is(err, unix.ERANGE) || errors.Is(err, unix.EINVAL)):
		need = fmt.Sprintf("driver %q needs a smaller MTU than %d, fewer queues, or receive offloads off (ethtool -K %s lro off rx-gro-hw off); or use datapath: tc",
			link.Driver, link.MTU, link.Name)
	case errors.Is(err, unix.EPERM):
		need = "needs root or CAP_NET_ADMIN and CAP_BPF"
	}
	return fmt.Errorf("attach %s XDP to %s: %w; %s", mode, link.Name, err, need)
}
