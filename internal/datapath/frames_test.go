package datapath

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
)

// Building frames from the inside out: frame(ip4(from, to, tcp(1234, 80, tcpSYN))).

var (
	nodeMAC   = net.HardwareAddr{0x02, 0xaa, 0, 0, 0, 1}
	clientMAC = net.HardwareAddr{0x02, 0xcc, 0, 0, 0, 1}
)

// segmentOf is a transport header and what follows, with its protocol number.
type segmentOf struct {
	protocol uint8
	bytes    []byte
}

// packetOf is a network header and what follows, with its EtherType.
type packetOf struct {
	etherType uint16
	bytes     []byte
}

func be16(n ...uint16) (b []byte) {
	for _, v := range n {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

// frame is the packet in a frame to the cluster's MAC.
func frame(p packetOf) []byte {
	return frameFrom(clientMAC, p)
}

func frameFrom(source net.HardwareAddr, p packetOf) []byte {
	return slices.Concat(testMAC, source, be16(p.etherType), p.bytes)
}

// tagged puts a VLAN tag before the packet.
func tagged(etherType, vlan uint16, p packetOf) packetOf {
	return packetOf{etherType, slices.Concat(be16(vlan, p.etherType), p.bytes)}
}

func ip4(from, to string, s segmentOf) packetOf {
	b := make([]byte, 20, 20+len(s.bytes))
	b[0], b[8], b[9] = 0x45, 64, s.protocol
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(s.bytes)))
	copy(b[12:], netip.MustParseAddr(from).AsSlice())
	copy(b[16:], netip.MustParseAddr(to).AsSlice())
	return packetOf{etherTypeIPv4, append(b, s.bytes...)}
}

// options4 puts n bytes of options (a multiple of 4) behind an IPv4 header.
func options4(n int, p packetOf) packetOf {
	b := slices.Concat(p.bytes[:20], make([]byte, n), p.bytes[20:])
	b[0] += byte(n / 4)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return packetOf{p.etherType, b}
}

// fragment4 cuts bytes from … to (multiples of 8; to may be the end) out of a packet.
func fragment4(id uint16, from, to int, p packetOf) packetOf {
	payload := p.bytes[20:]
	more := uint16(0)
	if to < len(payload) {
		more = 0x2000
	}
	b := slices.Concat(p.bytes[:20], payload[from:min(to, len(payload))])
	copy(b[2:], be16(uint16(len(b)), id, more|uint16(from/8)))
	return packetOf{p.etherType, b}
}

func ip6(from, to string, s segmentOf) packetOf {
	b := make([]byte, 40, 40+len(s.bytes))
	b[0], b[6], b[7] = 0x60, s.protocol, 255
	binary.BigEndian.PutUint16(b[4:], uint16(len(s.bytes)))
	copy(b[8:], netip.MustParseAddr(from).AsSlice())
	copy(b[24:], netip.MustParseAddr(to).AsSlice())
	return packetOf{etherTypeIPv6, append(b, s.bytes...)}
}

// extension is an IPv6 extension header of 8·(1+more) bytes before the segment.
func extension(kind uint8, more uint8, s segmentOf) segmentOf {
	b := make([]byte, 8*(1+int(more)))
	b[0], b[1] = s.protocol, more
	return segmentOf{kind, append(b, s.bytes...)}
}

// fragment6 cuts bytes from … to out of a segment, behind a fragment header.
func fragment6(id uint32, from, to int, s segmentOf) segmentOf {
	more := uint16(0)
	if to < len(s.bytes) {
		more = 1
	}
	b := binary.BigEndian.AppendUint32(slices.Concat([]byte{s.protocol, 0}, be16(uint16(from)|more)), id)
	return segmentOf{protocolFragment, append(b, s.bytes[from:min(to, len(s.bytes))]...)}
}

func tcp(source, destination uint16, flags uint8) segmentOf {
	b := make([]byte, 20)
	copy(b, be16(source, destination))
	b[12], b[13] = 5<<4, flags
	return segmentOf{protocolTCP, b}
}

