package datapath

import (
	"testing"

	"github.com/cilium/ebpf"

	"github.com/rota-cluster/rota/internal/ownership"
)

func TestFragmentsFollowTheirFirst(t *testing.T) {
	type step struct {
		frame []byte
		want  Verdict
	}
	big4 := ip4(client4, web4, udp(1234, 53, 100))
	big6 := udp(1234, 53, 100)
	ack6 := stacked(1, tcp(1234, 80, tcpACK))
	echo := ip4(client4, web4, icmp4(8, make([]byte, 100)...))
	part4 := func(id uint16, from, to int) []byte { return frame(fragment4(id, from, to, big4)) }
	part6 := func(id uint32, from, to int) []byte { return frame(ip6(client6, web6, fragment6(id, from, to, big6))) }
	rows := []struct {
		words string
		state State
		steps []step
	}{
		{"in order", ownership.Mine, []step{{part4(1, 0, 48), PassMine}, {part4(1, 48, 96), PassMine}, {part4(1, 96, 200), PassMine}}},
		{"in order, IPv6", ownership.Mine, []step{{part6(1, 0, 48), PassMine}, {part6(1, 48, 96), PassMine}, {part6(1, 96, 200), PassMine}}},
		{"of an echo request", ownership.Mine, []step{{frame(fragment4(1, 0, 48, echo)), PassMine}, {frame(fragment4(1, 48, 200, echo)), PassMine}}},
		{"of another node", ownership.Foreign, []step{{part4(2, 0, 48), DropForeign}, {part4(2, 48, 200), DropForeign}}},
		{"handed over, without a socket", ownership.Lingering, []step{{part4(3, 0, 48), DropLingeringNew}, {part4(3, 48, 200), DropLingeringNew}}},
		{"the first is missing", ownership.Mine, []step{{part4(4, 48, 96), DropFragment}, {part4(4, 0, 48), PassMine}, {part4(4, 96, 200), PassMine}}},
		{"the first is missing, IPv6", ownership.Mine, []step{{part6(4, 48, 96), DropFragment}, {part6(4, 0, 48), PassMine}}},
		{"of another datagram", ownership.Mine, []step{{part4(5, 0, 48), PassMine}, {part4(6, 48, 96), DropFragment}}},
		{"of another protocol", ownership.Mine, []step{
			{part4(7, 0, 48), PassMine}, {frame(fragment4(7, 48, 200, echo)), DropFragment}}},
		{"of another client", ownership.Mine, []step{
			{part4(8, 0, 48), PassMine}, {frame(fragment4(8, 48, 200, ip4("198.51.100.8", web4, udp(1, 53, 100)))), DropFragment}}},
		{"IPv6, the later one names another header", ownership.Mine, []step{
			{frame(ip6(client6, web6, fragment6(9, 0, 16, ack6))), DropTruncated},
			{frame(ip6(client6, web6, fragment6(9, 0, 28, segmentOf{ack6.protocol, append(ack6.bytes, make([]byte, 60)...)}))), PassMine},
			{frame(ip6(client6, web6, fragment6(9, 48, 60, segmentOf{protocolTCP, make([]byte, 60)}))), PassMine}}},
		{"to the beats' port", ownership.Mine, []step{
			{frame(fragment4(10, 0, 48, ip4(client4, web4, udp(1, beatPort, 100)))), PassMine}}},
		{"to another address", ownership.Mine, []step{
			{frame(fragment4(11, 48, 96, ip4(client4, other4, udp(1, 2, 100)))), PassUntouched}}},
	}
	for _, place := range []string{"xdp", "tc"} {
		d := loadForTest(t, testOptions()) // with nothing remembered
		for _, r := range rows {
			t.Run(r.words+", "+place, func(t *testing.T) {
				setAll(t, d, r.state)
				for _, s := range r.steps {
					expectVerdictAt(t, d, place, s.frame, s.want)
				}
			})
		}
	}
}

func TestAFirstFragmentIsForgottenNotTheNewest(t *testing.T) {
	d := loadForTest(t, testOptions())
	setAll(t, d, ownership.Mine)
	first := frame(fragment4(1, 0, 48, ip4(client4, web4, udp(1, 53, 100))))
	// The newest id overwrites the source's last bytes too: ids alone are too few.
	numbered := func(n uint32, f []byte) []byte {
		return with(14+14, be16(uint16(n>>16)), with(14+4, be16(uint16(n)), f))
	}
	newest := 2 * d.maps.RotaFragments.MaxEntries()
	for n := range newest + 1 {
		if _, err := d.programs.RotaXdp.Run(&ebpf.RunOptions{Data: numbered(n, first)}); err != nil {
			t.Fatal(err)
		}
	}
	later := frame(fragment4(1, 48, 96, ip4(client4, web4, udp(1, 53, 100))))
	expectVerdictAt(t, d, "xdp", numbered(newest, later), PassMine)
	expectVerdictAt(t, d, "xdp", numbered(0, later), DropFragment)
}
