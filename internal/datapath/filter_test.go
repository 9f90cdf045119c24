package datapath

import (
	"testing"

	"github.com/rota-cluster/rota/internal/ownership"
)

// byState are the verdicts of one frame when its bucket is foreign, mine,
// lingering, contested.
type byState [4]Verdict

var (
	// begins: a first packet of what has no connection.
	begins = byState{DropForeign, PassMine, DropLingeringNew, PassContestedNew}
	// goesOn: a TCP packet of what has no socket here.
	goesOn = byState{DropForeign, PassMine, DropLingeringNoSocket, DropContestedNoSocket}
)

func always(v Verdict) byState { return byState{v, v, v, v} }

// TestFilter: no row has a socket; see TestSockets.
func TestFilter(t *testing.T) {
	syn4 := ip4(client4, web4, tcp(1234, 80, tcpSYN))
	syn6 := ip6(client6, web6, tcp(1234, 80, tcpSYN))
	rows := []struct {
		words string
		frame []byte
		want  byState
	}{
		{"a SYN", frame(syn4), begins},
		{"a SYN, IPv6", frame(syn6), begins},
		{"a SYN to the other pool", frame(ip4(client4, mail4, tcp(1234, 25, tcpSYN))), begins},
		{"a SYN to the other pool, IPv6", frame(ip6(client6, mail6, tcp(1234, 25, tcpSYN))), begins},
		{"a SYN with ECN flags", frame(ip4(client4, web4, tcp(1234, 80, tcpSYN|0xc0))), begins},
		{"an ACK", frame(ip4(client4, web4, tcp(1234, 80, tcpACK))), goesOn},
		{"an ACK, IPv6", frame(ip6(client6, web6, tcp(1234, 80, tcpACK))), goesOn},
		{"a SYN with ACK, an answer to this node", frame(ip4(client4, web4, tcp(80, 1234, tcpSYN|tcpACK))), goesOn},
		{"a RST", frame(ip4(client4, web4, tcp(1234, 80, 0x04))), goesOn},
		{"a FIN", frame(ip4(client4, web4, tcp(1234, 80, 0x01|tcpACK))), goesOn},
		{"an ACK behind IP options", frame(options4(40, ip4(client4, web4, tcp(1234, 80, tcpACK)))), goesOn},
		{"UDP", frame(ip4(client4, web4, udp(1234, 53, 4))), begins},
		{"UDP, IPv6", frame(ip6(client6, web6, udp(1234, 53, 4))), begins},
		{"SCTP", frame(ip4(client4, web4, portless(protocolSCTP, 1, 2, 3, 4))), begins},
		{"GRE, which has no ports", frame(ip4(client4, web4, portless(47))), begins},
		{"an echo request", frame(ip4(client4, web4, icmp4(8))), begins},
		{"an echo request, IPv6", frame(ip6(client6, web6, icmp6(128))), begins},
		{"Ethernet padding behind the packet", padded(18, frame(syn4)), begins},

		{"one VLAN tag", frame(tagged(etherTypeVLAN, 100, syn4)), begins},
		{"one VLAN tag, IPv6", frame(tagged(etherTypeVLAN, 100, syn6)), begins},
		{"two VLAN tags", frame(tagged(etherTypeQinQ, 100, tagged(etherTypeVLAN, 7, syn6))), begins},

		{"another address", frame(ip4(client4, other4, tcp(1234, 80, tcpSYN))), always(PassUntouched)},
		{"another address, IPv6", frame(ip6(client6, other6, tcp(1234, 80, tcpSYN))), always(PassUntouched)},
		{"a beat's port at another address", frame(ip4(client4, other4, udp(1, beatPort, 4))), always(PassUntouched)},
		{"from a shared address to another", frame(ip4(web4, other4, tcp(80, 1234, tcpACK))), always(PassUntouched)},
		{"ARP for a shared address", padded(18, frame(arp(1, clientMAC, client4, make([]byte, 6), web4))), always(PassUntouched)},
		{"neither IP nor ARP", frame(packetOf{0x88cc, make([]byte, 46)}), always(PassUntouched)},
		{"three VLAN tags", frame(tagged(etherTypeQinQ, 1, tagged(etherTypeVLAN, 2, tagged(etherTypeVLAN, 3, syn4)))), always(PassUntouched)},
		{"neighbour solicitation to the group of a shared address", frame(nd(client6, "ff02::1:ff00:10", 135, addr16(web6))), always(PassUntouched)},

		{"a beat", frame(ip4(other4, web4, udp(7479, beatPort, 100))), always(PassBeat)},
		{"a beat, IPv6", frame(ip6(other6, web6, udp(7479, beatPort, 100))), always(PassBeat)},
		{"TCP to the beats' port", frame(ip4(client4, web4, tcp(1234, beatPort, tcpSYN))), begins},
		{"neighbour solicitation to a shared address", frame(nd(client6, web6, 135, addr16(web6))), always(PassNeighbour)},
		{"neighbour advertisement to a shared address", frame(nd(client6, web6, 136, addr16(client6))), always(PassNeighbour)},
		{"router advertisement to a shared address", frame(nd(client6, web6, 134, make([]byte, 8))), always(PassNeighbour)},
		{"redirect to a shared address", frame(nd(client6, web6, 137, make([]byte, 32))), always(PassNeighbour)},
		{"a multicast listener query, which is no neighbour discovery", frame(nd(client6, web6, 130, make([]byte, 16))), begins},
		{"type 135 of ICMP for IPv4", frame(ip4(client4, web4, icmp4(135))), begins},

		{"IPv6 with extension headers", frame(ip6(client6, web6, extension(protocolHopByHop, 0, extension(protocolDestinationOptions, 3, tcp(1234, 80, tcpACK))))), goesOn},
		{"IPv6 with six extension headers", frame(ip6(client6, web6, stacked(6, tcp(1234, 80, tcpSYN)))), begins},
		{"IPv6 with seven extension headers", frame(ip6(client6, web6, stacked(7, tcp(1234, 80, tcpSYN)))), always(DropExtensions)},
		{"IPv6 that ends with its header", frame(ip6(client6, web6, segmentOf{protocol: 59})), begins},
		{"an IPv6 fragment that is the whole datagram", frame(ip6(client6, web6, fragment6(9, 0, 20, tcp(1234, 80, tcpACK)))), goesOn},

		{"TCP header cut off", shortened(1, frame(syn4)), always(DropTruncated)},
		{"TCP header cut off, IPv6", shortened(1, frame(syn6)), always(DropTruncated)},
		{"TCP header shorter than one, padded", padded(20, frame(ip4(client4, web4, segmentOf{protocolTCP, make([]byte, 19)}))), always(DropTruncated)},
		{"ports cut off", frame(ip4(client4, web4, segmentOf{protocolUDP, make([]byte, 3)})), always(DropTruncated)},
		{"ICMP header cut off", frame(ip4(client4, web4, segmentOf{protocolICMP, make([]byte, 7)})), always(DropTruncated)},
		{"extension header cut off", frame(ip6(client6, web6, segmentOf{protocolHopByHop, make([]byte, 7)})), always(DropTruncated)},
		{"extension header longer than the packet", frame(ip6(client6, web6, segmentOf{protocolHopByHop, []byte{protocolTCP, 9, 0, 0, 0, 0, 0, 0}})), always(DropTruncated)},
		{"payload cut off", shortened(1, frame(ip4(client4, web4, udp(1234, 53, 4)))), always(DropTruncated)},
		{"a beat cut off", shortened(1, frame(ip4(other4, web4, udp(7479, beatPort, 100)))), always(DropTruncated)},
		{"IPv4 header cut off behind the destination", shortened(20, frame(options4(4, syn4))), always(DropTruncated)},
		{"IPv4 header shorter than one", with(14, []byte{0x44}, frame(syn4)), always(DropMalformed)},
		{"IPv4 shorter than its header", with(16, be16(19), frame(syn4)), always(DropMalformed)},
		{"EtherType IPv4, version 6", with(14, []byte{0x65}, frame(syn4)), always(DropMalformed)},
		{"EtherType IPv6, version 4", with(14, []byte{0x40}, frame(syn6)), always(DropMalformed)},
		{"merged segments, whose length is not told", with(16, be16(0), frame(syn4)), begins},
	}
	d := loadForTest(t, testOptions())
	for _, r := range rows {
		for s, want := range r.want {
			t.Run(r.words+", "+State(s).String(), func(t *testing.T) {
				setAll(t, d, State(s))
				expectVerdict(t, d, r.frame, want)
			})
		}
	}
}

