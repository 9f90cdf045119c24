package netcfg

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
)

// Preflight says what on this host keeps the interface from carrying the shared
// addresses: err is the first thing that forbids it, warnings are what works
// otherwise than a user expects. Each is one line and says what to do.
func Preflight(link Link, shared []netip.Addr) (warnings []string, err error) {
	if err := Fit(link); err != nil {
		return nil, err
	}
	foreign, err := Foreign(link, shared)
	if err != nil {
		return nil, err
	}
	if len(foreign) > 0 {
		return nil, foreign[0]
	}
	if !link.Up {
		warnings = append(warnings, fmt.Sprintf("interface %s is down; set it up with: ip link set %s up", link.Name, link.Name))
	} else if !link.Running {
		warnings = append(warnings, fmt.Sprintf("interface %s has no carrier", link.Name))
	}
	warnings = append(warnings, sourceWarnings(link, shared)...)
	return append(warnings, arpWarnings(link, shared)...), nil
}

// Fit says what about the interface itself forbids that it carries shared addresses.
func Fit(link Link) error {
	if !link.Ethernet || link.Loopback {
		return fmt.Errorf("interface %s (%s) is not Ethernet; give one that is", link.Name, link.Kind)
	}
	if !link.ARP {
		return fmt.Errorf("interface %s resolves no neighbours (flag NOARP); set it with: ip link set %s arp on", link.Name, link.Name)
	}
	return checkMaster(link)
}

// checkMaster: what a port receives goes to its bridge or bond, past the stack of the port.
func checkMaster(link Link) error {
	if link.Master == 0 {
		return nil
	}
	master, err := netlink.LinkByIndex(link.Master)
	if err != nil || master.Type() == "vrf" {
		return nil // a vrf leaves the frames with the port
	}
	return fmt.Errorf("interface %s is a port of %s %s; give %s as the interface",
		link.Name, master.Type(), master.Attrs().Name, master.Attrs().Name)
}

// Foreign lists the shared addresses that something else has put on an
// interface, each as an ErrForeignAddress that says how to remove it.
func Foreign(link Link, shared []netip.Addr) (all []error, err error) {
	present, err := addresses()
	if err != nil {
		return nil, err
	}
	for _, p := range present {
		for _, a := range shared {
			if p.prefix.Addr() == a && (p.index != link.Index || !p.isShared()) {
				all = append(all, foreign(p))
			}
		}
	}
	return all, nil
}

// sourceWarnings: the kernel never takes a shared IPv4 address as a source. Of IPv6, SharedSource tells.
func sourceWarnings(link Link, shared []netip.Addr) (warnings []string) {
	is4 := func(p netip.Prefix) bool { return p.Addr().Is4() }
	if slices.ContainsFunc(shared, netip.Addr.Is4) && !slices.ContainsFunc(link.Own, is4) {
		warnings = append(warnings, fmt.Sprintf("interface %s has no IPv4 address of its own; the node cannot open connections from it", link.Name))
	}
	return warnings
}

// arpWarnings: with these values of arp_ignore (Documentation/networking/ip-sysctl.rst)
// the kernel answers no ARP request for an address like ours.
func arpWarnings(link Link, shared []netip.Addr) []string {
	for _, a := range shared {
		if !a.Is4() {
			continue
		}
		if v := max(sysctl("ipv4/conf/all/arp_ignore"), sysctl("ipv4/conf/"+link.Name+"/arp_ignore")); v >= 2 {
			return []string{fmt.Sprintf("net.ipv4.conf.*.arp_ignore is %d on %s: this node will not answer ARP for %s; set it to 0 or 1", v, link.Name, a)}
		}
		break
	}
	return nil
}

// sysctl reads a number under /proc/sys/net, which shows the reading thread's
// own namespace; 0 if there is none.
func sysctl(path string) int {
	text, err := os.ReadFile("/proc/sys/net/" + path)
	if err != nil {
		return 0
	}
	v, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return v
}
