package netcfg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Announce tells the segment that address a is reached at the cluster's MAC:
// a gratuitous ARP request and reply, or an unsolicited neighbour advertisement.
// The frames come from the node's own MAC, so that no switch learns the
// cluster's on a port. One that this host drops by itself, because a queue is full, is lost as it could be on the
// wire, which is no error: whoever needs the address asks for it.
func Announce(link Link, a netip.Addr, mac net.HardwareAddr) error {
	if len(mac) != 6 || len(link.MAC) != 6 {
		return fmt.Errorf("announce %s on %s: needs two Ethernet addresses, has %q and %q", a, link.Name, link.MAC, mac)
	}
	var frames [][]byte
	if a.Is4() {
		// Some neighbours heed only requests (RFC 5227 3), some only replies.
		frames = append(frames, gratuitousARP(arpRequest, link.MAC, mac, a), gratuitousARP(arpReply, link.MAC, mac, a))
	} else {
		source, ok := link.LinkLocal()
		if !ok {
			source = a
		}
		frames = append(frames, unsolicitedNA(link.MAC, mac, source, a))
	}
	if err := Transmit(link, frames); err != nil && !errors.Is(err, unix.ENOBUFS) {
		return fmt.Errorf("announce %s on %s: %w", a, link.Name, err)
	}
	return nil
}

// Transmit sends whole Ethernet frames, through the announcer as all others.
func Transmit(link Link, frames [][]byte) error {
	// Protocol 0: the socket receives nothing.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("packet socket (needs root or CAP_NET_RAW): %w", err)
	}
	defer unix.Close(fd)
	for _, f := range frames {
		to := &unix.SockaddrLinklayer{Ifindex: link.Index, Protocol: binary.NativeEndian.Uint16(f[12:]), Halen: 6}
		copy(to.Addr[:], f[:6])
		if err := unix.Sendto(fd, f, 0, to); err != nil {
			return err
		}
	}
	return nil
}

const (
	arpRequest = 1
	arpReply   = 2
)

var broadcastMAC = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func ethernet(destination, source net.HardwareAddr, etherType uint16) []byte {
	f := append([]byte{}, destination...)
	f = append(f, source...)
	return binary.BigEndian.AppendUint16(f, etherType)
}

// gratuitousARP is RFC 826 with sender and target the same (RFC 5227 3).
func gratuitousARP(operation uint16, source, mac net.HardwareAddr, a netip.Addr) []byte {
	f := ethernet(broadcastMAC, source, unix.ETH_P_ARP)
	f = append(f, 0, 1, 8, 0, 6, 4) // Ethernet, IPv4, lengths of their addresses
	f = binary.BigEndian.AppendUint16(f, operation)
	f = append(f, mac...)
	f = append(f, a.AsSlice()...)
	if operation == arpReply {
		f = append(f, mac...)
	} else {
		f = append(f, make([]byte, 6)...)
	}
	return append(f, a.AsSlice()...)
}

var allNodes = netip.MustParseAddr("ff02::1")

const (
	icmp6            = 58
	neighbourAdvert  = 136
	overrideFlag     = 0x20 // of the first of four bytes
	targetLinkLayer  = 2    // option type
	advertLen        = 32   // ICMPv6 header, flags, target, option
	hopLimitOfND     = 255  // RFC 4861 7.1.2: else it is dropped
	ipv6HeaderLen    = 40
	ethernetIPv6Type = 0x86dd
)

// unsolicitedNA is RFC 4861 4.4 and 7.2.6. It comes from the link-local address
// where there is one, so that the IP source too binds nothing to the node's MAC.
func unsolicitedNA(source, mac net.HardwareAddr, from, a netip.Addr) []byte {
	f := ethernet(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, source, ethernetIPv6Type)
	f = append(f, 0x60, 0, 0, 0, 0, advertLen, icmp6, hopLimitOfND)
	f = append(f, from.AsSlice()...)
	f = append(f, allNodes.AsSlice()...)
	m := []byte{neighbourAdvert, 0, 0, 0, overrideFlag, 0, 0, 0}
	m = append(m, a.AsSlice()...)
	m = append(m, targetLinkLayer, 1)
	m = append(m, mac...)
	binary.BigEndian.PutUint16(m[2:], icmp6Checksum(from, allNodes, m))
	return append(f, m...)
}

// icmp6Checksum is RFC 4443 2.3: over the pseudo-header of RFC 8200 8.1 and the message.
func icmp6Checksum(from, to netip.Addr, message []byte) uint16 {
	b := append(from.AsSlice(), to.AsSlice()...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(message)))
	b = append(b, 0, 0, 0, icmp6)
	b = append(b, message...)
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
