package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// MAC is an Ethernet address.
type MAC [6]byte

func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// Frame is an Ethernet frame with one unfragmented UDP datagram.
type Frame struct {
	SourceMAC, DestinationMAC   MAC
	Source, Destination         netip.Addr // both IPv4 or both IPv6, without zone
	SourcePort, DestinationPort uint16
	Payload                     []byte
}

// Header sizes in bytes, and what stands in the headers.
const (
	etherBytes = 14
	ipv4Bytes  = 20 // RFC 791, without options
	ipv6Bytes  = 40 // RFC 8200
	udpBytes   = 8  // RFC 768

	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
	protoUDP  = 17

	// hopLimit is the highest there is, and the only one taken: a frame that a
	// router has forwarded has less (RFC 5082), so nobody beyond the segment
	// can send beats. VRRP does the same (RFC 9568 section 5.1.1.3).
	hopLimit = 255

	// trafficClass is DSCP CS6, network control (RFC 4594 section 3.2): the
	// class of routing protocols, which a full switch drops last.
	trafficClass = 48 << 2
)

// MaxPayload is the longest payload whose frame fits an interface's MTU, for
// a destination of the given family.
func MaxPayload(mtu int, destination netip.Addr) int {
	if destination.Unmap().Is4() {
		return max(0, mtu-ipv4Bytes-udpBytes)
	}
	return max(0, mtu-ipv6Bytes-udpBytes)
}

var errFamilies = errors.New("source and destination must both be IPv4 or both IPv6")

// AppendFrame writes the frame after b, with its checksums.
func AppendFrame(b []byte, f *Frame) ([]byte, error) {
	src, dst := f.Source.Unmap(), f.Destination.Unmap()
	if !src.IsValid() || src.Is4() != dst.Is4() || !dst.IsValid() {
		return b, fmt.Errorf("%v to %v: %w", f.Source, f.Destination, errFamilies)
	}
	udpLength := udpBytes + len(f.Payload)
	if udpLength+ipv4Bytes > 0xffff {
		return b, fmt.Errorf("a payload of %d bytes fits no UDP datagram", len(f.Payload))
	}
	b = append(b, f.DestinationMAC[:]...)
	b = append(b, f.SourceMAC[:]...)
	if dst.Is4() {
		b = appendIPv4(b, src, dst, udpLength)
	} else {
		b = appendIPv6(b, src, dst, udpLength)
	}
	start := len(b)
	b = binary.BigEndian.AppendUint16(b, f.SourcePort)
	b = binary.BigEndian.AppendUint16(b, f.DestinationPort)
	b = binary.BigEndian.AppendUint16(b, uint16(udpLength))
	b = append(b, 0, 0)
	b = append(b, f.Payload...)
	sum := fold(pseudoSum(src, dst, udpLength) + onesSum(b[start:]))
	if sum == 0 { // RFC 768: 0 means none
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(b[start+6:], sum)
	return b, nil
}

// appendIPv4 writes Ethernet type and IPv4 header. The datagram may not be
// fragmented, so it needs no identification (RFC 6864 section 4.1).
func appendIPv4(b []byte, src, dst netip.Addr, udpLength int) []byte {
	const dontFragment = 0x4000
	b = binary.BigEndian.AppendUint16(b, etherIPv4)
	start := len(b)
	b = append(b, 0x45, trafficClass)
	b = binary.BigEndian.AppendUint16(b, uint16(ipv4Bytes+udpLength))
	b = binary.BigEndian.AppendUint16(b, 0)
	b = binary.BigEndian.AppendUint16(b, dontFragment)
	b = append(b, hopLimit, protoUDP, 0, 0)
	s, d := src.As4(), dst.As4()
	b = append(b, s[:]...)
	b = append(b, d[:]...)
	binary.BigEndian.PutUint16(b[start+10:], fold(onesSum(b[start:])))
	return b
}

func appendIPv6(b []byte, src, dst netip.Addr, udpLength int) []byte {
	b = binary.BigEndian.AppendUint16(b, etherIPv6)
	b = binary.BigEndian.AppendUint32(b, 6<<28|trafficClass<<20)
	b = binary.BigEndian.AppendUint16(b, uint16(udpLength))
	b = append(b, protoUDP, hopLimit)
	s, d := src.As16(), dst.As16()
	b = append(b, s[:]...)
	return append(b, d[:]...)
}

// pseudoSum is the unfolded sum of the pseudo header (RFC 768; RFC 8200 section 8.1).
func pseudoSum(src, dst netip.Addr, udpLength int) uint64 {
	sum := uint64(protoUDP) + uint64(udpLength)
	if src.Is4() {
		s, d := src.As4(), dst.As4()
		return sum + onesSum(s[:]) + onesSum(d[:])
	}
	s, d := src.As16(), dst.As16()
	return sum + onesSum(s[:]) + onesSum(d[:])
}

// onesSum adds up 16-bit words; a last odd byte is the upper half of its word.
// Longer words give the same once folded, because 2^16 is 1 modulo 2^16-1.
func onesSum(b []byte) (sum uint64) {
	for len(b) >= 8 {
		w := binary.BigEndian.Uint64(b)
		sum += w>>32 + w&0xffffffff
		b = b[8:]
	}
	for len(b) >= 2 {
		sum += uint64(b[0])<<8 | uint64(b[1])
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	return sum
}

// fold makes the Internet checksum of a sum (RFC 1071).
func fold(sum uint64) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