// TestFilterXDP has the frames that the kernel's test runs do not take for tc.
func TestFilterXDP(t *testing.T) {
	rows := []struct {
		words string
		frame []byte
		want  byState
	}{
		{"headers longer than a page", frame(ip6(client6, web6, extension(protocolHopByHop, 255, extension(protocolDestinationOptions, 255, tcp(1234, 80, tcpACK))))), goesOn},
		{"no room for a destination", shortened(1, frame(ip4(client4, web4, segmentOf{protocol: protocolTCP}))), always(PassUntouched)},
		{"no room for a destination, IPv6", shortened(1, frame(ip6(client6, web6, segmentOf{protocol: protocolTCP}))), always(PassUntouched)},
	}
	d := loadForTest(t, testOptions())
	for _, r := range rows {
		for s, want := range r.want {
			t.Run(r.words+", "+State(s).String(), func(t *testing.T) {
				setAll(t, d, State(s))
				expectVerdictAt(t, d, "xdp", r.frame, want)
			})
		}
	}
}

// stacked is n extension headers before a segment.
func stacked(n int, s segmentOf) segmentOf {
	for range n {
		s = extension(protocolDestinationOptions, 0, s)
	}
	return s
}

func TestFuse(t *testing.T) {
	rows := []struct {
		words string
		frame []byte
		want  Verdict
	}{
		{"a SYN", frame(ip4(client4, web4, tcp(1234, 80, tcpSYN))), DropLease},
		{"an ACK, IPv6", frame(ip6(client6, web6, tcp(1234, 80, tcpACK))), DropLease},
		{"an echo request", frame(ip4(client4, web4, icmp4(8))), DropLease},
		{"a later fragment", frame(fragment4(1, 8, 16, ip4(client4, web4, udp(1, 2, 40)))), DropLease},
		{"a beat", frame(ip4(other4, web4, udp(7479, beatPort, 100))), PassBeat},
		{"neighbour discovery", frame(nd(client6, web6, 135, addr16(web6))), PassNeighbour},
		{"another address", frame(ip4(client4, other4, tcp(1234, 80, tcpSYN))), PassUntouched},
	}
	d := loadForTest(t, testOptions())
	expireBy := map[string]func(){
		"expired":                  d.Expire,
		"until now":                func() { _ = d.SetLease(Now()) },
		"until zero":               func() { _ = d.SetLease(0) },
		"both clocks just past":    func() { d.control.grant(fuse{jiffy: 1, until: 1}) },
		"in the past, by accident": func() { _ = d.SetLease(-1) },
	}
	for how, expire := range expireBy {
		setAll(t, d, ownership.Mine)
		expire()
		for _, r := range rows {
			t.Run(how+", "+r.words, func(t *testing.T) { expectVerdict(t, d, r.frame, r.want) })
		}
	}
}

func TestWithoutTableAndLeaseNothingIsAccepted(t *testing.T) {
	d := loadForTest(t, testOptions())
	syn := frame(ip4(client4, web4, tcp(1234, 80, tcpSYN)))
	expectVerdict(t, d, syn, DropLease)
	if err := d.SetLease(Now() + 1<<40); err != nil {
		t.Fatal(err)
	}
	expectVerdict(t, d, syn, DropForeign)
}
