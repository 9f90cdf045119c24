package datapath

import (
	"bytes"
	"encoding/binary"
	"net"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
)

// outgoing are messages of a node, what they look like when they left by the
// service interface, and whether they speak of a shared address.
func outgoing() []outgoingRow {
	none := make(net.HardwareAddr, 6)
	const linkLocal, allNodes = "fe80::1", "ff02::1"
	from := func(p packetOf) []byte { return frameFrom(nodeMAC, p) }
	ns := func(source string, options ...[]byte) packetOf {
		return nd(source, "ff02::1:ff00:7", 135, append([][]byte{addr16(client6)}, options...)...)
	}
	na := func(target string, options ...[]byte) packetOf {
		return nd(linkLocal, allNodes, 136, append([][]byte{addr16(target)}, options...)...)
	}
	nonce := []byte{14, 1, 1, 2, 3, 4, 5, 6}
	arpFor := func(mac net.HardwareAddr, ip string) packetOf { return arp(2, mac, ip, clientMAC, client4) }
	return []outgoingRow{
		{"ARP reply", from(arpFor(nodeMAC, web4)), from(arpFor(testMAC, web4)), true},
		{"ARP reply of the other pool", from(arpFor(nodeMAC, mail4)), from(arpFor(mailMAC, mail4)), true},
		{"ARP request with a shared sender", from(arp(1, nodeMAC, web4, none, client4)), from(arp(1, testMAC, web4, none, client4)), true},
		{"gratuitous ARP", from(arp(1, nodeMAC, web4, none, web4)), from(arp(1, testMAC, web4, none, web4)), true},
		{"gratuitous ARP reply, which binds its target too", from(arp(2, nodeMAC, web4, nodeMAC, web4)), from(arp(2, testMAC, web4, testMAC, web4)), true},
		{"ARP reply whose target alone is shared", from(arp(2, nodeMAC, other4, nodeMAC, mail4)), from(arp(2, nodeMAC, other4, mailMAC, mail4)), true},
		{"ARP reply to another node's request with a shared sender", from(arp(2, nodeMAC, other4, testMAC, web4)), nil, false},
		{"ARP reply, padded", padded(18, from(arpFor(nodeMAC, web4))), padded(18, from(arpFor(testMAC, web4))), true},
		{"ARP reply in a VLAN", from(tagged(etherTypeVLAN, 7, arpFor(nodeMAC, web4))), from(tagged(etherTypeVLAN, 7, arpFor(testMAC, web4))), true},
		{hasClusterMAC, from(arpFor(testMAC, web4)), from(arpFor(testMAC, web4)), true},
		{"ARP request of the node for a shared address", from(arp(1, nodeMAC, other4, none, web4)), nil, false},
		{"ARP probe for a shared address", from(arp(1, nodeMAC, "0.0.0.0", none, web4)), nil, false},
		{"ARP reply of the node", from(arpFor(nodeMAC, other4)), nil, false},
		{"ARP cut off behind the sender", shortened(4, from(arpFor(nodeMAC, web4))), nil, false},

		{"NA with the target's MAC", from(na(web6, linkOption(2, nodeMAC))), from(na(web6, linkOption(2, testMAC))), true},
		{"NA of the other pool", from(na(mail6, linkOption(2, nodeMAC))), from(na(mail6, linkOption(2, mailMAC))), true},
		{"NA with another option first", from(na(web6, nonce, linkOption(2, nodeMAC))), from(na(web6, nonce, linkOption(2, testMAC))), true},
		{"NA with the MAC twice", from(na(web6, linkOption(2, nodeMAC), linkOption(2, nodeMAC))), from(na(web6, linkOption(2, testMAC), linkOption(2, testMAC))), true},
		{"NA in a VLAN", from(tagged(etherTypeVLAN, 7, na(web6, linkOption(2, nodeMAC)))), from(tagged(etherTypeVLAN, 7, na(web6, linkOption(2, testMAC)))), true},
		{"NA without options", from(na(web6)), from(na(web6)), true},
		{"NA with an option of the sender's MAC, which NA has not", from(na(web6, linkOption(1, nodeMAC))), from(na(web6, linkOption(1, nodeMAC))), true},
		{"NA from a shared address about another", from(nd(web6, allNodes, 136, addr16(other6), linkOption(2, nodeMAC))), nil, false},
		{"NA of the node", from(na(other6, linkOption(2, nodeMAC))), nil, false},
		{"NS from a shared address", from(ns(web6, linkOption(1, nodeMAC))), from(ns(web6, linkOption(1, testMAC))), true},
		{"NS from a shared address, with a nonce", from(ns(web6, linkOption(1, nodeMAC), nonce)), from(ns(web6, linkOption(1, testMAC), nonce)), true},
		{"NS of the node for a shared address", from(nd(linkLocal, "ff02::1:ff00:10", 135, addr16(web6), linkOption(1, nodeMAC))), nil, false},
		{"router solicitation from a shared address", from(nd(web6, "ff02::2", 133, linkOption(1, nodeMAC))), from(nd(web6, "ff02::2", 133, linkOption(1, testMAC))), true},
		{"router advertisement from a shared address", from(nd(web6, allNodes, 134, make([]byte, 8), linkOption(1, nodeMAC))), from(nd(web6, allNodes, 134, make([]byte, 8), linkOption(1, testMAC))), true},
		{"redirect to a shared address", from(nd(linkLocal, client6, 137, addr16(web6), addr16(other6), linkOption(2, nodeMAC))), from(nd(linkLocal, client6, 137, addr16(web6), addr16(other6), linkOption(2, testMAC))), true},
		{"NA behind an extension header", from(ip6(linkLocal, allNodes, stacked(1, segmentOf{protocolICMPv6, na(web6, linkOption(2, nodeMAC)).bytes[40:]}))),
			from(ip6(linkLocal, allNodes, stacked(1, segmentOf{protocolICMPv6, na(web6, linkOption(2, testMAC)).bytes[40:]}))), true},

		{"NA with an option of no length", from(na(web6, make([]byte, 8), linkOption(2, nodeMAC))), drop, true},
		{"NA with a MAC of another length", from(na(web6, []byte{2, 2, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0})), drop, true},
		{"NA with an option cut off", from(ip6(linkLocal, allNodes, segmentOf{protocolICMPv6, append(na(web6).bytes[40:], 2, 1, 0, 0)})), nil, true},
		{"NA with the end of an option cut off", shortened(2, from(na(web6, linkOption(2, nodeMAC)))), drop, true},
		{"NA with too many options", from(na(web6, slices.Repeat(nonce, 16), linkOption(2, nodeMAC))), drop, true},
		{"NA in fragments", from(ip6(linkLocal, allNodes, fragment6(1, 0, 24, segmentOf{protocolICMPv6, na(web6, linkOption(2, nodeMAC)).bytes[40:]}))), drop, true},

		{"echo reply from a shared address", from(ip6(web6, client6, icmp6(129))), nil, false},
		{"TCP from a shared address", from(ip4(web4, client4, tcp(80, 1234, tcpACK))), nil, false},
	}
}

