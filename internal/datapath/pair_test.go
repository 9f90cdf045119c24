package datapath

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
	"github.com/rota-cluster/rota/internal/ownership"
)

// The client whose packets a test writes by hand. No stack has these
// addresses, so none answers in its place.
const scripted4, scripted6 = "192.0.2.3", "2001:db8::3"

const tcpFIN, tcpRST, tcpPSH = 0x01, 0x04, 0x08

// pair is two nodes and a client on one switch. The buckets begin on one node
// and are handed over to the other. A third is there if a test adds it.
type pair struct {
	t        *testing.T
	old, new *host
	nodes    []node           // both, and the third
	client   *netnstest.Space // the switch is its interface
	mac      net.HardwareAddr // of that
	sender   int              // packet socket on it
	wire     *netnstest.Capture
}

// node of a pair.
type node struct {
	*host
	name string
	own  netip.Addr
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{t: t, client: netnstest.New(t)}
	p.client.Do(func() error {
		snooping := false
		// A bridge without a MAC of its own takes a port's, and another when more come.
		attrs := netlink.LinkAttrs{Name: "switch0", HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 3, 1}}
		return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping})
	})
	p.client.Up("switch0")
	p.client.AddAddress("switch0", "192.0.2.2/24")
	p.client.AddAddress("switch0", "2001:db8::2/64")
	p.client.Do(func() error {
		l, err := netlink.LinkByName("switch0")
		if err != nil {
			return err
		}
		p.mac = l.Attrs().HardwareAddr
		p.sender, err = packetSocket(t, 0, l.Attrs().Index)
		return errors.Join(err, unix.Bind(p.sender, &unix.SockaddrLinklayer{Ifindex: l.Attrs().Index}))
	})
	p.old, p.new = p.add("old", "192.0.2.1", "2001:db8::1"), p.add("new", "192.0.2.4", "2001:db8::4")
	p.wire = p.client.Capture("switch0")
	p.begin()
	return p
}

// add a node that serves, with all buckets its own.
func (p *pair) add(name, own4, own6 string) *host {
	p.t.Helper()
	h := p.plug(name, own4+"/24", own6+"/64")
	h.Neighbour("node0", addr(scripted4), p.mac)
	h.Neighbour("node0", addr(scripted6), p.mac)
	h.attach(config.DatapathAuto, false)
	h.share()
	h.own()
	h.echo()
	p.nodes = append(p.nodes, node{h, name, addr(own4)})
	return h
}

// plug a host into a port of the switch.
func (p *pair) plug(port string, addresses ...string) *host {
	p.t.Helper()
	h := &host{Space: netnstest.New(p.t), t: p.t, reception: multicastReception}
	netnstest.Veth(h.Space, "node0", p.client, port)
	p.client.Do(func() error {
		below, err := netlink.LinkByName(port)
		if err != nil {
			return err
		}
		above, err := netlink.LinkByName("switch0")
		if err != nil {
			return err
		}
		return netlink.LinkSetMaster(below, above)
	})
	for _, a := range addresses {
		h.AddAddress("node0", a)
	}
	h.refresh()
	return h
}

func (p *pair) set(h *host, s State) {
	p.t.Helper()
	if err := h.datapath.SetTable(0, slices.Repeat([]State{s}, 64)); err != nil {
		p.t.Fatal(err)
	}
}

// begin gives everything to the old node.
func (p *pair) begin() {
	p.t.Helper()
	p.set(p.new, ownership.Foreign)
	p.set(p.old, ownership.Mine)
}

// handOver is what two nodes do, in this order, while the old one lingers.
func (p *pair) handOver() {
	p.t.Helper()
	p.set(p.old, ownership.Lingering)
	p.set(p.new, ownership.Contested)
}

// end is what they do when it lingers no more.
func (p *pair) end() {
	p.t.Helper()
	p.set(p.old, ownership.Foreign)
	p.set(p.new, ownership.Mine)
}

// settle returns when all nodes have dealt with what was sent so far, and
// what they sent has been captured.
func (p *pair) settle() {
	p.t.Helper()
	for _, n := range p.nodes {
		if err := ping(p.client, n.own); err != nil {
			p.t.Fatal(err)
		}
	}
	mark := frameFrom(p.mac, packetOf{0x88b5, binary.BigEndian.AppendUint64(make([]byte, 50), uint64(Now()))}) // IEEE 802: for experiments
	p.transmit(mark)
	netnstest.Until(p.t, "the capture has everything", func() bool {
		return slices.ContainsFunc(p.wire.Frames(), func(f netnstest.Frame) bool { return bytes.Equal(f.Bytes, mark) })
	})
}

func (p *pair) send(packet packetOf) {
	p.t.Helper()
	p.transmit(frameFrom(p.mac, summed(packet)))
}

func (p *pair) transmit(frame []byte) {
	p.t.Helper()
	if _, err := unix.Write(p.sender, frame); err != nil {
		p.t.Fatal(err)
	}
}

// in is the pair for a subtest.
func (p *pair) in(t *testing.T) *pair {
	q := *p
	q.t = t
	return &q
}

// name of the node that sent a frame; rota never sends from the cluster's MAC.
func (p *pair) name(f netnstest.Frame) string {
	for _, n := range p.nodes {
		if bytes.Equal(f.Bytes[6:12], n.link.MAC) {
			return n.name
		}
	}
	return ""
}

