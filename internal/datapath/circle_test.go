package datapath

import (
	"slices"
	"testing"

	"github.com/rota-cluster/rota/internal/ownership"
)

// TestHandoversOfHandovers: a bucket goes from one node to the next and back to
// the first while all three have connections in it. Every connection stays with
// its node, every new one is the newest owner's, and for each packet there is at
// most one that answers.
func TestHandoversOfHandovers(t *testing.T) {
	p := newPair(t)
	third := p.add("third", "192.0.2.5", "2001:db8::5")
	port := uint16(23000)
	for _, family := range []string{"IPv4", "IPv6"} {
		t.Run(family, func(t *testing.T) {
			q := p.in(t)
			next := func() script {
				port++
				return script{pair: q, v6: family == "IPv6", port: port, server: 80}
			}
			// Each is answered by its own node alone, whoever owns the bucket by now.
			var live []*flow
			everyone := func() {
				t.Helper()
				for _, f := range live {
					f.echo()
				}
			}
			const isn = 1000
			q.begin()
			q.set(third, ownership.Foreign)
			live = append(live, next().flow(isn, "old"))

			q.handOver()
			live = append(live, next().flow(isn, "new"))
			everyone()

			half := next() // a handshake that outlasts a handover
			theirs := half.syn(isn, "new")
			q.passOn(q.new, third)
			live = append(live, next().flow(isn, "third"), half.complete(isn, theirs, "new"))
			everyone()

			half, again := next(), next()
			theirs = half.syn(isn, "third")
			again.syn(isn, "third")
			q.passOn(third, q.old)
			live = append(live, next().flow(isn, "old"), half.complete(isn, theirs, "third"))
			live = append(live, again.flow(isn, "old")) // its SYN was sent again
			everyone()

			stray := next()
			stray.send(tcpACK, isn, isn, "")
			if all := stray.replies(); len(all) > 0 {
				t.Errorf("what nobody knows was answered: %v", all)
			}
			reused := next() // what the node in the middle still has
			reused.port = live[1].port
			reused.send(tcpSYN, 900*isn, 0, "")
			reused.await("a SYN-ACK", "old", func(r reply) bool { return r.flags == tcpSYN|tcpACK && r.ack == 900*isn+1 })
			reused.expectNoReset(t)

			for _, f := range live {
				f.expectOneNode(t, again.port, reused.port)
			}
		})
	}
}

// passOn is handOver between any two nodes: who else lingers goes on.
func (p *pair) passOn(from, to *host) {
	p.t.Helper()
	p.set(from, ownership.Lingering)
	p.set(to, ownership.Contested)
}

// flow is an established connection of a scripted client.
type flow struct {
	script
	node      string
	seq, want uint32 // the client's next number, and the node's
}

// flow opens a connection with a node.
func (s script) flow(isn uint32, node string) *flow {
	s.t.Helper()
	return s.complete(isn, s.syn(isn, node), node)
}

// complete the handshake of a connection.
func (s script) complete(isn, theirs uint32, node string) *flow {
	s.t.Helper()
	s.open(isn, theirs, node)
	return &flow{s, node, isn + 5, theirs + 5}
}

// echo has four more bytes echoed.
func (f *flow) echo() {
	f.t.Helper()
	f.send(tcpACK|tcpPSH, f.seq, f.want, "more")
	f.await("an echo", f.node, func(r reply) bool { return r.payload == 4 && r.seq == f.want })
	f.seq, f.want = f.seq+4, f.want+4
}

// expectOneNode expects that nothing was reset and that no other node answered,
// except on ports that two nodes were asked on.
func (f *flow) expectOneNode(t *testing.T, except ...uint16) {
	t.Helper()
	f.expectNoReset(t)
	for _, r := range f.replies() {
		if r.node != f.node && !slices.Contains(except, f.port) {
			t.Errorf("a connection of the %s node: %v", f.node, r)
		}
	}
}
