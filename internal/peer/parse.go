package peer

import (
	"encoding/binary"
	"net/netip"
)

// Fault says why a received frame was dropped.
type Fault uint8

const (
	// FaultNone: the frame is good.
	FaultNone Fault = iota
	// FaultTooShort: ends before its headers do.
	FaultTooShort
	// FaultNotUDP: not an IP datagram of UDP, or with IPv6 extension headers.
	FaultNotUDP
	// FaultFragment: one of several fragments.
	FaultFragment
	// FaultBadLength: lengths in the headers contradict each other or the frame.
	FaultBadLength
	// FaultBadChecksum: of the IPv4 header or of UDP.
	FaultBadChecksum
	// FaultRouted: a router has forwarded it; it does not come from this segment.
	FaultRouted

	// Faults is how many there are.
	Faults = iota
)

var faultNames = [Faults]string{"none", "too-short", "not-udp", "fragment", "bad-length", "bad-checksum", "routed"}

// String is the fault's name in logs, status and metrics.
func (f Fault) String() string {
	if int(f) < len(faultNames) {
		return faultNames[f]
	}
	return "unknown"
}

// ParseFrame takes an Ethernet frame apart. The payload is a part of b.
// Padding after the datagram is passed over.
func ParseFrame(b []byte) (Frame, Fault) {
	if len(b) < etherBytes {
		return Frame{}, FaultTooShort
	}
	f := Frame{DestinationMAC: MAC(b[0:6]), SourceMAC: MAC(b[6:12])}
	var udp []byte
	var fault Fault
	switch binary.BigEndian.Uint16(b[12:]) {
	case etherIPv4:
		udp, fault = f.parseIPv4(b[etherBytes:])
	case etherIPv6:
		udp, fault = f.parseIPv6(b[etherBytes:])
	default:
		fault = FaultNotUDP
	}
	if fault == FaultNone {
		fault = f.parseUDP(udp)
	}
	if fault != FaultNone {
		return Frame{}, fault
	}
	return f, FaultNone
}

func (f *Frame) parseIPv4(b []byte) (udp []byte, fault Fault) {
	if len(b) < ipv4Bytes {
		return nil, FaultTooShort
	}
	header, total := int(b[0]&0x0f)*4, int(binary.BigEndian.Uint16(b[2:]))
	switch {
	case b[0]>>4 != 4 || b[9] != protoUDP:
		return nil, FaultNotUDP
	case header < ipv4Bytes || total < header || total > len(b):
		return nil, FaultBadLength
	case fold(onesSum(b[:header])) != 0:
		return nil, FaultBadChecksum
	case binary.BigEndian.Uint16(b[6:])&0x3fff != 0: // offset and more-fragments
		return nil, FaultFragment
	case b[8] != hopLimit:
		return nil, FaultRouted
	}
	f.Source, f.Destination = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	return b[header:total], FaultNone
}

func (f *Frame) parseIPv6(b []byte) (udp []byte, fault Fault) {
	if len(b) < ipv6Bytes {
		return nil, FaultTooShort
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	switch {
	case b[0]>>4 != 6 || b[6] != protoUDP:
		return nil, FaultNotUDP
	case length > len(b)-ipv6Bytes:
		return nil, FaultBadLength
	case b[7] != hopLimit:
		return nil, FaultRouted
	}
	f.Source, f.Destination = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	return b[ipv6Bytes : ipv6Bytes+length], FaultNone
}

func (f *Frame) parseUDP(b []byte) Fault {
	if len(b) < udpBytes || int(binary.BigEndian.Uint16(b[4:])) != len(b) {
		return FaultBadLength
	}
	// Without a checksum: allowed over IPv4 only (RFC 768, RFC 8200 section 8.1).
	unsummed := b[6] == 0 && b[7] == 0 && f.Source.Is4()
	if !unsummed && (b[6] == 0 && b[7] == 0 || fold(pseudoSum(f.Source, f.Destination, len(b))+onesSum(b)) != 0) {
		return FaultBadChecksum
	}
	f.SourcePort, f.DestinationPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	f.Payload = b[udpBytes:]
	return FaultNone
}
