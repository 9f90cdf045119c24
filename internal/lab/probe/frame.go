package probe

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Offsets and numbers of the frames that are looked at. There are no VLANs here.
const (
	ethernet      = 14
	ipv6Header    = 40
	tcpHeader     = 20
	etherTypeIPv4 = 0x0800
	etherTypeARP  = 0x0806
	etherTypeIPv6 = 0x86dd

	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10

	// ICMPv6 types of neighbour discovery (RFC 4861).
	ndRouterSolicitation     = 133
	ndRouterAdvertisement    = 134
	ndNeighbourSolicitation  = 135
	ndNeighbourAdvertisement = 136
	ndRedirect               = 137

	ndSourceLinkLayer = 1
	ndTargetLinkLayer = 2
)

// hardware is a MAC address that may be compared and be a key.
type hardware [6]byte

// tcpHead is a TCP segment's head.
type tcpHead struct {
	sender   hardware // of the frame
	from, to netip.AddrPort
	ack      uint32
	flags    byte
}

// parseTCP reads an unfragmented TCP segment.
func parseTCP(frame []byte) (s tcpHead, ok bool) {
	if len(frame) < ethernet+20 {
		return s, false
	}
	s.sender = hardware(frame[6:12])
	ip := frame[ethernet:]
	var from, to netip.Addr
	var tcp []byte
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherTypeIPv4:
		header := int(ip[0]&0xf) * 4
		if ip[9] != unix.IPPROTO_TCP || header < 20 || len(ip) < header {
			return s, false
		}
		from, to = netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
		tcp = ip[header:]
	case etherTypeIPv6:
		if len(ip) < ipv6Header || ip[6] != unix.IPPROTO_TCP {
			return s, false
		}
		from, to = netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40]))
		tcp = ip[ipv6Header:]
	}
	if len(tcp) < tcpHeader {
		return s, false
	}
	s.from = netip.AddrPortFrom(from, binary.BigEndian.Uint16(tcp))
	s.to = netip.AddrPortFrom(to, binary.BigEndian.Uint16(tcp[2:]))
	s.ack = binary.BigEndian.Uint32(tcp[8:])
	s.flags = tcp[13]
	return s, true
}

// binding is what a message says about where an address is.
type binding struct {
	address netip.Addr
	mac     hardware
	message Message
}

// parseBinding reads the binding that a receiver of an ARP (RFC 826) or
// neighbour discovery (RFC 4861) message may learn from it.
func parseBinding(frame []byte) (b binding, ok bool) {
	if len(frame) < ethernet+28 {
		return b, false
	}
	body := frame[ethernet:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherTypeARP:
		b.message = ARPRequest
		if binary.BigEndian.Uint16(body[6:]) == 2 {
			b.message = ARPReply
		}
		b.mac = hardware(body[8:14])
		b.address = netip.AddrFrom4([4]byte(body[14:18]))
		return b, true
	case etherTypeIPv6:
		return parseND(body)
	}
	return b, false
}

func parseND(ip []byte) (b binding, ok bool) {
	if len(ip) < ipv6Header+8 || ip[6] != unix.IPPROTO_ICMPV6 {
		return b, false
	}
	icmp := ip[ipv6Header:]
	b.address = netip.AddrFrom16([16]byte(ip[8:24]))
	wanted, options := byte(ndSourceLinkLayer), 0
	switch icmp[0] {
	case ndRouterSolicitation:
		b.message, options = RouterMessage, 8
	case ndRouterAdvertisement:
		b.message, options = RouterMessage, 16
	case ndNeighbourSolicitation:
		b.message, options = NeighbourSolicitation, 24
	case ndNeighbourAdvertisement, ndRedirect: // both tell of their target
		if len(icmp) < 24 {
			return b, false
		}
		b.message = NeighbourAdvertisement
		b.address = netip.AddrFrom16([16]byte(icmp[8:24]))
		wanted, options = ndTargetLinkLayer, 24
		if icmp[0] == ndRedirect {
			b.message, options = RouterMessage, 40
		}
	default:
		return b, false
	}
	for rest := icmp[min(options, len(icmp)):]; len(rest) >= 8; {
		length := int(rest[1]) * 8
		if length == 0 || length > len(rest) {
			break
		}
		if rest[0] == wanted {
			b.mac = hardware(rest[2:8])
			return b, true
		}
		rest = rest[length:]
	}
	return b, false
}
