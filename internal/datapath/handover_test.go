package datapath

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

// TestHandover plays the corners of a handover with real connections on both
// nodes: an old owner that lingers, a new one whose buckets are contested. Each row
// begins with the old node owning everything, and is played once with services of the nodes and
// once with such that they pass on. Only the rows that say so may see a reset.
func TestHandover(t *testing.T) {
	const isn = 1000
	rows := []struct {
		words  string
		server uint16
		reset  string // the node that sends one
		play   func(t *testing.T, s script)
	}{
		{words: "a handshake that the old owner began is completed there", play: func(t *testing.T, s script) {
			theirs := s.syn(isn, "old")
			s.handOver()
			s.open(isn, theirs, "old")
		}},
		{words: "a SYN sent again is the new owner's, and so is the handshake", play: func(t *testing.T, s script) {
			s.syn(isn, "old")
			s.handOver()
			theirs := s.syn(isn, "new")
			s.open(isn, theirs, "new")
			s.end()
			s.send(tcpACK|tcpPSH, isn+5, theirs+5, "more")
			s.await("another echo", "new", func(r reply) bool { return r.payload == 4 && r.seq == theirs+5 })
		}},
		{words: "both answered, and the client believes the old owner", play: func(t *testing.T, s script) {
			theirs := s.syn(isn, "old")
			s.handOver()
			s.syn(isn, "new")
			s.open(isn, theirs, "old")
		}},
		{words: "a new SYN with other numbers, and what was meant for each", play: func(t *testing.T, s script) {
			theirs := s.syn(isn, "old")
			s.handOver()
			s.open(7*isn, s.syn(7*isn, "new"), "new")
			s.send(tcpACK, isn+1, theirs+2, "") // belongs to none
		}},
		{words: "a client that gives up an opening connection", play: func(t *testing.T, s script) {
			s.syn(isn, "old")
			s.handOver()
			s.expectLive(1)
			s.send(tcpRST, isn+1, 0, "")
			s.expectLive(0)
		}},
		{words: "an established connection stays, its end included", play: func(t *testing.T, s script) {
			theirs := s.syn(isn, "old")
			s.open(isn, theirs, "old")
			s.handOver()
			fin := s.finish(isn+5, theirs+5)
			s.send(tcpFIN|tcpACK, isn+5, theirs+5, "") // again: the ACK was lost
			s.send(tcpACK, isn+6, fin+1, "")
			s.expectLive(0)
			s.send(tcpFIN|tcpACK, isn+5, theirs+5, "") // and again, to nobody
		}},
		{words: "a FIN sent again to a connection in TIME_WAIT", server: 81, play: func(t *testing.T, s script) {
			theirs := s.waiting(isn)
			s.handOver()
			before := len(s.replies())
			s.send(tcpFIN|tcpACK, isn+1, theirs+2, "")
			if all := s.replies(); len(all) != before+1 || all[before].node != "old" || all[before].flags != tcpACK {
				t.Errorf("the answers were %v", all[before:])
			}
		}},
		{words: "a connection reset by the client", play: func(t *testing.T, s script) {
			theirs := s.syn(isn, "old")
			s.open(isn, theirs, "old")
			s.handOver()
			s.send(tcpRST, isn+5, 0, "")
			s.expectLive(0)
			s.send(tcpRST, isn+5, 0, "")
		}},
		{words: "ports used again while the old owner has them in TIME_WAIT", server: 81, play: func(t *testing.T, s script) {
			s.waiting(isn)
			s.handOver()
			theirs := s.syn(900*isn, "new")
			s.send(tcpACK, 900*isn+1, theirs+1, "")
			s.await("the FIN", "new", func(r reply) bool { return r.flags&tcpFIN != 0 && r.seq == theirs+1 })
		}},
		{words: "ports used again while the old owner has them established", play: func(t *testing.T, s script) {
			s.open(isn, s.syn(isn, "old"), "old")
			s.handOver()
			s.open(900*isn, s.syn(900*isn, "new"), "new")
		}},
		{words: "what nobody knows, before and after the old owner's end", reset: "new", play: func(t *testing.T, s script) {
			s.handOver()
			s.send(tcpACK, isn, isn, "")
			if all := s.replies(); len(all) != 0 {
				t.Errorf("while it lingers it was answered: %v", all)
			}
			s.end()
			s.send(tcpACK, isn, isn, "")
			s.await("a reset", "new", func(r reply) bool { return r.flags&tcpRST != 0 })
		}},
	}
	p := newPair(t)
	port := uint16(20000)
	for _, h := range []*host{p.old, p.new} {
		h.goodbye("81")
		c := h.container()
		c.echo()
		c.goodbye("81")
	}
	for _, r := range rows {
		for _, family := range []string{"IPv4", "IPv6"} {
			for where, ports := range map[string]uint16{"": 0, ", passed on": passedOn} {
				t.Run(r.words+", "+family+where, func(t *testing.T) {
					port++
					s := script{pair: p.in(t), v6: family == "IPv6", port: port, server: max(r.server, 80) + ports}
					s.begin()
					r.play(t, s)
					for _, reply := range s.replies() {
						if reply.flags&tcpRST != 0 && reply.node != r.reset {
							t.Errorf("a reset: %v\nof %v", reply, s.replies())
						}
					}
				})
			}
		}
	}
}

