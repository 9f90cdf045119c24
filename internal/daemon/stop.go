package daemon

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// stopLook is how often a daemon that stops looks whether it is empty.
const stopLook = 50 * time.Millisecond

// errStopped ends the loop as an operator asked for.
var errStopped = errors.New("stopped")

// obeyStops does what SIGTERM and SIGINT ask for: at the first one the node hands
// over, lets its connections end and stops; at the second it stops at once.
func (d *daemon) obeyStops(ctx context.Context, stops <-chan os.Signal) {
	select {
	case <-ctx.Done():
		return
	case <-stops:
	}
	d.leaving.Store(true)
	d.handOver(ctx, "the daemon stops", stops)
	d.end(errStopped)
}

// handOver drains the node. It returns when nothing is left on it, when waiting is of
// no use, or at a signal of hurry; it says in the log what it waits for.
func (d *daemon) handOver(ctx context.Context, reason string, hurry <-chan os.Signal) {
	own, err := d.drainFor(ctx, reason)
	owned, lingering := left(own)
	switch {
	case err != nil || owned+lingering == 0:
		return
	case owned > 0 && !takesOver(own):
		d.log.Warn("nobody else can take over: does not wait for the connections that are open")
		return
	}
	d.log.Info("hands over, then waits for the connections that are open; a second SIGTERM ends it at once", "because", reason)
	tick := time.NewTicker(stopLook)
	defer tick.Stop()
	began, told := time.Now(), false
	for owned+lingering > 0 {
		select {
		case <-ctx.Done():
			return
		case <-hurry:
			d.log.Warn("does not wait any longer for the connections that are open", "buckets", lingering)
			return
		case <-tick.C:
		}
		if own, err = d.ownStatus(ctx); err != nil {
			return
		}
		owned, lingering = left(own)
		if owned > 0 && (!takesOver(own) || time.Since(began) > d.handoverWithin()) {
			d.log.Warn("nobody else takes over: does not wait for the connections that are open")
			return
		}
		if owned == 0 && lingering > 0 && !told {
			told = true
			d.log.Info("has handed over; connections are open here still", "buckets", lingering, "waits_at_most", d.longestDrain())
		}
	}
}

// drainFor drains the node if somebody can take over what it owns, or has already.
func (d *daemon) drainFor(ctx context.Context, reason string) (own ownership.Status, err error) {
	err = d.loop.ask(ctx, func() error {
		own = d.loop.node.Status(now())
		if owned, lingering := left(own); owned+lingering == 0 || owned > 0 && !takesOver(own) {
			return nil
		}
		return d.loop.step(ownership.Retire{Reason: reason})
	})
	return own, err
}

func (d *daemon) ownStatus(ctx context.Context) (own ownership.Status, err error) {
	err = d.loop.ask(ctx, func() error { own = d.loop.node.Status(now()); return nil })
	return own, err
}

// left is how many buckets a node accepts, and in how many more it has connections.
func left(own ownership.Status) (owned, lingering int) {
	for _, p := range own.Pools {
		owned += p.Owned.Count()
		lingering += p.Lingering.Count()
	}
	return owned, lingering
}

// handoverWithin is long enough for any handover that will come about.
func (d *daemon) handoverWithin() time.Duration {
	return max(10*d.file().Heartbeat.Lease, 3*time.Second)
}

func (d *daemon) longestDrain() time.Duration { return slices.Max(d.loop.lingering.timeouts) }

// takesOver tells whether another member serves and wants to.
func takesOver(own ownership.Status) bool {
	return slices.ContainsFunc(own.Nodes, func(n ownership.NodeStatus) bool {
		return !n.Self && n.Member && n.Mutual && !n.Silent && !n.Left && n.State == ownership.StateServing &&
			slices.ContainsFunc(n.Weights, func(w uint16) bool { return w > 0 && w != ownership.NoShare })
	})
}
