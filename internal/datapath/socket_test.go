package datapath

import (
	"fmt"
	"testing"

	"github.com/rota-cluster/rota/internal/ownership"
)

// TestSockets: in a lingering or contested bucket the socket decides. A row's
// source port says which socket there is.
func TestSockets(t *testing.T) {
	d := loadForTest(t, testOptions())
	s := newSockets(t)
	rows := []struct {
		words                string
		v4, v6               segmentOf
		lingering, contested Verdict
	}{
		{words: "of an established connection",
			v4: tcp(s.established4, 80, tcpACK), v6: tcp(s.established6, 80, tcpACK),
			lingering: PassLingering, contested: PassContested},
		{words: "that resets an established connection",
			v4: tcp(s.established4, 80, tcpRST), v6: tcp(s.established6, 80, tcpRST),
			lingering: PassLingering, contested: PassContested},
		{words: "a SYN with the ports of an established connection",
			v4: tcp(s.established4, 80, tcpSYN), v6: tcp(s.established6, 80, tcpSYN),
			lingering: DropLingeringNew, contested: PassContestedNew},
		{words: "that completes an opening connection",
			v4: numbered(1, s.isn4+1, tcp(openingPort, 80, tcpACK)), v6: numbered(1, s.isn6+1, tcp(openingPort, 80, tcpACK)),
			lingering: PassLingering, contested: PassContested},
		{words: "with data that completes an opening connection",
			v4: numbered(1, s.isn4+1, tcp(openingPort, 80, tcpACK|tcpPSH)), v6: numbered(1, s.isn6+1, tcp(openingPort, 80, tcpACK|tcpPSH)),
			lingering: PassLingering, contested: PassContested},
		{words: "that completes another node's handshake by the same ports",
			v4: numbered(1, s.isn4+2, tcp(openingPort, 80, tcpACK)), v6: numbered(1, s.isn6, tcp(openingPort, 80, tcpACK)),
			lingering: DropLingeringNoSocket, contested: DropContestedNoSocket},
		{words: "that resets an opening connection and acknowledges nothing",
			v4: tcp(openingPort, 80, tcpRST), v6: tcp(openingPort, 80, tcpRST),
			lingering: PassLingering, contested: PassContested},
		{words: "of a connection in TIME_WAIT",
			v4: tcp(s.timeWait4, 80, tcpACK), v6: tcp(s.timeWait6, 80, tcpACK),
			lingering: PassLingering, contested: PassContested},
		{words: "a SYN with the ports of a connection in TIME_WAIT",
			v4: tcp(s.timeWait4, 80, tcpSYN), v6: tcp(s.timeWait6, 80, tcpSYN),
			lingering: DropLingeringNew, contested: PassContestedNew},
		{words: "of no connection, to a listener",
			v4: tcp(1, 80, tcpACK), v6: tcp(1, 80, tcpACK),
			lingering: DropLingeringNoSocket, contested: DropContestedNoSocket},
		{words: "of no connection, to no listener",
			v4: tcp(1, 81, tcpACK), v6: tcp(1, 81, tcpACK),
			lingering: DropLingeringNoSocket, contested: DropContestedNoSocket},
		{words: "UDP to a connected socket",
			v4: udp(5353, 53, 4), v6: udp(5353, 53, 4),
			lingering: DropLingeringNew, contested: PassContestedNew},
		{words: "UDP to no socket",
			v4: udp(1, 53, 4), v6: udp(1, 53, 4),
			lingering: DropLingeringNew, contested: PassContestedNew},
	}
	for _, r := range rows {
		packets := map[string]packetOf{"IPv4": ip4(client4, web4, r.v4), "IPv6": ip6(client6, web6, r.v6)}
		for family, p := range packets {
			wants := map[State]Verdict{ownership.Foreign: DropForeign, ownership.Mine: PassMine, ownership.Lingering: r.lingering, ownership.Contested: r.contested}
			for state, want := range wants {
				t.Run(fmt.Sprintf("%s, %s, %s", r.words, family, state), func(t *testing.T) {
					setAll(t, d, state)
					s.expectVerdict(t, d, frame(p), want)
				})
			}
		}
	}
	// A quotation tells no acknowledgment that could be compared.
	errorsAbout := map[string][]byte{
		"IPv4, opening": frame(ip4("203.0.113.1", web4, icmp4(3, ip4(web4, client4, tcp(80, openingPort, tcpACK)).bytes...))),
		"IPv6, opening": frame(ip6("2001:db8:f::1", web6, icmp6(2, ip6(web6, client6, tcp(80, openingPort, tcpACK)).bytes...))),
		"IPv4":          frame(ip4("203.0.113.1", web4, icmp4(3, ip4(web4, client4, tcp(80, s.established4, tcpACK)).bytes...))),
		"IPv6":          frame(ip6("2001:db8:f::1", web6, icmp6(2, ip6(web6, client6, tcp(80, s.established6, tcpACK)).bytes...))),
	}
	for family, f := range errorsAbout {
		t.Run("an ICMP error about a connection, "+family, func(t *testing.T) {
			setAll(t, d, ownership.Lingering)
			s.expectVerdict(t, d, f, PassLingering)
			setAll(t, d, ownership.Contested)
			s.expectVerdict(t, d, f, PassContested)
		})
	}
}

func TestLive(t *testing.T) {
	o := testOptions()
	d := loadForTest(t, o)
	s := newSockets(t)
	var found Live
	s.space.Do(func() (err error) {
		found, err = d.Live()
		return err
	})
	live := found.Buckets
	if found.Pools[0] != "web" || !found.Addresses[addr(web4)] || !found.Addresses[addr(web6)] || len(found.Addresses) != 2 {
		t.Errorf("live addresses %v of %v", found.Addresses, found.Pools)
	}
	h := o.Pools[0].Hasher
	want := ownership.NewBitmap(h.Buckets)
	// In TIME_WAIT is nothing to wait for.
	want.Set(h.Bucket(addr(client4), s.established4, 80))
	want.Set(h.Bucket(addr(client6), s.established6, 80))
	want.Set(h.Bucket(addr(client4), openingPort, 80))
	want.Set(h.Bucket(addr(client6), openingPort, 80))
	if !live[0].Equal(want) {
		t.Errorf("live buckets of web %b, want %b", live[0], want)
	}
	for b, n := range found.Connections[0] {
		if (n > 0) != want.Has(uint32(b)) {
			t.Errorf("bucket %d of web has %d connections", b, n)
		}
	}
	if !live[1].Empty() {
		t.Errorf("live buckets of mail %b, want none", live[1])
	}
}