// reply is what a node sent to a scripted client.
type reply struct {
	node     string
	port     uint16 // the client's
	protocol uint8
	flags    uint8 // TCP
	seq, ack uint32
	payload  int
}

func (r reply) String() string {
	return fmt.Sprintf("%s: flags %02x seq %d ack %d, %d bytes", r.node, r.flags, r.seq, r.ack, r.payload)
}

// reply reads a frame; ok only if it is one.
func (p *pair) reply(f netnstest.Frame) (r reply, ok bool) {
	r.node = p.name(f)
	if f.Outgoing || r.node == "" || len(f.Bytes) < 14+28 {
		return r, false
	}
	var segment []byte
	switch ip := f.Bytes[14:]; binary.BigEndian.Uint16(f.Bytes[12:]) {
	case etherTypeIPv4:
		r.protocol, segment = ip[9], ip[20:binary.BigEndian.Uint16(ip[2:])]
	case etherTypeIPv6:
		r.protocol, segment = ip[6], ip[40:40+binary.BigEndian.Uint16(ip[4:])]
	default:
		return r, false
	}
	switch {
	case r.protocol == protocolUDP && len(segment) >= 8:
		r.payload = len(segment) - 8
	case r.protocol == protocolTCP && len(segment) >= 20:
		r.seq, r.ack = binary.BigEndian.Uint32(segment[4:]), binary.BigEndian.Uint32(segment[8:])
		r.flags, r.payload = segment[13], len(segment)-int(segment[12]>>4)*4
	default:
		return r, false
	}
	r.port = binary.BigEndian.Uint16(segment[2:])
	return r, true
}

// script is one flow of a scripted client.
type script struct {
	*pair
	v6           bool
	port, server uint16
}

// send is a TCP segment of the client.
func (s script) send(flags uint8, seq, ack uint32, payload string) {
	s.t.Helper()
	s.pair.send(s.packet(carrying(payload, numbered(seq, ack, tcp(s.port, s.server, flags)))))
}

func (s script) packet(segment segmentOf) packetOf {
	if s.v6 {
		return ip6(scripted6, web6, segment)
	}
	return ip4(scripted4, web4, segment)
}

// await is the first reply from a node that fits.
func (s script) await(what, node string, fits func(reply) bool) (found reply) {
	s.t.Helper()
	netnstest.Until(s.t, what+" comes from the "+node+" node", func() bool {
		all := s.seen()
		at := slices.IndexFunc(all, func(r reply) bool { return r.node == node && fits(r) })
		if at >= 0 {
			found = all[at]
		}
		return at >= 0
	})
	return found
}

// seen are all replies that have come so far.
func (s script) seen() (all []reply) {
	for _, f := range s.wire.Frames() {
		if r, ok := s.reply(f); ok && r.port == s.port {
			all = append(all, r)
		}
	}
	return all
}

// replies are all so far, once both nodes have dealt with everything.
func (s script) replies() []reply {
	s.t.Helper()
	s.settle()
	return s.seen()
}

// syn opens a connection and returns the sequence number of a node's SYN-ACK.
func (s script) syn(isn uint32, node string) uint32 {
	s.t.Helper()
	s.send(tcpSYN, isn, 0, "")
	return s.await("a SYN-ACK", node, func(r reply) bool { return r.flags == tcpSYN|tcpACK && r.ack == isn+1 }).seq
}

// open completes the handshake, and has four bytes echoed by the node.
func (s script) open(isn, theirs uint32, node string) {
	s.t.Helper()
	s.send(tcpACK, isn+1, theirs+1, "")
	s.send(tcpACK|tcpPSH, isn+1, theirs+1, "rota")
	s.await("an echo", node, func(r reply) bool { return r.payload == 4 && r.seq == theirs+1 && r.ack == isn+5 })
}

// goodbye accepts connections of a port and closes them at once.
func (h *host) goodbye(port string) {
	h.t.Helper()
	h.Do(func() error {
		l, err := net.Listen("tcp", ":"+port)
		if err != nil {
			return err
		}
		h.t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_ = conn.Close()
			}
		}()
		return nil
	})
}

// echoUDP answers on a shared address and port 53; only to one client, by a
// connected socket, if that is valid.
func (h *host) echoUDP(t *testing.T, shared netip.Addr, client netip.AddrPort) {
	t.Helper()
	h.Do(func() error {
		here := net.UDPAddrFromAddrPort(netip.AddrPortFrom(shared, 53))
		var conn *net.UDPConn
		var err error
		if client.IsValid() {
			conn, err = net.DialUDP("udp", here, net.UDPAddrFromAddrPort(client))
		} else {
			conn, err = net.ListenUDP("udp", here)
		}
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = conn.Close() })
		go func() {
			for buf := make([]byte, 1500); ; {
				n, from, err := conn.ReadFromUDPAddrPort(buf)
				if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
					return
				}
				if err != nil {
					continue // an ICMP error that came back
				}
				if client.IsValid() {
					_, _ = conn.Write(buf[:n])
				} else {
					_, _ = conn.WriteToUDPAddrPort(buf[:n], from)
				}
			}
		}()
		return nil
	})
}
