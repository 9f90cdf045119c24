package datapath

import (
	"encoding/binary"
	"net/netip"
)

// Protocol numbers: include/uapi/linux/in.h, in6.h, if_ether.h.
const (
	etherTypeIPv4 = 0x0800
	etherTypeARP  = 0x0806
	etherTypeVLAN = 0x8100
	etherTypeQinQ = 0x88a8
	etherTypeIPv6 = 0x86dd

	protocolHopByHop           = 0
	protocolICMP               = 1
	protocolTCP                = 6
	protocolUDP                = 17
	protocolDCCP               = 33
	protocolRouting            = 43
	protocolFragment           = 44
	protocolESP                = 50
	protocolAH                 = 51
	protocolICMPv6             = 58
	protocolDestinationOptions = 60
	protocolSCTP               = 132
	protocolUDPLite            = 136

	tcpSYN = 0x02
	tcpACK = 0x10
)

// maxExtensions is how many IPv6 extension headers the programs follow.
const maxExtensions = 6

// modelHeader is the network header of a packet.
type modelHeader struct {
	source, destination          netip.Addr
	protocol                     uint8 // of payload
	id                           uint32
	firstFragment, laterFragment bool
	payload                      []byte  // as far as frame and packet go
	fault                        Verdict // 0 if there is none
	headerComplete               bool    // payload can be relied on, also with DropTruncated
}

func (h modelHeader) icmpProtocol() uint8 {
	if h.source.Is4() {
		return protocolICMP
	}
	return protocolICMPv6
}

func (h modelHeader) isICMPError(kind uint8) bool {
	if h.source.Is4() {
		return kind == 3 || kind == 4 || kind == 5 || kind == 11 || kind == 12
	}
	return kind < 128
}

// readModelHeader reads a frame up to the transport header. It is false if
// the frame holds no IP header with a destination.
func readModelHeader(frame []byte) (modelHeader, bool) {
	if len(frame) < 14 {
		return modelHeader{}, false
	}
	kind, rest := binary.BigEndian.Uint16(frame[12:]), frame[14:]
	for tags := 0; tags < 2 && (kind == etherTypeVLAN || kind == etherTypeQinQ); tags++ {
		if len(rest) < 4 {
			return modelHeader{}, false
		}
		kind, rest = binary.BigEndian.Uint16(rest[2:]), rest[4:]
	}
	switch kind {
	case etherTypeIPv4:
		h := readModelIP(true, rest)
		return h, h.destination.IsValid()
	case etherTypeIPv6:
		h := readModelIP(false, rest)
		return h, h.destination.IsValid()
	}
	return modelHeader{}, false
}

func readModelIP(v4 bool, b []byte) modelHeader {
	if v4 {
		return readModelIPv4(b)
	}
	return readModelIPv6(b)
}

func readModelIPv4(b []byte) modelHeader {
	if len(b) < 20 {
		return modelHeader{fault: DropTruncated}
	}
	h := modelHeader{
		source:      netip.AddrFrom4([4]byte(b[12:])),
		destination: netip.AddrFrom4([4]byte(b[16:])),
		protocol:    b[9],
		id:          uint32(binary.BigEndian.Uint16(b[4:])),
	}
	header, length := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	if length == 0 {
		length = len(b) // merged segments beyond 64 KiB
	}
	if b[0]>>4 != 4 || header < 20 || binary.BigEndian.Uint16(b[2:]) != 0 && length < header {
		h.fault = DropMalformed
		return h
	}
	fragment := binary.BigEndian.Uint16(b[6:])
	h.laterFragment = fragment&0x1fff != 0
	h.firstFragment = !h.laterFragment && fragment&0x2000 != 0
	h.cut(b, header, length)
	return h
}

// cut takes the payload out of a packet, or as much as is there.
func (h *modelHeader) cut(b []byte, header, length int) {
	h.headerComplete = true
	if length > len(b) {
		h.fault = DropTruncated
		length = len(b)
	}
	h.payload = b[min(header, length):length]
}

func readModelIPv6(b []byte) modelHeader {
	if len(b) < 40 {
		return modelHeader{fault: DropTruncated}
	}
	h := modelHeader{
		source:      netip.AddrFrom16([16]byte(b[8:])),
		destination: netip.AddrFrom16([16]byte(b[24:])),
		protocol:    b[6],
	}
	if b[0]>>4 != 6 {
		h.fault = DropMalformed
		return h
	}
	length := 40 + int(binary.BigEndian.Uint16(b[4:]))
	if length == 40 {
		length = len(b) // merged segments beyond 64 KiB, or nothing follows
	}
	h.cut(b, 40, length)
	h.skipExtensions()
	return h
}

func isExtension(protocol uint8) bool {
	switch protocol {
	case protocolHopByHop, protocolRouting, protocolDestinationOptions, protocolFragment:
		return true
	}
	return false
}

// skipExtensions goes on to the transport header, or into a later fragment.
func (h *modelHeader) skipExtensions() {
	for range maxExtensions {
		if !isExtension(h.protocol) || h.laterFragment {
			return
		}
		if len(h.payload) < 8 {
			h.fault, h.headerComplete = DropTruncated, false
			return
		}
		kind, e := h.protocol, h.payload
		size := (int(e[1]) + 1) * 8
		if kind == protocolFragment {
			size = 8
			fragment := binary.BigEndian.Uint16(e[2:])
			h.id = binary.BigEndian.Uint32(e[4:])
			h.laterFragment = fragment&0xfff8 != 0
			h.firstFragment = !h.laterFragment && fragment&1 != 0
		}
		h.protocol, h.payload = e[0], e[min(size, len(e)):]
	}
	if isExtension(h.protocol) && !h.laterFragment {
		h.fault, h.headerComplete = DropExtensions, false
	}
}
