package netcfg

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// WayTo is the interface by which the kernel sends to an address now, 0 if it
// has no route to it. It asks for this one route; nothing is sent.
func WayTo(to netip.Addr) (index int, err error) {
	routes, err := netlink.RouteGet(to.AsSlice())
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL):
		return 0, nil // none, or one that says no: unreachable, prohibit, blackhole
	case err != nil:
		return 0, fmt.Errorf("ask for the route to %s: %w", to, err)
	case len(routes) == 0:
		return 0, nil
	}
	return routes[0].LinkIndex, nil
}

// Neighbour is some address of the segment on which a shared address is: one of
// the network that holds it, else of any network of its family, by the
// interface's own addresses. Nobody need have it: it is for asking for a route.
// The zero Addr if the interface has no such network.
func (l Link) Neighbour(shared netip.Addr) netip.Addr {
	var other netip.Addr
	for _, p := range l.Own {
		if p.Addr().Is4() != shared.Is4() || p.IsSingleIP() || p.Addr().IsLinkLocalUnicast() != shared.IsLinkLocalUnicast() {
			continue
		}
		n := l.neighbourIn(p)
		if p.Contains(shared) && n.IsValid() {
			return n
		}
		if !other.IsValid() {
			other = n
		}
	}
	return other
}

// neighbourIn is the first address of the network that is not this host's.
func (l Link) neighbourIn(p netip.Prefix) netip.Addr {
	for a := p.Masked().Addr().Next(); p.Contains(a); a = a.Next() {
		own := slices.ContainsFunc(l.Own, func(o netip.Prefix) bool { return o.Addr() == a })
		if !own && !slices.Contains(l.Shared, a) {
			return a
		}
	}
	return netip.Addr{}
}
