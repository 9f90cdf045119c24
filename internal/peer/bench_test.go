package peer

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"
)

// BenchmarkLate is how late a wait for the next beat ends: a waiter's, and one by a
// deadline of the Go runtime.
func BenchmarkLate(b *testing.B) {
	const beat = 50*time.Millisecond - 300*time.Microsecond
	w, _, _ := waiting(b)
	waits := map[string]func(until time.Duration) error{
		"waiter": func(until time.Duration) error { return w.wait(until, never) },
		"runtime": func(until time.Duration) error {
			if err := w.file.SetReadDeadline(time.Now().Add(until - monotonic(b))); err != nil {
				return err
			}
			err := w.raw.Read(func(uintptr) bool { return false })
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				return errors.Join(errors.New("ended before its time"), err)
			}
			return w.file.SetReadDeadline(time.Time{})
		},
	}
	for name, wait := range waits {
		b.Run(name, func(b *testing.B) {
			var late []time.Duration
			for b.Loop() {
				until := monotonic(b) + beat
				if err := wait(until); err != nil {
					b.Fatal(err)
				}
				late = append(late, monotonic(b)-until)
			}
			slices.Sort(late)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(late[len(late)/2].Microseconds()), "µs-late-median")
			b.ReportMetric(float64(late[len(late)*9/10].Microseconds()), "µs-late-p90")
		})
	}
}

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
