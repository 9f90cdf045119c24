package datapath

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Now is CLOCK_MONOTONIC since its origin. It is the clock of SetLease, and
// the one behind time.Time's monotonic reading, which it asks because that takes
// no system call.
func Now() time.Duration { return origin().offset + time.Since(origin().at) }

// origin ties time.Time's monotonic reading, whose own origin is the process's
// business, to CLOCK_MONOTONIC. The kernel is asked first, so that Now is never
// ahead of it: a lease ends early, not late. By how much is decided here once,
// so of several tries the one counts that was disturbed least.
var origin = sync.OnceValue(func() (o struct {
	offset time.Duration
	at     time.Time
}) {
	const tries = 32
	for range tries {
		var ts unix.Timespec
		if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil { // cannot fail on Linux; a lease counted from 0 is over
			continue
		}
		offset, at := time.Duration(ts.Nano()), time.Now()
		if o.at.IsZero() || offset-at.Sub(o.at) > o.offset {
			o.offset, o.at = offset, at
		}
	}
	return o
})

// clock turns CLOCK_MONOTONIC into jiffies, for the first, cheap look at the lease.
type clock struct {
	program *ebpf.Program // rota_clock
	tick    time.Duration // of one jiffy: 1 s / HZ
	base    reading       // an earlier one, to see that the jiffies keep up
	latest  reading
}

// readingAge is how long a reading serves. Jiffies follow CLOCK_MONOTONIC and
// catch up by themselves when a tick came late (tick_do_update_jiffies64,
// kernel/time/tick-sched.c), so an older reading is as safe as a new one; what
// is late when a packet comes is what the margin is for.
const readingAge = 500 * time.Millisecond

// recent is a reading that is not older than readingAge.
func (c *clock) recent() (reading, error) {
	if c.latest.jiffies != 0 && Now()-c.latest.monotonic < readingAge {
		return c.latest, nil
	}
	var err error
	c.latest, err = c.now()
	return c.latest, err
}

// baseAge is how long two readings are compared before the later one takes
// the place of the earlier. Long enough for 2 % to exceed the ticks' jitter.
const baseAge = 2 * time.Second

// reading is the two clocks read one after the other, jiffies first.
type reading struct {
	jiffies   uint64
	monotonic time.Duration
	reliable  bool // the jiffies kept up since an earlier reading
}

func newClock(program *ebpf.Program) (clock, error) {
	// The kernel gives TICK_NSEC as the coarse clocks' resolution
	// (posix_get_coarse_res, kernel/time/posix-timers.c).
	var ts unix.Timespec
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &ts); err != nil {
		return clock{}, fmt.Errorf("ask the kernel for the length of its tick: %w", err)
	}
	tick := time.Duration(ts.Nano())
	if tick < 100*time.Microsecond || tick > 50*time.Millisecond {
		return clock{}, fmt.Errorf("the kernel's tick of %v cannot be true: no lease can be measured in it", tick)
	}
	c := clock{program: program, tick: tick}
	var err error
	c.base, err = c.read()
	return c, err
}

// now is a reading. It says once that the jiffies did not keep up, and compares
// with itself from then on: a lease must not be measured in jiffies that are being lost.
func (c *clock) now() (reading, error) {
	r, err := c.read()
	if err != nil {
		return reading{}, err
	}
	passed := r.monotonic - c.base.monotonic
	counted := time.Duration(r.jiffies-c.base.jiffies) * c.tick
	r.reliable = passed-counted <= passed/marginShare+marginTicks*c.tick
	if !r.reliable || passed > baseAge {
		c.base = r
	}
	return r, nil
}

func (c *clock) read() (reading, error) {
	out := make([]byte, 64)
	run := ebpf.RunOptions{Data: make([]byte, 64), DataOut: out}
	if _, err := c.program.Run(&run); err != nil {
		return reading{}, fmt.Errorf("read the kernel's clock by a BPF test run: %w", err)
	}
	return reading{
		jiffies:   binary.NativeEndian.Uint64(run.DataOut),
		monotonic: time.Duration(binary.NativeEndian.Uint64(run.DataOut[8:])),
	}, nil
}
