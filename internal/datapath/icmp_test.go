package datapath

import (
	"slices"
	"testing"

	"github.com/rota-cluster/rota/internal/ownership"
)

// TestICMPErrorsGoToTheOwnerOfTheFlow: the errors come from a router, about
// packets that a shared address sent to a client.
func TestICMPErrorsGoToTheOwnerOfTheFlow(t *testing.T) {
	const router4, router6 = "203.0.113.1", "2001:db8:ffff::1"
	ours4 := ip4(web4, client4, tcp(80, 1234, tcpACK))
	ours6 := ip6(web6, client6, tcp(80, 1234, tcpACK))
	about4 := func(quoted []byte) []byte { return frame(ip4(router4, web4, icmp4(3, quoted...))) }
	about6 := func(quoted []byte) []byte { return frame(ip6(router6, web6, icmp6(2, quoted...))) }
	rows := []struct {
		words string
		frame []byte
		want  byState
	}{
		{"destination unreachable, the least that is quoted", about4(first(28, ours4)), goesOn},
		{"time exceeded", frame(ip4(router4, web4, icmp4(11, first(28, ours4)...))), goesOn},
		{"parameter problem", frame(ip4(router4, web4, icmp4(12, first(28, ours4)...))), goesOn},
		{"about a packet with IP options", about4(options4(8, ours4).bytes), goesOn},
		{"about UDP", about4(first(28, ip4(web4, client4, udp(53, 1234, 100)))), begins},
		{"about an echo reply", about4(ip4(web4, client4, icmp4(0)).bytes), begins},
		{"about a first fragment", about4(fragment4(1, 0, 24, ip4(web4, client4, udp(53, 1234, 100))).bytes), begins},
		{"packet too big", about6(ours6.bytes), goesOn},
		{"destination unreachable, IPv6", frame(ip6(router6, web6, icmp6(1, first(48, ours6)...))), goesOn},
		{"about UDP, IPv6", about6(ip6(web6, client6, udp(53, 1234, 8)).bytes), begins},
		{"about a packet with extension headers", about6(ip6(web6, client6, stacked(2, tcp(80, 1234, tcpACK))).bytes), goesOn},
		{"an error behind extension headers", frame(ip6(router6, web6, stacked(3, icmp6(2, ours6.bytes...)))), goesOn},

		{"nothing quoted", about4(nil), always(DropICMPInner)},
		{"quoted without ports", about4(first(23, ours4)), always(DropICMPInner)},
		{"quoted header cut off", about4(first(19, ours4)), always(DropICMPInner)},
		{"nothing quoted, IPv6", about6(nil), always(DropICMPInner)},
		{"quoted header cut off, IPv6", about6(first(39, ours6)), always(DropICMPInner)},
		{"quoted without ports, IPv6", about6(first(43, ours6)), always(DropICMPInner)},
		{"ports in the padding behind the packet", padded(20, about4(first(20, ours4))), always(DropICMPInner)},
		{"extension headers in the padding", padded(40, about6(first(40, ip6(web6, client6, stacked(1, tcp(80, 1, tcpACK)))))), always(DropICMPInner)},
		{"about a packet that another address sent", about4(first(28, ip4(other4, client4, tcp(80, 1234, tcpACK)))), always(DropICMPInner)},
		{"about a later fragment", about4(fragment4(1, 8, 64, ip4(web4, client4, udp(53, 1234, 100))).bytes), always(DropICMPInner)},
		{"about a later fragment, IPv6", about6(ip6(web6, client6, fragment6(1, 8, 64, udp(53, 1234, 100))).bytes), always(DropICMPInner)},
		{"quoted with another version", about4(first(40, ours6)), always(DropICMPInner)},
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

// TestICMPErrorHasTheFlowsBucket gives one bucket away, the flow's.
func TestICMPErrorHasTheFlowsBucket(t *testing.T) {
	o := testOptions()
	d := loadForTest(t, o)
	setAll(t, d, ownership.Mine)
	rows := []struct {
		words       string
		client      string
		flow, error []byte
	}{
		{"IPv4", client4, frame(ip4(client4, web4, tcp(1234, 80, tcpACK))),
			frame(ip4("203.0.113.1", web4, icmp4(3, ip4(web4, client4, tcp(80, 1234, tcpACK)).bytes...)))},
		{"IPv6", client6, frame(ip6(client6, web6, tcp(1234, 80, tcpACK))),
			frame(ip6("2001:db8:ffff::1", web6, icmp6(2, ip6(web6, client6, tcp(80, 1234, tcpACK)).bytes...)))},
	}
	for _, r := range rows {
		t.Run(r.words, func(t *testing.T) {
			states := slices.Repeat([]State{ownership.Mine}, int(o.Pools[0].Hasher.Buckets))
			states[o.Pools[0].Hasher.Bucket(addr(r.client), 1234, 80)] = ownership.Foreign
			if err := d.SetTable(0, states); err != nil {
				t.Fatal(err)
			}
			expectVerdict(t, d, r.flow, DropForeign)
			expectVerdict(t, d, r.error, DropForeign)
		})
	}
}
