package datapath

import (
	"encoding/binary"
	"flag"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/flowhash"
)

var (
	modelPackets = flag.Int("model.packets", 30000, "random packets to compare the model and the programs on")
	modelSeed    = flag.Uint64("model.seed", 1, "of the random packets")
)

// TestModelAgreesWithThePrograms judges random packets, most of them nearly
// right, by the model and by the programs.
func TestModelAgreesWithThePrograms(t *testing.T) {
	d := loadForTest(t, modelOptions())
	s := newSockets(t)
	r := random{
		Rand:  rand.New(rand.NewPCG(*modelSeed, 0)),
		ports: []uint16{s.established4, s.established6, s.timeWait4, s.timeWait6, openingPort, openingPort},
		acks:  []uint32{s.isn4 + 1, s.isn6 + 1, 0},
	}
	m := &Model{Options: d.options(), TCP: s.socket}
	seen := make(map[Verdict]int)
	for i := range *modelPackets {
		if i%1000 == 0 {
			r.newTables(t, d, m)
		}
		frame := r.frame()
		want := m.Judge(frame)
		seen[want]++
		s.space.Do(func() error {
			place := "xdp"
			if i%2 == 1 && len(frame) < 1500 && readableByTC(frame) {
				place = "tc"
			}
			expectVerdictAt(t, d, place, frame, want)
			return nil
		})
		if t.Failed() {
			t.Fatalf("packet %d of seed %d, lease %v: %x", i, *modelSeed, m.Lease, frame)
		}
	}
	for _, v := range AllVerdicts() {
		switch v {
		case PassAnnounced, DropUnannounceable, DropGuard, DropBeat, DropInternal:
			continue // not the filter's, or never
		}
		if seen[v] == 0 {
			t.Errorf("no packet had the verdict %v", v)
		}
	}
	t.Log(seen)
}

// modelOptions has a pool of every hash mode.
func modelOptions() Options {
	o := testOptions()
	o.Pools[0].Hasher.Buckets = 5
	o.Pools[0].Retiring = o.Pools[0].Addresses[1:]
	o.Pools[1].Hasher = flowhash.Hasher{Mode: flowhash.SourceNetwork, Prefix4: 20, Prefix6: 41, Seed: 1, Buckets: 65536}
	o.Pools = append(o.Pools,
		Pool{Name: "dns", Addresses: []netip.Addr{addr("192.0.2.53"), addr("2001:db8::53")}, MAC: testMAC,
			Hasher: flowhash.Hasher{Mode: flowhash.SourceAddressPortDestinationPort, Seed: 0, Buckets: 100}},
		Pool{Name: "ldap", Addresses: []netip.Addr{addr("2001:db8::38")}, MAC: testMAC,
			Hasher: flowhash.Hasher{Mode: flowhash.SourceAddress, Seed: 0xffffffff, Buckets: 2}})
	return o
}

func (s *sockets) socket(remote, local netip.AddrPort) ModelSocket {
	if local.Port() != 80 {
		return ModelSocket{}
	}
	established, timeWait, isn := s.established4, s.timeWait4, s.isn4
	switch {
	case local.Addr() == addr(web4) && remote.Addr() == addr(client4):
	case local.Addr() == addr(web6) && remote.Addr() == addr(client6):
		established, timeWait, isn = s.established6, s.timeWait6, s.isn6
	default:
		return ModelSocket{}
	}
	switch remote.Port() {
	case established, timeWait:
		return ModelSocket{Connection: true}
	case openingPort:
		return ModelSocket{Connection: true, Opening: true, ISN: isn}
	}
	return ModelSocket{}
}

// readableByTC: the kernel's test run for tc refuses frames whose IP header is cut off.
func readableByTC(frame []byte) bool {
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherTypeIPv4:
		return len(frame) >= 14+20
	case etherTypeIPv6:
		return len(frame) >= 14+40
	}
	return true
}

// random makes random frames.
type random struct {
	*rand.Rand
	ports []uint16 // of clients that have sockets
	acks  []uint32
}

func (r random) newTables(t *testing.T, d *Datapath, m *Model) {
	t.Helper()
	m.Tables = nil
	for i, p := range d.options().Pools {
		states := make([]State, p.Hasher.Buckets)
		for b := range states {
			states[b] = State(r.IntN(4))
		}
		m.Tables = append(m.Tables, states)
		if err := d.SetTable(i, states); err != nil {
			t.Fatal(err)
		}
	}
	f := fuse{jiffy: pick[uint64](r, 0, 0, 1, math.MaxUint64), until: pick[time.Duration](r, 0, 1, math.MaxInt64, math.MaxInt64)}
	m.Lease = !f.blown(2, 2)
	d.control.grant(f)
}

