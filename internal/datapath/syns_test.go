package datapath

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/rota-cluster/rota/internal/ownership"
)

// everySyn wants all.
func everySyn(*keptSyn) bool { return true }

// judgeIn runs the frame through the filter at both places.
func judgeIn(t *testing.T, d *Datapath, place string, frame []byte) {
	t.Helper()
	program := map[string]*ebpf.Program{"xdp": d.programs.RotaXdp, "tc": d.programs.RotaTc}[place]
	if _, err := program.Run(&ebpf.RunOptions{Data: frame}); err != nil {
		t.Fatal(err)
	}
}

// kept is what the filter keeps of one frame.
func kept(t *testing.T, d *Datapath, pool int) []keptSyn {
	t.Helper()
	all, err := d.keptSyns(pool, everySyn)
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.syns {
		clear(d.syns[i].ring[:])
	}
	return all
}

func TestWhichSYNsAreKept(t *testing.T) {
	syn4, syn6 := summed(ip4(client4, web4, tcp(1234, 80, tcpSYN))), summed(ip6(client6, web6, tcp(1234, 80, tcpSYN)))
	const ecn = 0xc0
	rows := []struct {
		words string
		frame []byte
		keeps []State // in which it is kept
	}{
		{"a SYN", frame(syn4), []State{ownership.Foreign, ownership.Lingering}},
		{"a SYN, IPv6", frame(syn6), []State{ownership.Foreign, ownership.Lingering}},
		{"a SYN with a VLAN tag", frame(tagged(etherTypeVLAN, 5, syn4)), []State{ownership.Foreign, ownership.Lingering}},
		{"a SYN that asks for ECN", frame(summed(ip4(client4, web4, tcp(1234, 80, tcpSYN|ecn)))), []State{ownership.Foreign, ownership.Lingering}},
		{"a SYN behind an extension header", frame(ip6(client6, web6, extension(protocolDestinationOptions, 0, segmentOf{protocolTCP, syn6.bytes[40:]}))), []State{ownership.Foreign, ownership.Lingering}},
		{"one as long as can be", frame(summed(ip4(client4, web4, carrying(string(make([]byte, synFrame-54)), tcp(1234, 80, tcpSYN))))), []State{ownership.Foreign, ownership.Lingering}},
		{"one that is longer", frame(summed(ip4(client4, web4, carrying(string(make([]byte, synFrame-53)), tcp(1234, 80, tcpSYN))))), nil},
		{"a SYN-ACK", frame(summed(ip4(client4, web4, tcp(1234, 80, tcpSYN|tcpACK)))), nil},
		{"an ACK", frame(summed(ip4(client4, web4, tcp(1234, 80, tcpACK)))), nil},
		{"the first fragment of a SYN", frame(fragment4(7, 0, 24, summed(ip4(client4, web4, carrying("12345678", tcp(1234, 80, tcpSYN)))))), nil},
		{"a later fragment of it", frame(fragment4(7, 24, 99, summed(ip4(client4, web4, carrying("12345678", tcp(1234, 80, tcpSYN)))))), nil},
		{"a datagram", frame(summed(ip4(client4, web4, udp(1234, 80, 10)))), nil},
		{"a SYN for another address", frame(summed(ip4(client4, other4, tcp(1234, 80, tcpSYN)))), nil},
		{"a replay", frameFrom(testMAC, syn4), nil},
	}
	d := loadForTest(t, testOptions())
	for _, r := range rows {
		for _, place := range []string{"xdp", "tc"} {
			t.Run(r.words+", "+place, func(t *testing.T) {
				for _, s := range []State{ownership.Foreign, ownership.Mine, ownership.Lingering, ownership.Contested} {
					setAll(t, d, s)
					judgeIn(t, d, place, r.frame)
					found := kept(t, d, 0)
					if want := slices.Contains(r.keeps, s); want != (len(found) == 1) {
						t.Errorf("%v: %d are kept, want one: %v", s, len(found), want)
						continue
					}
					for _, k := range found {
						if !bytes.Equal(k.frame, r.frame) || k.state != s {
							t.Errorf("%v: in state %v there is\n%x of\n%x", s, k.state, k.frame, r.frame)
						}
						if age := Now() - k.by; age < -d.clock.tick || age > time.Second {
							t.Errorf("%v: it is %v old", s, age)
						}
					}
				}
			})
		}
	}
	t.Run("what fills up a short frame is left out", func(t *testing.T) {
		setAll(t, d, ownership.Foreign)
		judgeIn(t, d, "xdp", padded(6, frame(syn4)))
		if found := kept(t, d, 0); len(found) != 1 || !bytes.Equal(found[0].frame, frame(syn4)) {
			t.Errorf("there is %v", found)
		}
	})
	t.Run("without a lease nothing is kept", func(t *testing.T) {
		d.Expire()
		judgeIn(t, d, "xdp", frame(syn4))
		if found := kept(t, d, 0); len(found) != 0 {
			t.Errorf("there is %v", found)
		}
	})
}

