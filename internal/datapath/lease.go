package datapath

import (
	"errors"
	"fmt"
	"time"
)

var errClosed = errors.New("the datapath is closed")

// fuse is what the programs compare a lease with: lease_is_over of
// bpf/control.h. Its zero value is over.
type fuse struct {
	jiffy uint64        // before it the lease is certainly in force
	until time.Duration // before it, by CLOCK_MONOTONIC, it is exactly
}

// blown tells whether the lease is over.
func (f fuse) blown(jiffies uint64, monotonic time.Duration) bool {
	return jiffies >= f.jiffy && monotonic >= f.until
}

// By how much the jiffy comes before the end of the lease. Not a part of the
// lease is lost by that: what is between costs the programs a look at the exact
// clock, so there is no reason to be sparing. At least what follows, and half
// of what is left; a node that is heard renews its lease long before.
const (
	// marginTicks: how far the jiffies may be behind the clock, because the CPU
	// that counts them was late: others step in after five of their own
	// (MAX_STALLED_JIFFIES, kernel/time/tick-sched.c).
	marginTicks = 6
	// marginShare: of what is left of the lease, for ticks that were lost for good.
	marginShare = 50 // one part in 50: 2 %
)

// SetLease lets the programs accept until exactly the given time, a reading of
// Now (CLOCK_MONOTONIC, which is bpf_ktime_get_ns too). A time that has
// passed, such as 0, ends the lease at once. If it fails the lease is over.
//
// Nothing is deducted. Now is behind the programs' clock, never ahead of it, so
// what remains between the two shortens the lease, by less than a microsecond
// as a rule (origin).
func (d *Datapath) SetLease(until time.Duration) error {
	d.leaseLock.Lock()
	defer d.leaseLock.Unlock()
	if d.control == nil {
		return errClosed
	}
	r, err := d.clock.recent()
	if err != nil {
		d.control.grant(fuse{})
		return fmt.Errorf("set the lease: %w", err)
	}
	d.control.grant(d.clock.fuse(r, Now(), until))
	return nil
}

// Expire ends the lease at once.
func (d *Datapath) Expire() {
	d.leaseLock.Lock()
	defer d.leaseLock.Unlock()
	if d.control != nil {
		d.control.grant(fuse{})
	}
}

// grant makes a fuse the programs'. When it returns none looks at an earlier one.
func (c *control) grant(f fuse) {
	c.lease.Store(f.jiffy)
	c.until.Store(uint64(max(f.until, 0)))
}

// fuse is for a lease until the time given. Its jiffy is the first that begins
// too late, margin deducted, as far as that can be told from an earlier
// reading; 0 if none is early enough.
func (c *clock) fuse(r reading, now, until time.Duration) fuse {
	ahead := until - r.monotonic
	sure := ahead - max((until-now)/2, ahead/marginShare+marginTicks*c.tick)
	if !r.reliable || sure < c.tick {
		return fuse{until: until}
	}
	return fuse{jiffy: r.jiffies + uint64(sure/c.tick), until: until}
}
