package segment

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// InterfaceName is every host's interface, SecondInterfaceName the one by which
// it is plugged into the second switch, if there is one.
const (
	InterfaceName       = "eth0"
	SecondInterfaceName = "eth1"
)

// Host is one machine of the segment: a network namespace.
type Host struct {
	name  string
	nic   NIC
	space *namespace
	port  int // ifindex of the switch's end of the cable

	secondPort int // of the second cable; 0: there is none
}

// Name of the host within the segment.
func (h *Host) Name() string { return h.name }

// Namespace is the host's, for ip netns exec.
func (h *Host) Namespace() string { return h.space.name }

// MAC is the host's own.
func (h *Host) MAC() net.HardwareAddr { return h.nic.MAC }

// Addresses are the host's own.
func (h *Host) Addresses() []netip.Prefix { return h.nic.Addresses }

// Run runs f on an OS thread of its own inside the host and waits for it. A
// child started by f dies with that thread if it asks for Pdeathsig: use Start.
func (h *Host) Run(f func() error) error { return h.space.run(f) }

// Start starts cmd inside the host, in a process group of its own (an
// interrupt from the terminal is not for it), killed by the kernel if this
// process dies, and by Close.
func (h *Host) Start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return h.space.onKeeper(cmd.Start)
}

// Listen opens a listener inside the host. What it accepts is inside as well.
func (h *Host) Listen(ctx context.Context, network, address string) (l net.Listener, err error) {
	err = h.Run(func() error {
		l, err = new(net.ListenConfig).Listen(ctx, network, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen on %s in %s: %w", address, h.name, err)
	}
	return l, nil
}

// Dial opens a connection from inside the host. The address must be numeric.
func (h *Host) Dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = h.Run(func() error {
		c, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("from %s: %w", h.name, err)
	}
	return c, nil
}

// SetLink sets the host's interface up or down, as its administrator would.
// Down makes the kernel forget the interface's IPv6 addresses.
func (h *Host) SetLink(up bool) error {
	return h.withInterface(InterfaceName, func(links *netlink.Handle, eth netlink.Link) error {
		if up {
			return links.LinkSetUp(eth)
		}
		return links.LinkSetDown(eth)
	})
}

// RemoveSecond takes the host's second interface away, as when its card is pulled.
func (h *Host) RemoveSecond() error {
	return h.withInterface(SecondInterfaceName, func(links *netlink.Handle, eth netlink.Link) error { return links.LinkDel(eth) })
}

// AddAddress gives the host another address of its own.
func (h *Host) AddAddress(p netip.Prefix) error {
	return h.withInterface(InterfaceName, func(links *netlink.Handle, eth netlink.Link) error {
		return addAddress(links, eth, p)
	})
}

// RemoveAddress takes an address away again.
func (h *Host) RemoveAddress(p netip.Prefix) error {
	return h.withInterface(InterfaceName, func(links *netlink.Handle, eth netlink.Link) error {
		return links.AddrDel(eth, &netlink.Addr{IPNet: ipNet(p)})
	})
}

func (h *Host) configure() error {
	return h.withInterface(InterfaceName, func(links *netlink.Handle, eth netlink.Link) error {
		lo, err := links.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := links.LinkSetUp(lo); err != nil {
			return err
		}
		for _, p := range h.nic.Addresses {
			if err := addAddress(links, eth, p); err != nil {
				return err
			}
		}
		return links.LinkSetUp(eth)
	})
}

// addAddress adds p without duplicate address detection: nobody else is in
// here, and the second it takes would be waited for at every start.
func addAddress(links *netlink.Handle, eth netlink.Link, p netip.Prefix) error {
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	if err := links.AddrAdd(eth, a); err != nil {
		return fmt.Errorf("add address %s: %w", p, err)
	}
	return nil
}

func (h *Host) withInterface(name string, f func(*netlink.Handle, netlink.Link) error) error {
	links, err := netlink.NewHandleAt(h.space.handle)
	if err != nil {
		return fmt.Errorf("open netlink in %s: %w", h.name, err)
	}
	defer links.Close()
	eth, err := links.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s of %s: %w", name, h.name, err)
	}
	if err := f(links, eth); err != nil {
		return fmt.Errorf("%s of %s: %w", name, h.name, err)
	}
	return nil
}

func (h *Host) close() error { return h.space.close() }

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
