package ownership

import (
	"fmt"
	"testing"
	"time"
)

// settled is a cluster of so many nodes with one active view and full tables.
func settled(b *testing.B, nodes int, buckets uint32) *net {
	w := newNet(&testing.T{})
	for i := range nodes {
		cfg := testConfig(fmt.Sprintf("node-%02d", i), uint64(i+1))
		cfg.Pools[0].Buckets = buckets
		w.start(cfg)
	}
	for w.now < 5*time.Second {
		w.round()
	}
	for _, name := range w.names {
		if s := w.nodes[name].n.Status(w.now); !s.Agreed || len(s.View.Members) != nodes {
			b.Fatalf("%s does not agree after %v: %d members, %v", name, w.now, len(s.View.Members), s.Stage)
		}
	}
	return w
}

// round delivers everything at once, then lets some time pass.
func (w *net) round() {
	w.now += 5 * time.Millisecond
	for _, name := range w.names {
		w.step(name, Wake{})
	}
	queue := w.queue
	w.queue = nil
	for _, d := range queue {
		w.step(d.to, BeatReceived{Beat: d.beat})
	}
}

// BenchmarkBeat is what one beat costs its receiver when nothing changes; 64
// nodes with an interval of 50 ms make 1,280 of them a second.
func BenchmarkBeat(b *testing.B) {
	for _, nodes := range []int{3, 16, 64} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			w := settled(b, nodes, 4096)
			n, from := w.nodes[w.names[0]].n, w.nodes[w.names[1]].n
			beat := *n.peer(from.cfg.Self.Name).beat
			b.ReportAllocs()
			for b.Loop() {
				next := beat
				next.Seq++
				beat = next
				n.Step(w.now, BeatReceived{Beat: &next})
			}
		})
	}
}

// BenchmarkViewChange is a view of 64 nodes that loses one: adopting it
// computes the tables.
func BenchmarkViewChange(b *testing.B) {
	w := settled(b, 64, 4096)
	n := w.nodes[w.names[0]].n
	full, less := n.view, n.view
	less.Members = less.Members[:63]
	b.ReportAllocs()
	for b.Loop() {
		full, less = less, full
		n.out = nil
		n.join(full)
	}
}
