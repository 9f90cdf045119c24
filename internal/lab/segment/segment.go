package segment

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/rota-cluster/rota/internal/lab/bpf"
)

const (
	bridgeName = "br0"
	secondName = "br1" // of Options.Second
	// secondPort ends the names of the second switch's ports.
	secondPort = ".2"
)

// Options of a segment.
type Options struct {
	// Name makes the namespaces' names: rota-NAME-switch, rota-NAME-HOST. 1 to
	// 16 lower-case letters and digits.
	Name string
	// BeatPort is the UDP port of the frames that Loss.Beats takes.
	BeatPort uint16
	// Snooping switches IGMP and MLD snooping on; a flooding switch has none.
	Snooping bool
	// Ageing is how long the switch remembers where a MAC is; 0 means the
	// bridge's own default, 300 s.
	Ageing time.Duration
	// Second: every host is also plugged into another switch, by SecondInterfaceName.
	Second bool
}

// Segment is a switch and the hosts plugged into it. Its methods may not be
// called concurrently, except those that set and read losses.
type Segment struct {
	options Options
	space   *namespace
	links   *netlink.Handle // in the switch's namespace
	bridge  int             // ifindex
	second  int             // of the second switch; 0: there is none
	faults  bpf.FaultObjects
	hosts   []*Host
}