// waiting leaves a connection of port 81 in TIME_WAIT on the old node and
// returns the sequence number of its SYN-ACK.
func (s script) waiting(isn uint32) uint32 {
	s.t.Helper()
	theirs := s.syn(isn, "old")
	s.send(tcpACK, isn+1, theirs+1, "")
	s.await("the FIN", "old", func(r reply) bool { return r.flags&tcpFIN != 0 })
	s.send(tcpFIN|tcpACK, isn+1, theirs+2, "")
	s.await("the last ACK", "old", func(r reply) bool { return r.ack == isn+2 })
	return theirs
}

// finish sends the client's FIN and returns the number of the old node's.
func (s script) finish(seq, ack uint32) uint32 {
	s.t.Helper()
	s.send(tcpFIN|tcpACK, seq, ack, "")
	return s.await("the FIN", "old", func(r reply) bool { return r.flags&tcpFIN != 0 && r.ack == seq+1 }).seq
}

// expectLive waits until the old node has, or has not, a live connection with the client.
func (s script) expectLive(want int) {
	s.t.Helper()
	client := netip.AddrPortFrom(addr(scripted4), s.port)
	if s.v6 {
		client = netip.AddrPortFrom(addr(scripted6), s.port)
	}
	netnstest.Until(s.t, fmt.Sprintf("%d live connections are on the old node", want), func() bool {
		found := 0
		look := func(sk tcpSocket) {
			if sk.remote == client {
				found++
			}
		}
		s.old.Do(func() error {
			return errors.Join(dumpTCP(unix.AF_INET, liveStates, look), dumpTCP(unix.AF_INET6, liveStates, look),
				dumpForwarded(func(c tcpSocket) bool { look(c); return true }))
		})
		return found == want
	})
}

// TestHandoverOfCookies: who is short of room answers SYNs with cookies and has
// no socket until the answer comes back.
func TestHandoverOfCookies(t *testing.T) {
	const isn = 1000
	p := newPair(t)
	port := uint16(21000)
	for _, family := range []string{"IPv4", "IPv6"} {
		start := func(t *testing.T) script {
			port++
			p.old.Sysctl("net/ipv4/tcp_syncookies", "1")
			p.new.Sysctl("net/ipv4/tcp_syncookies", "1")
			p.begin()
			return script{pair: p.in(t), v6: family == "IPv6", port: port, server: 80}
		}
		t.Run("the answer to an old owner's cookie is its own, "+family, func(t *testing.T) {
			s := start(t)
			p.old.Sysctl("net/ipv4/tcp_syncookies", "2") // always
			theirs := s.syn(isn, "old")
			s.expectLive(0)
			s.handOver()
			s.open(isn, theirs, "old")
			s.expectNoReset(t)
		})
		t.Run("the answer to a new owner's cookie is its own, "+family, func(t *testing.T) {
			s := start(t)
			p.new.Sysctl("net/ipv4/tcp_syncookies", "2")
			s.handOver()
			theirs := s.syn(isn, "new")
			s.send(tcpACK, isn+1, theirs+0x1000000, "") // no cookie
			s.send(tcpACK, isn+1, theirs+1+1<<20, "")   // no cookie
			s.send(tcpRST|tcpACK, isn+1, theirs+1, "")  // what the stack takes for none
			if all := s.replies(); len(all) != 1 {
				t.Errorf("beyond the SYN-ACK there are %v", all)
			}
			s.open(isn, theirs, "new")
			s.expectNoReset(t)
		})
	}
}

func (s script) expectNoReset(t *testing.T) {
	t.Helper()
	for _, r := range s.replies() {
		if r.flags&tcpRST != 0 {
			t.Errorf("a reset: %v", r)
		}
	}
}

// TestHandoverOfDatagrams: a datagram has one owner, the bucket's, whatever sockets there are.
func TestHandoverOfDatagrams(t *testing.T) {
	p := newPair(t)
	port := uint16(22000)
	for _, shared := range []string{web4, web6} {
		client := scripted4
		if strings.Contains(shared, ":") {
			client = scripted6
		}
		p.new.echoUDP(t, addr(shared), netip.AddrPort{})
		for words, connected := range map[string]bool{"a connected socket": true, "any socket": false} {
			t.Run(words+" on "+shared, func(t *testing.T) {
				port++
				s := script{pair: p.in(t), v6: client == scripted6, port: port}
				var peer netip.AddrPort
				if connected {
					peer = netip.AddrPortFrom(addr(client), port)
				}
				s.old.echoUDP(t, addr(shared), peer)
				s.begin()
				s.datagram(t, 10, "old")
				s.handOver()
				s.datagram(t, 20, "new")
				s.end()
				s.datagram(t, 30, "new")
			})
		}
	}
}

// datagram of a size of its own is answered by one node alone.
func (s script) datagram(t *testing.T, size int, node string) {
	t.Helper()
	s.pair.send(s.packet(udp(s.port, 53, size)))
	s.await("an answer", node, func(r reply) bool { return r.payload == size })
	for _, r := range s.replies() {
		if r.payload == size && r.node != node {
			t.Errorf("the %s node answered too", r.node)
		}
	}
}