// TestKeptSYNsAreBounded: however many come, the newest are there, once each.
func TestKeptSYNsAreBounded(t *testing.T) {
	d := loadForTest(t, testOptions())
	setAll(t, d, ownership.Foreign)
	const many = 3 * synsPerCPU
	for i := range many {
		judgeIn(t, d, "xdp", frame(summed(ip4(client4, web4, tcp(uint16(1000+i), 80, tcpSYN)))))
	}
	found := kept(t, d, 0)
	if most := synsPerCPU * len(d.syns); len(found) < synsPerCPU || len(found) > most {
		t.Errorf("%d SYNs left %d, want from %d to %d", many, len(found), synsPerCPU, most)
	}
	newest := slices.ContainsFunc(found, func(s keptSyn) bool { return s.flow.remote.Port() == 1000+many-1 })
	if !newest {
		t.Error("the newest is not among them")
	}
}

func TestReadingKeptSYNs(t *testing.T) {
	segment := numbered(77, 0, tcp(1234, 80, tcpSYN))
	whole := frame(summed(ip4(client4, web4, segment)))
	pseudo := func(p packetOf, at int, addresses []byte) []byte {
		sum := onesSum(uint64(20+protocolTCP), addresses)
		return with(14+at, be16(sum), frame(p))
	}
	again := frame(summed(ip4(client4, web4, numbered(78, 0, tcp(1234, 80, tcpSYN)))))
	rows := []struct {
		words string
		in    [][]byte
		want  []byte
	}{
		{"a whole checksum stays", [][]byte{whole}, whole},
		{"one of the pseudo-header is completed", [][]byte{pseudo(ip4(client4, web4, segment), 20+16, slices.Concat(addr16(client4), addr16(web4)))}, with(14+10, []byte{0, 0}, whole)},
		{"likewise in IPv6", [][]byte{pseudo(ip6(client6, web6, segment), 40+16, slices.Concat(addr16(client6), addr16(web6)))}, frame(summed(ip6(client6, web6, segment)))},
		{"a damaged one is none", [][]byte{with(14+20+4, []byte{1}, whole)}, nil},
		{"a SYN sent again counts once", [][]byte{whole, whole}, whole},
		{"the newest of one connection counts", [][]byte{whole, again}, again},
	}
	d := loadForTest(t, testOptions())
	setAll(t, d, ownership.Foreign)
	for _, r := range rows {
		t.Run(r.words, func(t *testing.T) {
			for _, f := range r.in {
				judgeIn(t, d, "xdp", f)
			}
			found := kept(t, d, 0)
			if r.want == nil {
				if len(found) > 0 {
					t.Errorf("there is %x", found[0].frame)
				}
				return
			}
			if len(found) != 1 || !bytes.Equal(found[0].frame, r.want) {
				t.Errorf("there is %v, want %v", found, r.want)
			}
		})
	}
}

// TestKeptSYNsOfPoolsAndBuckets: each is found where it belongs.
func TestKeptSYNsOfPoolsAndBuckets(t *testing.T) {
	d := loadForTest(t, testOptions())
	setAll(t, d, ownership.Foreign)
	for pool, to := range []string{web4, mail4} {
		for port := range uint16(50) {
			judgeIn(t, d, "tc", frame(summed(ip4(fmt.Sprintf("198.51.100.%d", port), to, tcp(1000+port, 80, tcpSYN)))))
		}
		all, err := d.keptSyns(pool, func(s *keptSyn) bool { return s.bucket%2 == 0 })
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 0 || len(all) == 50 {
			t.Errorf("pool %d: %d of 50 are in even buckets", pool, len(all))
		}
		for _, s := range all {
			if want := d.options().Pools[pool].Hasher.Bucket(s.flow.remote.Addr(), s.flow.remote.Port(), 80); s.bucket != want || want%2 != 0 {
				t.Errorf("pool %d: %v is kept in bucket %d, want %d", pool, s.flow, s.bucket, want)
			}
		}
	}
}