var (
	segmentName = regexp.MustCompile(`^[a-z0-9]{1,16}$`)
	hostName    = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`) // an interface of the switch has this name
)

// maxHostName is IFNAMSIZ of linux/if.h without its closing zero.
const maxHostName = 15

// Build makes the switch. It needs root. os.ErrExist means that the name is taken.
func Build(o Options) (_ *Segment, err error) {
	if !segmentName.MatchString(o.Name) {
		return nil, fmt.Errorf("name %q: want 1 to 16 lower-case letters and digits", o.Name)
	}
	s := &Segment{options: o}
	if s.space, err = newNamespace(prefix(o.Name) + "switch"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.loadFaults(); err != nil {
		return nil, err
	}
	// The switch itself shall say nothing: no address, no neighbour discovery.
	if err := s.space.run(func() error { return errors.Join(disableIPv6(), leaveFirewallOut()) }); err != nil {
		return nil, err
	}
	if s.links, err = netlink.NewHandleAt(s.space.handle); err != nil {
		return nil, fmt.Errorf("open netlink in %s: %w", s.space.name, err)
	}
	if s.bridge, err = s.makeBridge(bridgeName); err != nil || !o.Second {
		return s, err
	}
	s.second, err = s.makeBridge(secondName)
	return s, err
}

func disableIPv6() error {
	for _, which := range []string{"all", "default"} {
		err := os.WriteFile("/proc/sys/net/ipv6/conf/"+which+"/disable_ipv6", []byte("1"), 0)
		if err != nil {
			return fmt.Errorf("silence IPv6 on the switch: %w", err)
		}
	}
	return nil
}

// leaveFirewallOut of the switch: where the kernel has br_netfilter, each frame
// would pass the hooks of IP as well, which a switch has not and which take a
// third of the time of a frame.
func leaveFirewallOut() error {
	for _, which := range []string{"arptables", "iptables", "ip6tables"} {
		err := os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-"+which, []byte("0"), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("leave the firewall out of the switch: %w", err)
		}
	}
	return nil
}

func (s *Segment) makeBridge(name string) (index int, err error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	bridge := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &s.options.Snooping}
	if s.options.Ageing > 0 {
		hundredths := uint32(s.options.Ageing / (10 * time.Millisecond)) // USER_HZ
		bridge.AgeingTime = &hundredths
	}
	if err := s.links.LinkAdd(bridge); err != nil {
		return 0, fmt.Errorf("make the switch (needs the kernel's bridge): %w", err)
	}
	link, err := s.links.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("find the switch: %w", err)
	}
	if err := s.links.LinkSetUp(link); err != nil {
		return 0, fmt.Errorf("start the switch: %w", err)
	}
	return link.Attrs().Index, nil
}

// Attach makes a host and plugs it in. Its addresses are there, and its
// interface is up, when Attach returns.
func (s *Segment) Attach(name string, nic NIC) (_ *Host, err error) {
	longest := maxHostName
	if s.second != 0 {
		longest -= len(secondPort)
	}
	if !hostName.MatchString(name) || len(name) > longest || name == bridgeName || name == "switch" {
		return nil, fmt.Errorf("host name %q: want 1 to %d lower-case letters, digits and hyphens", name, longest)
	}
	h := &Host{name: name, nic: nic}
	if h.space, err = newNamespace(prefix(s.options.Name) + name); err != nil {
		return nil, err
	}
	s.hosts = append(s.hosts, h)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Detach(h))
		}
	}()
	if err := s.plugIn(h); err != nil {
		return nil, fmt.Errorf("plug in %s: %w", name, err)
	}
	if err := s.plugInSecond(h); err != nil {
		return nil, fmt.Errorf("plug %s into the second switch: %w", name, err)
	}
	if err := h.configure(); err != nil {
		return nil, fmt.Errorf("configure %s: %w", name, err)
	}
	return h, nil
}

// Detach unplugs and removes a host. Processes in it are killed.
func (s *Segment) Detach(h *Host) error {
	s.hosts = slices.DeleteFunc(s.hosts, func(o *Host) bool { return o == h })
	return errors.Join(s.forgetLosses(h), h.close())
}

// plugIn makes the cable: a veth pair whose one end is a port of the switch.
func (s *Segment) plugIn(h *Host) error {
	port, err := s.cable(h, s.bridge, h.name, InterfaceName, h.nic.MAC)
	if err != nil {
		return err
	}
	h.port = port.Attrs().Index
	if err := s.attachFaults(port); err != nil {
		return err
	}
	if err := s.links.LinkSetUp(port); err != nil {
		return fmt.Errorf("start the port: %w", err)
	}
	return nil
}

// plugInSecond does the same with the second switch, if there is one. It has no faults
// but its cables; and the hosts have no addresses there.
func (s *Segment) plugInSecond(h *Host) error {
	if s.second == 0 {
		return nil
	}
	port, err := s.cable(h, s.second, h.name+secondPort, SecondInterfaceName, secondMAC(h.nic.MAC))
	if err != nil {
		return err
	}
	h.secondPort = port.Attrs().Index
	if err := s.links.LinkSetUp(port); err != nil {
		return fmt.Errorf("start the port: %w", err)
	}
	return h.withInterface(SecondInterfaceName, func(links *netlink.Handle, eth netlink.Link) error { return links.LinkSetUp(eth) })
}

// secondMAC differs from the first in what no host of the lab has of its own.
func secondMAC(mac net.HardwareAddr) net.HardwareAddr {
	second := slices.Clone(mac)
	second[1] ^= 0x80
	return second
}

// cable makes a veth pair, and returns the switch's end.
func (s *Segment) cable(h *Host, bridge int, port, eth string, mac net.HardwareAddr) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = port
	attrs.MasterIndex = bridge
	cable := netlink.NewVeth(attrs)
	cable.PeerName = eth
	cable.PeerHardwareAddr = mac
	cable.PeerNamespace = netlink.NsFd(int(h.space.handle))
	if err := s.links.LinkAdd(cable); err != nil {
		return nil, fmt.Errorf("make a veth pair: %w", err)
	}
	link, err := s.links.LinkByName(port)
	if err != nil {
		return nil, fmt.Errorf("find the port: %w", err)
	}
	return link, nil
}

// SetSecondCarrier pulls the host's cable out of the second switch, or puts it back.
func (s *Segment) SetSecondCarrier(h *Host, on bool) error {
	if s.second == 0 {
		return fmt.Errorf("%s: there is no second switch", h.name)
	}
	return s.setPort(h, h.secondPort, on)
}

// SetCarrier pulls the host's cable out of the switch, or puts it back.
func (s *Segment) SetCarrier(h *Host, on bool) error {
	return s.setPort(h, h.port, on)
}

func (s *Segment) setPort(h *Host, index int, on bool) error {
	port, err := s.links.LinkByIndex(index)
	if err != nil {
		return fmt.Errorf("find the port of %s: %w", h.name, err)
	}
	set := s.links.LinkSetDown
	if on {
		set = s.links.LinkSetUp
	}
	if err := set(port); err != nil {
		return fmt.Errorf("switch the port of %s: %w", h.name, err)
	}
	return nil
}

// Hosts are those plugged in now, in the order of their coming.
func (s *Segment) Hosts() []*Host { return slices.Clone(s.hosts) }

// Namespace is the switch's, for ip netns exec.
func (s *Segment) Namespace() string { return s.space.name }

// RunInSwitch runs f on a thread inside the switch's namespace and waits for it.
func (s *Segment) RunInSwitch(f func() error) error { return s.space.run(f) }

// Port is the index, in the switch's namespace, of the interface that the
// host is plugged into.
func (s *Segment) Port(h *Host) int { return h.port }

// Close removes everything, killing the processes that hosts still run.
func (s *Segment) Close() error {
	var failed []error
	for _, h := range s.Hosts() {
		failed = append(failed, s.Detach(h))
	}
	if s.links != nil {
		s.links.Close()
	}
	failed = append(failed, s.faults.Close(), s.space.close())
	return errors.Join(failed...)
}

// NIC is a host's interface.
type NIC struct {
	MAC       net.HardwareAddr // 6 bytes, its own
	Addresses []netip.Prefix   // with the network's length
}