// numbered gives a TCP segment its sequence and acknowledgment numbers, and a window.
func numbered(seq, ack uint32, s segmentOf) segmentOf {
	b := slices.Clone(s.bytes)
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint32(b[8:], ack)
	binary.BigEndian.PutUint16(b[14:], 0xffff)
	return segmentOf{s.protocol, b}
}

// carrying puts a payload behind a segment.
func carrying(payload string, s segmentOf) segmentOf {
	return segmentOf{s.protocol, slices.Concat(s.bytes, []byte(payload))}
}

func udp(source, destination uint16, payload int) segmentOf {
	b := slices.Concat(be16(source, destination, uint16(8+payload), 0), make([]byte, payload))
	return segmentOf{protocolUDP, b}
}

// portless is a segment of a protocol, its first bytes given.
func portless(protocol uint8, bytes ...byte) segmentOf {
	return segmentOf{protocol, append(bytes, make([]byte, max(0, 8-len(bytes)))...)}
}

func icmp4(kind uint8, rest ...byte) segmentOf {
	return segmentOf{protocolICMP, append([]byte{kind, 0, 0, 0, 0, 0, 0, 0}, rest...)}
}

func icmp6(kind uint8, rest ...byte) segmentOf {
	return segmentOf{protocolICMPv6, append([]byte{kind, 0, 0, 0, 0, 0, 0, 0}, rest...)}
}

// first is the first n bytes of a packet, as an ICMP error quotes them.
func first(n int, p packetOf) []byte { return p.bytes[:n] }

// shortened leaves out the last n bytes, whatever the headers say.
func shortened(n int, b []byte) []byte { return b[:len(b)-n] }

// padded adds n bytes that belong to no packet.
func padded(n int, b []byte) []byte { return append(slices.Clone(b), make([]byte, n)...) }

// with overwrites bytes from offset on.
func with(offset int, bytes []byte, b []byte) []byte {
	b = slices.Clone(b)
	copy(b[offset:], bytes)
	return b
}

func arp(operation uint16, sender net.HardwareAddr, senderIP string, target net.HardwareAddr, targetIP string) packetOf {
	return packetOf{etherTypeARP, slices.Concat(
		be16(1, etherTypeIPv4), []byte{6, 4}, be16(operation),
		sender, netip.MustParseAddr(senderIP).AsSlice(),
		target, netip.MustParseAddr(targetIP).AsSlice())}
}

// nd is a neighbour discovery message: four bytes, perhaps addresses, options.
func nd(from, to string, kind uint8, body ...[]byte) packetOf {
	p := ip6(from, to, icmp6(kind, slices.Concat(body...)...))
	binary.BigEndian.PutUint16(p.bytes[42:], checksum(protocolICMPv6, p.bytes[8:40], p.bytes[40:]))
	return p
}

func linkOption(kind uint8, mac net.HardwareAddr) []byte {
	return append([]byte{kind, 1}, mac...)
}

// summed fills in the checksums of a TCP or UDP packet that has no options
// and no extension headers.
func summed(p packetOf) packetOf {
	b := slices.Clone(p.bytes)
	protocol, addresses, segment := b[9], b[12:20], b[20:]
	if p.etherType == etherTypeIPv6 {
		protocol, addresses, segment = b[6], b[8:40], b[40:]
	} else {
		binary.BigEndian.PutUint16(b[10:], folded(0, b[:20]))
	}
	at := 16
	if protocol == protocolUDP {
		at = 6
	}
	binary.BigEndian.PutUint16(segment[at:], checksum(protocol, addresses, segment))
	return packetOf{p.etherType, b}
}

// checksum is that of a transport segment whose checksum field is zero, with
// its pseudo-header (RFC 1071; RFC 9293, 3.1; RFC 8200, 8.1).
func checksum(protocol uint8, addresses, segment []byte) uint16 {
	return folded(uint32(len(segment))+uint32(protocol), addresses, segment)
}

// folded adds up blocks of even length.
func folded(sum uint32, blocks ...[]byte) uint16 {
	for _, b := range blocks {
		for at := 0; at+1 < len(b); at += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[at:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func addr(a string) netip.Addr { return netip.MustParseAddr(a) }

func addr16(a string) []byte { return addr(a).AsSlice() }