func pick[T any](r random, of ...T) T { return of[r.IntN(len(of))] }

func (r random) chance(percent int) bool { return r.IntN(100) < percent }

func (r random) frame() []byte {
	v4 := r.chance(50)
	client, shared := r.addresses(v4)
	p := r.packet(v4, client, shared, r.transport(v4, client, shared))
	for r.chance(10) {
		p = tagged(pick(r, uint16(etherTypeVLAN), etherTypeQinQ), uint16(r.IntN(4096)), p)
	}
	f := frame(p)
	if r.chance(20) {
		f = padded(r.IntN(30), f)
	}
	if r.chance(10) {
		f = f[:14+r.IntN(len(f)-14+1)]
	}
	for r.chance(10) {
		f = with(12+r.IntN(len(f)-12), []byte{byte(r.Uint32())}, f)
	}
	return f
}

func (r random) addresses(v4 bool) (client, shared string) {
	if v4 {
		return pick(r, client4, client4, "198.51.100.8", "203.0.113.200"), pick(r, web4, web4, mail4, "192.0.2.53", other4)
	}
	return pick(r, client6, client6, "2001:db8:7::8", "2001:db8:ffff:1:2:3:4:5"), pick(r, web6, web6, mail6, "2001:db8::53", "2001:db8::38", other6)
}

func (r random) packet(v4 bool, from, to string, s segmentOf) packetOf {
	if !v4 {
		if r.chance(15) {
			at := 8 * r.IntN(len(s.bytes)/8+1)
			s = fragment6(uint32(r.IntN(4)), pick(r, 0, at), pick(r, at, 1<<16), s)
		}
		for r.chance(25) {
			s = extension(pick(r, uint8(protocolHopByHop), protocolRouting, protocolDestinationOptions), uint8(r.IntN(3)), s)
		}
		if r.chance(3) {
			s = stacked(5+r.IntN(3), s)
		}
		return ip6(from, to, s)
	}
	p := ip4(from, to, s)
	if r.chance(15) {
		at := 8 * r.IntN(len(s.bytes)/8+1)
		p = fragment4(uint16(r.IntN(4)), pick(r, 0, at), pick(r, at, 1<<16), p)
	}
	if r.chance(15) {
		p = options4(4*r.IntN(11), p)
	}
	return p
}

func (r random) port() uint16 {
	if r.chance(60) {
		return pick(r, r.ports...)
	}
	return uint16(r.Uint32())
}

// transport is something that a client sends to a shared address.
func (r random) transport(v4 bool, client, shared string) segmentOf {
	switch r.IntN(10) {
	case 0, 1, 2, 3:
		return numbered(r.Uint32(), pick(r, r.acks...),
			tcp(r.port(), pick(r, uint16(80), 80, 80, beatPort), pick(r, uint8(tcpSYN), tcpACK, tcpACK, byte(r.Uint32()))))
	case 4, 5:
		return udp(r.port(), pick(r, uint16(53), 53, 54, beatPort), r.IntN(60))
	case 6:
		return portless(pick(r, uint8(protocolSCTP), protocolDCCP, protocolESP, protocolAH, protocolUDPLite, 47, 50, 59, byte(r.Uint32())), byte(r.Uint32()), 2, byte(r.Uint32()), 4)
	case 7:
		if v4 {
			return icmp4(pick(r, uint8(8), 0, 13, 135))
		}
		return icmp6(pick(r, uint8(128), 129, 130, 133, 134, 135, 136, 137, 138))
	}
	return r.icmpError(v4, client, shared)
}

// icmpError is about something that the shared address sent to the client.
func (r random) icmpError(v4 bool, client, shared string) segmentOf {
	var about segmentOf
	switch r.IntN(4) {
	case 0, 1:
		about = tcp(80, r.port(), tcpACK)
	case 2:
		about = udp(53, r.port(), 20)
	default:
		about = portless(pick(r, uint8(1), 58, 132, 47))
	}
	if r.chance(5) {
		shared = map[bool]string{true: other4, false: other6}[v4]
	}
	quoted := r.packet(v4, shared, client, about).bytes
	if r.chance(20) {
		quoted = quoted[:r.IntN(len(quoted)+1)]
	}
	if v4 {
		return icmp4(pick(r, uint8(3), 4, 5, 11, 12), quoted...)
	}
	return icmp6(pick(r, uint8(1), 2, 3, 4, 100), quoted...)
}
