package datapath

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/rota-cluster/rota/internal/ownership"
)

// Model is the filter's decision in plain Go, written to be read rather than
// to be fast. Tests hold it against the programs on random packets. The zero
// values of its fields are those of programs just loaded.
type Model struct {
	Options Options
	Tables  [][]State // by pool; nil is all foreign
	Lease   bool      // in force
	// TCP tells which socket a flow has here. nil is none, ever. No listener of
	// the model sends SYN cookies.
	TCP func(remote, local netip.AddrPort) ModelSocket

	datagrams map[modelDatagram]modelFlow
}

// ModelSocket is a TCP socket, as far as the filter looks at it. The zero value is a listener, or none.
type ModelSocket struct {
	Connection bool   // established, opening, closing or in TIME_WAIT
	Opening    bool   // a SYN-ACK was sent …
	ISN        uint32 // … with this sequence number
}

// modelFlow is what a packet says about its flow, seen from this node.
type modelFlow struct {
	remote, local netip.AddrPort
	protocol      uint8
	opening       bool // TCP SYN without ACK
}

// modelPacket is a packet to a shared address, read as far as possible.
type modelPacket struct {
	header   modelHeader
	flow     modelFlow
	icmpType uint8 // of ICMP and ICMPv6
	acks     bool  // a TCP header with ACK …
	ack      uint32
}

// modelDatagram is what the fragments of one datagram have in common.
type modelDatagram struct {
	source, destination netip.Addr
	id                  uint32
	protocol            uint8 // 0 for IPv6
}

// Judge is what the filter says to an Ethernet frame. It remembers first fragments.
func (m *Model) Judge(frame []byte) Verdict {
	h, shared := readModelHeader(frame)
	pool := m.poolOf(h.destination)
	if !shared || pool < 0 {
		return PassUntouched
	}
	if h.fault != 0 {
		return h.fault
	}
	p, fault := readModelPacket(h)
	switch {
	case fault != 0:
		return fault
	case p.isBeat(m.Options.BeatPort):
		return PassBeat
	case p.isNeighbourDiscovery():
		return PassNeighbour
	case !m.Lease:
		return DropLease
	}
	if known := m.rememberFragment(&p); !known {
		return DropFragment
	}
	return m.judgeBucket(pool, p)
}

func (m *Model) poolOf(a netip.Addr) int {
	for i, p := range m.Options.Pools {
		for _, shared := range p.Addresses {
			if shared.Unmap() == a {
				return i
			}
		}
	}
	return -1
}

// rememberFragment keeps what a first fragment says and gives it to the later
// ones. It tells whether the packet's flow is known.
func (m *Model) rememberFragment(p *modelPacket) bool {
	h := p.header
	key := modelDatagram{source: h.source, destination: h.destination, id: h.id}
	if h.source.Is4() {
		key.protocol = h.protocol
	}
	switch {
	case h.laterFragment:
		flow, known := m.datagrams[key]
		p.flow = flow
		return known
	case h.firstFragment:
		if m.datagrams == nil {
			m.datagrams = make(map[modelDatagram]modelFlow)
		}
		m.datagrams[key] = p.flow
	}
	return true
}

func (m *Model) retires(pool int, a netip.Addr) bool {
	return slices.ContainsFunc(m.Options.Pools[pool].Retiring, func(r netip.Addr) bool { return r.Unmap() == a })
}

func (m *Model) judgeRetiring(p modelPacket, goesOn bool) Verdict {
	switch {
	case !goesOn:
		return DropRetiring
	case m.hasSocket(p):
		return PassLingering
	default:
		return DropLingeringNoSocket
	}
}

