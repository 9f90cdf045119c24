package peer

import "testing"

// BenchmarkBeat is one payload from Send to the reader of another host's
// queue, through a bridge: both sides' cost, and the wake-ups between them.
func BenchmarkBeat(b *testing.B) {
	hosts := newSegment(b, 2)
	from, to := hosts[0].open(b, options()), listen(b, hosts[1].open(b, options()))
	beat := [][]byte{make([]byte, 800)}
	b.ReportAllocs()
	for b.Loop() {
		if err := from.Send(beat); err != nil {
			b.Fatal(err)
		}
		to.next()
	}
}

// BenchmarkSend is what the sender alone pays, with a receiver that the kernel drops for.
func BenchmarkSend(b *testing.B) {
	hosts := newSegment(b, 2)
	from := hosts[0].open(b, options())
	hosts[1].open(b, options())
	beat := [][]byte{make([]byte, 800)}
	b.ReportAllocs()
	for b.Loop() {
		if err := from.Send(beat); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseFrame(b *testing.B) {
	frame := mustAppend(b, frame6(string(make([]byte, 800))))
	b.ReportAllocs()
	for b.Loop() {
		if _, fault := ParseFrame(frame); fault != FaultNone {
			b.Fatal(fault)
		}
	}
}
