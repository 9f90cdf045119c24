package netcfg

import (
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// SharedSource says that the kernel takes a shared IPv6 address as the source of
// connections that this host opens by the interface; "" if it does not. A deprecated
// address comes after every other of its scope, but a link-local one comes after it
// (ipv6_get_saddr_eval in net/ipv6/addrconf.c): no form of an address is left out.
func SharedSource(link Link, shared []netip.Addr) (string, error) {
	taken := global(shared)
	if !taken.IsValid() {
		return "", nil
	}
	present, err := addresses()
	if err != nil {
		return "", err
	}
	for _, p := range present {
		if p.isSource(link) && !slices.Contains(shared, p.prefix.Addr()) {
			return "", nil
		}
	}
	return fmt.Sprintf("this node has no IPv6 address of its own to send from: what it opens by %s has the shared address %s as its source, and fails where another node gets the answer; give it one with: ip addr add ADDRESS/64 dev %s",
		link.Name, taken, link.Name), nil
}

// global is the first IPv6 address that goes beyond the segment.
func global(all []netip.Addr) netip.Addr {
	for _, a := range all {
		if a.Is6() && a.IsGlobalUnicast() {
			return a
		}
	}
	return netip.Addr{}
}

// isSource tells whether the kernel prefers this address to a shared one: also if it
// is another interface's, unless ours is of a vrf.
func (a address) isSource(link Link) bool {
	const worse = unix.IFA_F_DEPRECATED | unix.IFA_F_DADFAILED // one that is being tried is there in a moment
	ip := a.prefix.Addr()
	return ip.Is6() && ip.IsGlobalUnicast() && a.flags&worse == 0 && (a.index == link.Index || link.Master == 0)
}
