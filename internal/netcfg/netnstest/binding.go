package netnstest

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
)

// Binding is what a frame tells its receivers about a link-layer address.
type Binding struct {
	What    string // "arp request", "arp reply", "ns", "na", "rs", "ra", "redirect"
	Address netip.Addr
	MAC     net.HardwareAddr
}

// String is for failures of tests.
func (b Binding) String() string { return fmt.Sprintf("%s: %s is at %s", b.What, b.Address, b.MAC) }

// Bindings reads the bindings of an ARP or ND frame: ARP's sender (and, in a
// reply, its target), ND's source or target with its link-layer option. A frame
// that binds nothing has none.
func (f Frame) Bindings() []Binding {
	b, etherType := f.Bytes, uint16(0)
	if len(b) < 14 {
		return nil
	}
	etherType, b = binary.BigEndian.Uint16(b[12:]), b[14:]
	for (etherType == 0x8100 || etherType == 0x88a8) && len(b) >= 4 {
		etherType, b = binary.BigEndian.Uint16(b[2:]), b[4:]
	}
	switch {
	case etherType == 0x0806 && len(b) >= 28:
		return arpBindings(b)
	case etherType == 0x86dd && len(b) >= 48 && b[6] == 58:
		return ndBindings(b)
	}
	return nil
}

func arpBindings(b []byte) []Binding {
	sender := Binding{"arp request", netip.AddrFrom4([4]byte(b[14:18])), net.HardwareAddr(b[8:14])}
	if binary.BigEndian.Uint16(b[6:]) == 1 {
		return []Binding{sender}
	}
	sender.What = "arp reply"
	return []Binding{sender, {"arp reply target", netip.AddrFrom4([4]byte(b[24:28])), net.HardwareAddr(b[18:24])}}
}

func ndBindings(b []byte) []Binding {
	source, icmp := netip.AddrFrom16([16]byte(b[8:24])), b[40:]
	kinds := map[byte]struct {
		what   string
		target bool // the option speaks of the message's target, not of its IP source
		fixed  int  // bytes before the options
	}{133: {"rs", false, 8}, 134: {"ra", false, 16}, 135: {"ns", false, 24}, 136: {"na", true, 24}, 137: {"redirect", true, 40}}
	kind, ok := kinds[icmp[0]]
	if !ok || len(icmp) < kind.fixed {
		return nil
	}
	about := source
	if kind.target {
		about = netip.AddrFrom16([16]byte(icmp[8:24]))
	}
	var all []Binding
	for o := icmp[kind.fixed:]; len(o) >= 8 && o[1] > 0 && len(o) >= int(o[1])*8; o = o[int(o[1])*8:] {
		if o[0] == 1 || o[0] == 2 { // source or target link-layer address
			all = append(all, Binding{kind.what, about, net.HardwareAddr(o[2:8])})
		}
	}
	return all
}