func (m *Model) judgeBucket(pool int, p modelPacket) Verdict {
	f := p.flow
	bucket := m.Options.Pools[pool].Hasher.Bucket(f.remote.Addr(), f.remote.Port(), f.local.Port())
	state := ownership.Foreign
	if m.Tables != nil && m.Tables[pool] != nil {
		state = m.Tables[pool][bucket]
	}
	goesOn := f.protocol == protocolTCP && !f.opening
	if state != ownership.Foreign && m.retires(pool, p.header.destination) {
		return m.judgeRetiring(p, goesOn)
	}
	switch state {
	case ownership.Foreign:
		return DropForeign
	case ownership.Mine:
		return PassMine
	case ownership.Lingering:
		switch {
		case goesOn && m.hasSocket(p):
			return PassLingering
		case goesOn:
			return DropLingeringNoSocket
		}
		return DropLingeringNew
	case ownership.Contested:
		switch {
		case goesOn && m.hasSocket(p):
			return PassContested
		case goesOn:
			return DropContestedNoSocket
		}
		return PassContestedNew
	}
	return DropInternal
}

// hasSocket: a connection that is opening has only what acknowledges its SYN-ACK,
// as far as a packet acknowledges anything.
func (m *Model) hasSocket(p modelPacket) bool {
	if m.TCP == nil {
		return false
	}
	s := m.TCP(p.flow.remote, p.flow.local)
	return s.Connection && (!s.Opening || !p.acks || p.ack == s.ISN+1)
}

func (p modelPacket) whole() bool {
	return !p.header.firstFragment && !p.header.laterFragment
}

func (p modelPacket) isBeat(port uint16) bool {
	return p.whole() && p.header.protocol == protocolUDP && p.flow.local.Port() == port
}

func (p modelPacket) isNeighbourDiscovery() bool {
	return p.whole() && p.header.source.Is6() && p.header.protocol == protocolICMPv6 &&
		p.icmpType >= 133 && p.icmpType <= 137
}

// readModelPacket reads the transport header, or says what is wrong with it.
func readModelPacket(h modelHeader) (modelPacket, Verdict) {
	p := modelPacket{header: h}
	p.flow = modelFlow{
		remote:   netip.AddrPortFrom(h.source, 0),
		local:    netip.AddrPortFrom(h.destination, 0),
		protocol: h.protocol,
	}
	if h.laterFragment {
		return p, 0
	}
	if h.protocol == h.icmpProtocol() {
		return p.readICMP()
	}
	if h.protocol == protocolTCP {
		if len(h.payload) < 20 {
			return p, DropTruncated
		}
		p.flow.opening = h.payload[13]&(tcpSYN|tcpACK) == tcpSYN
		p.acks, p.ack = h.payload[13]&tcpACK != 0, binary.BigEndian.Uint32(h.payload[8:])
	}
	source, destination, fits := modelPorts(h.protocol, h.payload)
	if !fits {
		return p, DropTruncated
	}
	p.flow.remote = netip.AddrPortFrom(h.source, source)
	p.flow.local = netip.AddrPortFrom(h.destination, destination)
	return p, 0
}

// readICMP takes an error for a packet of the flow that it is about: ours, so
// source and destination are swapped.
func (p modelPacket) readICMP() (modelPacket, Verdict) {
	h := p.header
	if len(h.payload) < 8 {
		return p, DropTruncated
	}
	p.icmpType = h.payload[0]
	if !h.isICMPError(p.icmpType) {
		return p, 0
	}
	inner := readModelIP(h.source.Is4(), h.payload[8:])
	if inner.fault == DropTruncated && inner.headerComplete {
		inner.fault = 0 // an error quotes the beginning only
	}
	if inner.fault != 0 || inner.laterFragment || inner.source != h.destination {
		return p, DropICMPInner
	}
	local, remote, fits := modelPorts(inner.protocol, inner.payload)
	if !fits {
		return p, DropICMPInner
	}
	p.flow.remote = netip.AddrPortFrom(inner.destination, remote)
	p.flow.local = netip.AddrPortFrom(h.destination, local)
	p.flow.protocol = inner.protocol
	return p, 0
}

// modelPorts are a protocol's ports, or what CLUSTERIP takes for them.
func modelPorts(protocol uint8, payload []byte) (source, destination uint16, fits bool) {
	at := 0
	switch protocol {
	case protocolTCP, protocolUDP, protocolDCCP, protocolESP, protocolSCTP, protocolUDPLite:
	case protocolAH:
		at = 4
	default:
		return 0, 0, true
	}
	if len(payload) < at+4 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(payload[at:]), binary.BigEndian.Uint16(payload[at+2:]), true
}