// outgoingRow: after is nil for a frame left alone, drop for one that may not leave.
type outgoingRow struct {
	words         string
	before, after []byte
	shared        bool
}

var drop = []byte("dropped")

func TestAnnouncer(t *testing.T) {
	d := loadForTest(t, testOptions())
	for _, r := range outgoing() {
		t.Run(r.words, func(t *testing.T) {
			want := what{out: r.before}
			switch {
			case bytes.Equal(r.after, drop):
				want.verdict, want.dropped = DropUnannounceable, true
			case r.shared:
				want.verdict = PassAnnounced
			}
			if r.after != nil {
				want.out = r.after
			}
			expectOutgoing(t, d, d.programs.RotaAnnounce, r.before, want)
		})
	}
}

func TestGuard(t *testing.T) {
	d := loadForTest(t, testOptions())
	for _, r := range outgoing() {
		t.Run(r.words, func(t *testing.T) {
			want := what{out: r.before}
			if r.shared && r.words != hasClusterMAC {
				want.verdict, want.dropped = DropGuard, true
			}
			expectOutgoing(t, d, d.programs.RotaGuard, r.before, want)
		})
		if r.after == nil || bytes.Equal(r.after, drop) || bytes.Equal(r.after, r.before) {
			continue
		}
		t.Run(r.words+", as the announcer leaves it", func(t *testing.T) {
			expectOutgoing(t, d, d.programs.RotaGuard, r.after, what{out: r.after})
		})
	}
}

const hasClusterMAC = "ARP reply that has the cluster's MAC"

func expectOutgoing(t *testing.T, d *Datapath, p *ebpf.Program, frame []byte, want what) {
	t.Helper()
	got, err := run(d, p, frame)
	if err != nil {
		t.Fatal(err)
	}
	if got.verdict != want.verdict || got.more != PassUntouched || got.dropped != want.dropped {
		t.Errorf("verdict %v (and %v), dropped %v; want %v, %v", got.verdict, got.more, got.dropped, want.verdict, want.dropped)
	}
	if !want.dropped && !bytes.Equal(got.out, want.out) {
		t.Errorf("left as\n%x want\n%x, was\n%x", got.out, want.out, frame)
	}
}

// TestAnnouncedChecksumsAreWhole: the rows above compare whole frames; here
// the receiver's sum over what came out must come to zero.
func TestAnnouncedChecksumsAreWhole(t *testing.T) {
	d := loadForTest(t, testOptions())
	for i := range 256 {
		mac := net.HardwareAddr{2, byte(i), byte(i * 7), 0xff, byte(255 - i), byte(i * 31)}
		got, err := run(d, d.programs.RotaAnnounce, frameFrom(mac, nd("fe80::1", "ff02::1", 136, addr16(web6), linkOption(2, mac))))
		if err != nil {
			t.Fatal(err)
		}
		p := got.out[14:]
		if sum := checksum(protocolICMPv6, p[8:40], p[40:]); sum != 0 {
			t.Fatalf("from %v: the checksum %#04x is off by %#04x", mac, binary.BigEndian.Uint16(p[42:]), sum)
		}
	}
}
