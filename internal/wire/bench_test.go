package wire

import (
	"fmt"
	"testing"

	"github.com/rota-cluster/rota/internal/ownership"
)

func BenchmarkBeat(b *testing.B) {
	for _, nodes := range []int{3, 64} {
		beat := plainBeat(nodes)
		size, parts := 0, mustSeal(b, mustSealer(b, selfRef), beat, 1)
		for _, p := range parts {
			size += len(p)
		}
		name := func(what string) string {
			return fmt.Sprintf("%s/nodes=%d/bytes=%d/parts=%d", what, nodes, size, len(parts))
		}
		b.Run(name("seal"), func(b *testing.B) {
			s, beat := mustSealer(b, selfRef), *beat
			b.ReportAllocs()
			for beat.Seq = 1; b.Loop(); beat.Seq++ {
				if _, err := s.Seal(&beat); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name("seal+open"), func(b *testing.B) {
			s, o, beat := mustSealer(b, selfRef), mustOpener(b), *beat
			b.ReportAllocs()
			for beat.Seq = 1; b.Loop(); beat.Seq++ {
				parts, err := s.Seal(&beat)
				if err != nil {
					b.Fatal(err)
				}
				var reason Reason
				for _, p := range parts {
					_, reason = o.Open(p)
				}
				if reason != ReasonAccepted {
					b.Fatal(reason)
				}
			}
		})
	}
}

// What a flood of garbage costs on the heartbeat port, from the cheapest to
// the dearest that can be sent without the key.
func BenchmarkGarbage(b *testing.B) {
	beat := plainBeat(3)
	good := mustSeal(b, mustSealer(b, selfRef), beat, 1)[0]
	change := func(at int, to byte) []byte {
		p := append([]byte(nil), good...)
		p[at] ^= to
		return p
	}
	for _, c := range []struct {
		name    string
		payload []byte
		reason  Reason
	}{
		{"not rota's", change(0, 1), ReasonBadMagic},
		{"known session", change(len(good)-1, 1), ReasonForged},
		{"invented session", change(28, 1), ReasonForged},
	} {
		b.Run(c.name, func(b *testing.B) {
			o := mustOpener(b)
			if _, reason := o.Open(good); reason != ReasonAccepted {
				b.Fatal(reason)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, reason := o.Open(c.payload); reason != c.reason {
					b.Fatal(reason)
				}
			}
		})
	}
}

// BenchmarkPinnedBeat has every bucket of the largest pool pinned, to three nodes in turn.
func BenchmarkPinnedBeat(b *testing.B) {
	beat := plainBeat(3)
	for i := range uint32(maxBuckets) {
		beat.View.Pins = append(beat.View.Pins, ownership.Pin{Bucket: i, Node: beat.View.Members[i%3].Name})
	}
	s, parts := mustSealer(b, selfRef), 0
	for beat.Seq = 1; b.Loop(); beat.Seq++ {
		p, err := s.Seal(beat)
		if err != nil {
			b.Fatal(err)
		}
		parts = len(p)
	}
	b.ReportMetric(float64(parts), "parts")
}
