package datapath

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
	"github.com/rota-cluster/rota/internal/ownership"
)

// allBuckets of the pool of a host.
func allBuckets() ownership.Bitmap {
	m := ownership.NewBitmap(64)
	for b := range uint32(64) {
		m.Set(b)
	}
	return m
}

// TestReplay: a client that asked while nobody answered is answered without
// asking again, which it would do after a second.
func TestReplay(t *testing.T) {
	const retransmission = time.Second
	for _, wish := range []config.Datapath{config.DatapathTC, config.DatapathXDP, config.DatapathXDPGeneric} {
		for _, shared := range []string{web4, web6} {
			t.Run(fmt.Sprintf("%v, %s", wish, shared), func(t *testing.T) {
				h, client := segment(t)
				h.attach(wish, false)
				h.share()
				h.echo()
				h.own()
				if conn, err := connect(client, addr(shared), netnstest.Patience); err != nil { // neighbours know each other
					t.Fatal(err)
				} else if err := conn.Close(); err != nil {
					t.Fatal(err)
				}
				h.give(ownership.Foreign)
				since, answered := Now(), make(chan error, 1)
				go func() {
					conn, err := connect(client, addr(shared), netnstest.Patience)
					if err == nil {
						err = conn.Close()
					}
					answered <- err
				}()
				netnstest.Until(t, "the SYN is dropped", func() bool {
					found, err := h.datapath.keptSyns(0, everySyn)
					return err == nil && len(found) == 1
				})
				h.give(ownership.Mine)
				if got := h.replay(since); got != (Sent{SYNs: 1}) {
					t.Errorf("replayed: %+v", got)
				}
				if err := <-answered; err != nil {
					t.Fatal(err)
				}
				if took := Now() - since; took >= retransmission {
					t.Errorf("it took %v", took)
				}
			})
		}
	}
}

// TestReplayIsJudged: it is accepted by table and lease only, and not kept again.
func TestReplayIsJudged(t *testing.T) {
	for _, wish := range []config.Datapath{config.DatapathTC, config.DatapathXDP, config.DatapathXDPGeneric} {
		h, _ := segment(t)
		h.attach(wish, false)
		h.share()
		for words, deny := range map[string]struct {
			how  func()
			want Verdict
		}{
			"foreign":         {func() { h.give(ownership.Foreign) }, DropForeign},
			"lingering":       {func() { h.give(ownership.Lingering) }, DropLingeringNew},
			"without a lease": {h.datapath.Expire, DropLease},
		} {
			t.Run(fmt.Sprintf("%v, %s", wish, words), func(t *testing.T) {
				h.own()
				h.give(ownership.Foreign)
				since := Now()
				judgeIn(t, h.datapath, "xdp", frame(summed(ip4("192.0.2.2", web4, tcp(1234, 80, tcpSYN)))))
				deny.how()
				before := h.verdicts()
				if got := h.replay(since); got != (Sent{SYNs: 1}) {
					t.Errorf("replayed: %+v", got)
				}
				netnstest.Until(t, "the replay was judged", func() bool { return h.verdicts()[deny.want] == before[deny.want]+1 })
				if found := kept(t, h.datapath, 0); len(found) != 1 {
					t.Errorf("kept are %v", found)
				}
				var next uint64
				for i := range h.datapath.syns {
					next += h.datapath.syns[i].next.Swap(0)
				}
				if next != 1 {
					t.Errorf("%d SYNs were kept, want the first alone", next)
				}
			})
		}
	}
}

func TestReplayOfWhatIsWanted(t *testing.T) {
	h, _ := segment(t)
	h.attach(config.DatapathTC, false)
	h.share()
	h.own()
	h.give(ownership.Foreign)
	ask := func(port uint16) {
		judgeIn(t, h.datapath, "tc", frame(summed(ip4("192.0.2.2", web4, tcp(port, 80, tcpSYN)))))
	}
	ask(1)
	old := Now() + 2*h.datapath.clock.tick // as exact as jiffies are
	netnstest.Until(t, "some ticks have passed", func() bool { return Now() > old })
	const asked = 20 // few enough for replayFor, however busy the machine is
	for port := range uint16(asked) {
		ask(1000 + port)
	}
	h.give(ownership.Mine)
	if got := h.replay(old); got != (Sent{SYNs: asked}) {
		t.Errorf("replayed of those after the first: %+v", got)
	}
	half := ownership.NewBitmap(64)
	want := 0
	for port := range uint16(asked) {
		if b := h.options().Pools[0].Hasher.Bucket(addr("192.0.2.2"), 1000+port, 80); b < 32 {
			half.Set(b)
			want++
		}
	}
	h.Do(func() error {
		got, err := h.attached.Replay(0, half, old)
		if got.SYNs != want {
			t.Errorf("replayed of some buckets: %+v, want %d", got, want)
		}
		return err
	})
}

