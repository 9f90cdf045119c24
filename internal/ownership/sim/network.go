package sim

import (
	"slices"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// network is the segment: one directed link between every two nodes, and
// perhaps another of the second path.
type network struct {
	nodes   int
	links   []link // from*nodes + to
	senders []rng  // the chances of each sender's beats
	copies  int    // permille of the beats that arrive twice
	flips   uint32

	second  []link // as links; nil: there is no second path
	chances []rng  // of each sender's beats there
	unicast bool
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
	if s.Second == 0 {
		return net
	}
	net.second, net.unicast = make([]link, n*n), s.Unicast
	for i := range net.second {
		net.second[i] = link{delay: s.Second}
	}
	for i := range n {
		net.chances = append(net.chances, root.fork(uint64(2000+i)))
	}
	return net
}

func (net *network) link(from, to int) *link { return &net.links[from*net.nodes+to] }

// dead tells whether nothing goes from one node to the other by any path.
func (net *network) dead(from, to int) bool {
	return net.link(from, to).dead() && (net.second == nil || net.second[from*net.nodes+to].dead())
}

// hears tells whether one node's beats come to the other: by the service path,
// or by a second one that every beat takes.
func (w *world) hears(from, to int) bool {
	net := &w.net
	if net.second != nil && !net.unicast && net.second[from*net.nodes+to].good(w.s.Interval) {
		return true
	}
	a, b := w.nodes[from], w.nodes[to]
	return net.link(from, to).good(w.s.Interval) && !a.mute && !b.deaf && !b.unflooded
}

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

// bySecond takes a beat to all by the second path, or to those it is addressed to.
func (net *network) bySecond(w *world, from *node, send *ownership.Send) {
	if net.second == nil {
		return
	}
	r := &net.chances[from.id]
	for to, n := range w.nodes {
		l := &net.second[from.id*net.nodes+to]
		path := ownership.PathSecond
		if net.unicast {
			path = ownership.PathUnicast
		}
		if to == from.id || net.unicast && !slices.Contains(send.Direct, ownership.Recipient{Name: n.spec.Name, Address: n.address()}) || l.cut || r.chance(l.loss) {
			continue
		}
		at := w.now + r.span(l.delay, l.delay+l.jitter)
		w.queue.push(event{at: at, kind: evArrive, node: uint8(to), beat: send.Beat, path: path})
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
