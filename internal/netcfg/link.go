package netcfg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ErrNoInterface is wrapped by LinkByName and LinkByIndex.
var ErrNoInterface = errors.New("no such interface")

// Link is what the kernel says about one interface at one moment.
type Link struct {
	Index    int
	Name     string
	Kind     string // of a virtual device, "veth", "bridge", …; "device" for hardware
	Driver   string // as ethtool -i; empty if the driver does not say
	MAC      net.HardwareAddr
	MTU      int  // bytes of IP, without the Ethernet header
	Up       bool // administratively
	Running  bool // up, and with a carrier
	Ethernet bool // frames have Ethernet headers; false for lo, tun, ppp
	ARP      bool // neighbours are resolved
	Loopback bool
	Master   int // index of the bridge, bond, vrf, … that it is a port of; 0 for none
	Parent   int // index of the interface of this namespace that it sends through (vlan, macvlan); 0 for none
	RxFrames uint64
	// ReceiveOffloads names those that join frames in hardware and are switched
	// on (rx-lro, rx-gro-hw); native XDP costs them.
	ReceiveOffloads []string
	Own             []netip.Prefix // addresses without rota's mark, in the kernel's order
	Shared          []netip.Addr   // addresses with rota's mark, without groups
}

// LinkByName asks for the interface of that name in this network namespace.
func LinkByName(name string) (Link, error) {
	found, err := netlink.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return Link{}, fmt.Errorf("interface %s: %w; there are: %s", name, ErrNoInterface, strings.Join(linkNames(), ", "))
	}
	if err != nil {
		return Link{}, fmt.Errorf("ask for interface %s: %w", name, err)
	}
	return describeOne(found)
}

// LinkByIndex asks for the interface with that index in this network namespace.
func LinkByIndex(index int) (Link, error) {
	found, err := netlink.LinkByIndex(index)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return Link{}, fmt.Errorf("interface number %d: %w", index, ErrNoInterface)
	}
	if err != nil {
		return Link{}, fmt.Errorf("ask for interface number %d: %w", index, err)
	}
	return describeOne(found)
}

// Links are all interfaces of this network namespace.
func Links() ([]Link, error) {
	found, err := dump(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	all, err := addresses()
	if err != nil {
		return nil, err
	}
	links := make([]Link, 0, len(found))
	for _, f := range found {
		links = append(links, describe(f, all))
	}
	return links, nil
}

func linkNames() []string {
	links, err := dump(netlink.LinkList)
	if err != nil {
		return []string{"unknown, for " + err.Error()}
	}
	names := make([]string, 0, len(links))
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return names
}

func describeOne(found netlink.Link) (Link, error) {
	all, err := addresses()
	if err != nil {
		return Link{}, err
	}
	return describe(found, all), nil
}

// describe picks the interface's addresses from all.
func describe(found netlink.Link, all []address) Link {
	a := found.Attrs()
	l := Link{
		Index: a.Index, Name: a.Name, Kind: found.Type(), MAC: a.HardwareAddr, MTU: a.MTU,
		Up:       a.RawFlags&unix.IFF_UP != 0,
		Running:  a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_LOWER_UP != 0 && a.RawFlags&unix.IFF_RUNNING != 0,
		Ethernet: a.EncapType == "ether" && len(a.HardwareAddr) == 6,
		ARP:      a.RawFlags&unix.IFF_NOARP == 0,
		Loopback: a.RawFlags&unix.IFF_LOOPBACK != 0,
		Master:   a.MasterIndex,
		Driver:   driver(a.Name), ReceiveOffloads: receiveOffloads(a.Name),
	}
	// A veth names its peer where others name their parent.
	if a.NetNsID == -1 && l.Kind != "veth" {
		l.Parent = a.ParentIndex
	}
	if a.Statistics != nil {
		l.RxFrames = a.Statistics.RxPackets
	}
	for _, ad := range all {
		switch {
		case ad.index != l.Index:
		case !ad.marked:
			l.Own = append(l.Own, ad.prefix)
		case !ad.prefix.Addr().IsMulticast():
			l.Shared = append(l.Shared, ad.prefix.Addr())
		}
	}
	return l
}

// LinkLocal is the interface's own IPv6 link-local address, if it has one.
func (l Link) LinkLocal() (netip.Addr, bool) {
	for _, p := range l.Own {
		if p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
			return p.Addr(), true
		}
	}
	return netip.Addr{}, false
}

// RxFrames is the number of frames that the interface has received since it
// exists. It asks for the counters alone (RTM_GETSTATS, Linux 4.7); see FrameCounter
// for who must not wait.
func RxFrames(index int) (uint64, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETSTATS, 0)
	req.AddData(&statsRequest{index: uint32(index)})
	msgs, err := req.Execute(unix.NETLINK_ROUTE, 0)
	if err != nil {
		return 0, fmt.Errorf("ask for the counters of interface number %d: %w", index, err)
	}
	for _, m := range msgs {
		if len(m) < statsRequestLen {
			continue
		}
		attrs, err := nl.ParseRouteAttr(m[statsRequestLen:])
		if err != nil {
			return 0, fmt.Errorf("counters of interface number %d: %w", index, err)
		}
		for _, at := range attrs {
			// struct rtnl_link_stats64 begins with rx_packets.
			if at.Attr.Type == unix.IFLA_STATS_LINK_64 && len(at.Value) >= 8 {
				return binary.NativeEndian.Uint64(at.Value), nil
			}
		}
	}
	return 0, fmt.Errorf("counters of interface number %d: the kernel sent none", index)
}

// statsRequest is struct if_stats_msg of linux/if_link.h.
type statsRequest struct{ index uint32 }

const statsRequestLen = 12

func (r *statsRequest) Len() int { return statsRequestLen }

func (r *statsRequest) Serialize() []byte {
	b := make([]byte, statsRequestLen)
	binary.NativeEndian.PutUint32(b[4:], r.index)
	binary.NativeEndian.PutUint32(b[8:], 1<<(unix.IFLA_STATS_LINK_64-1)) // IFLA_STATS_FILTER_BIT
	return b
}