// TestReplayOfWhatWasAnswered: whoever answered a SYN, the client goes on with, and
// all see that, whether they have ever had the bucket or have just handed it over.
func TestReplayOfWhatWasAnswered(t *testing.T) {
	h, _ := segment(t)
	h.attach(config.DatapathTC, false)
	h.share()
	h.own()
	tick := func() {
		next := Now() + 2*h.datapath.clock.tick
		netnstest.Until(t, "some ticks have passed", func() bool { return Now() > next })
	}
	for _, state := range []State{ownership.Foreign, ownership.Lingering} {
		h.give(state)
		for _, program := range []string{"xdp", "tc"} {
			for family, ip := range map[string]func(segmentOf) packetOf{
				"IPv4": func(s segmentOf) packetOf { return ip4("192.0.2.2", web4, s) },
				"IPv6": func(s segmentOf) packetOf { return ip6("2001:db8::2", web6, s) },
			} {
				t.Run(fmt.Sprintf("%v %s %s", state, program, family), func(t *testing.T) {
					tick()
					since := Now() + h.datapath.clock.tick
					comes := func(port uint16, flags uint8) {
						judgeIn(t, h.datapath, program, frame(summed(ip(tcp(port, 80, flags)))))
					}
					comes(1, tcpACK) // of an earlier connection
					tick()
					for port := range uint16(5) {
						comes(port, tcpSYN)
					}
					tick()
					comes(2, tcpACK)
					comes(3, tcpACK)
					if got := h.replay(since); got != (Sent{SYNs: 3}) {
						t.Errorf("replayed: %+v, want 3: two of five were answered", got)
					}
				})
			}
		}
	}
}

// TestResend: what came between the old owner's end and the new one's beginning
// is answered by the new one, and the switch sees it come from the old one.
func TestResend(t *testing.T) {
	const isn = 1000
	p := newPair(t)
	port := uint16(24000)
	for _, family := range []string{"IPv4", "IPv6"} {
		t.Run(family, func(t *testing.T) {
			port++
			s := script{pair: p.in(t), v6: family == "IPv6", port: port, server: 80}
			s.begin()
			before := Now()
			s.send(tcpSYN, isn-1, 0, "") // the old owner's
			s.await("a SYN-ACK", "old", func(r reply) bool { return r.ack == isn })
			port++
			s.port = port
			s.set(s.old, ownership.Lingering)
			s.send(tcpSYN, isn, 0, "")
			if all := s.replies(); len(all) > 0 {
				t.Fatalf("somebody answers: %v", all)
			}
			s.set(s.new, ownership.Contested)
			s.old.Do(func() error {
				got, err := s.old.attached.Resend(0, allBuckets(), before)
				if got != (Sent{SYNs: 1}) {
					t.Errorf("sent on: %+v", got)
				}
				return err
			})
			theirs := s.await("a SYN-ACK", "new", func(r reply) bool { return r.flags == tcpSYN|tcpACK && r.ack == isn+1 }).seq
			s.open(isn, theirs, "new")
			s.expectNoReset(t)
			sources := s.sourcesOf(isn)
			if len(sources) != 2 || !bytes.Equal(sources[1], s.old.link.MAC) {
				t.Errorf("the SYN came from %x, want from the client and then from %v", sources, s.old.link.MAC)
			}
		})
	}
}

// sourcesOf are the MACs from which the client's SYN was sent.
func (s script) sourcesOf(isn uint32) (macs [][]byte) {
	want := numbered(isn, 0, tcp(s.port, s.server, tcpSYN)).bytes[:14]
	for _, f := range s.wire.Frames() {
		h, ok := readModelHeader(f.Bytes)
		if ok && h.protocol == protocolTCP && bytes.HasPrefix(h.payload, want) {
			macs = append(macs, f.Bytes[6:12])
		}
	}
	return macs
}

// give puts all buckets into one state.
func (h *host) give(s State) {
	h.t.Helper()
	if err := h.datapath.SetTable(0, slices.Repeat([]State{s}, 64)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) replay(since time.Duration) (got Sent) {
	h.t.Helper()
	h.Do(func() (err error) {
		got, err = h.attached.Replay(0, allBuckets(), since)
		return err
	})
	return got
}

func (h *host) verdicts() Counts {
	h.t.Helper()
	c, err := h.datapath.Counters()
	if err != nil {
		h.t.Fatal(err)
	}
	return c[0]
}
