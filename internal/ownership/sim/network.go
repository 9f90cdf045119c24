package sim

import (
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// network is the segment: one directed link between every two nodes.
type network struct {
	nodes   int
	links   []link // from*nodes + to
	senders []rng  // the chances of each sender's beats
	copies  int    // permille of the beats that arrive twice
	flips   uint32
}

type link struct {
	cut    bool
	loss   int // permille
	delay  time.Duration
	jitter time.Duration
	flip   time.Duration // between changes; 0: does not flip
	flipID uint32
}

func newNetwork(s *Scenario, root rng) network {
	n := len(s.Nodes)
	net := network{nodes: n, links: make([]link, n*n), copies: s.Copies}
	for i := range net.links {
		net.links[i] = link{loss: s.Loss, delay: s.Delay, jitter: s.Jitter}
	}
	for i := range n {
		net.senders = append(net.senders, root.fork(uint64(1000+i)))
	}
	return net
}

func (net *network) link(from, to int) *link { return &net.links[from*net.nodes+to] }

// good tells whether a link serves well enough that two nodes joined by it
// hear each other: beats are lost seldom and late by little.
func (l *link) good(interval time.Duration) bool {
	return !l.cut && l.flip == 0 && l.loss <= 50 && l.delay+l.jitter <= interval/2
}

// dead tells whether nothing comes through.
func (l *link) dead() bool { return l.cut && l.flip == 0 }

func (net *network) broadcast(w *world, from *node, b *ownership.Beat) {
	r := &net.senders[from.id]
	for to := range w.nodes {
		if to == from.id {
			continue
		}
		l := net.link(from.id, to)
		if l.cut || r.chance(l.loss) {
			continue
		}
		at := w.now + r.span(l.delay, l.delay+l.jitter)
		w.queue.push(event{at: at, kind: evArrive, node: uint8(to), beat: b})
		if r.chance(net.copies) {
			late := at + r.span(0, 3*w.s.Lease)
			w.queue.push(event{at: late, kind: evArrive, node: uint8(to), beat: b})
		}
	}
}

// flip changes a link that flips, and comes back for the next change.
func (net *network) flip(w *world, e event) {
	l := net.link(int(e.node), int(e.peer))
	if l.flip == 0 || l.flipID != e.gen {
		return
	}
	l.cut = !l.cut
	e.at = w.now + l.flip
	w.queue.push(e)
}

func (net *network) setFlip(w *world, at Link, every time.Duration) {
	l := net.link(at.From, at.To)
	net.flips++
	l.flip, l.flipID = every, net.flips
	if every == 0 {
		l.cut = false
		return
	}
	w.queue.push(event{at: w.now + every, kind: evFlip, node: uint8(at.From), peer: uint8(at.To), gen: net.flips})
}
