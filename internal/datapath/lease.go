package datapath

import (
	"errors"
	"fmt"
	"time"
)

var errClosed = errors.New("the datapath is closed")

// The margin by which a lease in the kernel ends before the one given.
const (
	// marginTicks: how far the jiffies may be behind the clock, because the
	// CPU that counts them was late (kernel/time/tick-sched.c).
	marginTicks = 6
	// marginShare: of what is left of the lease, for clocks that do not run alike.
	marginShare = 50 // one part in 50: 2 %
)

// SetLease lets the programs accept until the given time, a reading of Now
// (CLOCK_MONOTONIC), less a margin of 2 % of the time left and 6 ticks. A time
// that has passed, such as 0, ends the lease at once. If it fails the lease is over.
//
// Only the jiffies count in the kernel. They are read before CLOCK_MONOTONIC
// and never run ahead of that: whatever happens in between, or a tick that was
// late by then, ends the lease early, never late. Ticks that are late afterwards
// are what the margin is for.
func (d *Datapath) SetLease(until time.Duration) error {
	d.leaseLock.Lock()
	defer d.leaseLock.Unlock()
	if d.control == nil {
		return errClosed
	}
	r, err := d.clock.recent()
	if err != nil {
		d.control.lease.Store(0)
		return fmt.Errorf("set the lease: %w", err)
	}
	d.control.lease.Store(d.clock.deadline(r, until))
	return nil
}

// Margin is how much earlier than the given time a lease of that length ends in
// this kernel.
func (d *Datapath) Margin(lease time.Duration) time.Duration {
	return lease/marginShare + marginTicks*d.clock.tick
}

// Expire ends the lease at once.
func (d *Datapath) Expire() {
	d.leaseLock.Lock()
	defer d.leaseLock.Unlock()
	if d.control != nil {
		d.control.lease.Store(0)
	}
}

// deadline is the first jiffy that begins, margin deducted, too late for a
// lease until the time given; 0 if there is no time left.
func (c *clock) deadline(r reading, until time.Duration) uint64 {
	left := until - r.monotonic
	left -= max(left, 0)/marginShare + marginTicks*c.tick
	if left < c.tick {
		return 0
	}
	return r.jiffies + uint64(left/c.tick)
}
