package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/ownership"
)

// commands are the operators' orders that the state machine has not settled yet.
// They belong to the loop.
type commands struct {
	last    uint64
	waiting map[uint64]chan ownership.CommandDone
}

// Drain hands over everything.
func (d *daemon) Drain(ctx context.Context, r api.DrainRequest) error {
	timeout := time.Duration(r.TimeoutMS) * time.Millisecond
	if r.TimeoutMS < 0 || timeout > config.MaxDrainTimeout {
		return api.BadRequest("a drain's timeout is 1ms to %v", config.MaxDrainTimeout)
	}
	return d.command(ctx, r.Node, ownership.Order{Kind: ownership.OrderDrain, Reason: r.Reason, Timeout: timeout, Force: r.Force})
}

// Resume ends a drain.
func (d *daemon) Resume(ctx context.Context, r api.ResumeRequest) error {
	return d.command(ctx, r.Node, ownership.Order{Kind: ownership.OrderResume})
}

// SetWeight sets a node's weight in every pool until its next start.
func (d *daemon) SetWeight(ctx context.Context, r api.WeightRequest) error {
	return d.command(ctx, r.Node, ownership.Order{Kind: ownership.OrderWeight, Weight: *r.Weight})
}

// command gives an order to a node and returns what became of it.
func (d *daemon) command(ctx context.Context, node string, o ownership.Order) error {
	patience := ownership.OrderPatience(d.file().Heartbeat.Interval) + answerWithin
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	result := make(chan ownership.CommandDone, 1)
	var ticket uint64
	if err := d.ordered(ctx, func() error {
		c := &d.loop.commands
		c.last++
		ticket = c.last
		c.waiting[ticket] = result
		return d.loop.step(ownership.Command{Ticket: ticket, To: node, Order: o})
	}); err != nil {
		return err
	}
	select {
	case done := <-result:
		return outcome(done)
	case <-d.loop.done:
		return errStopping
	case <-ctx.Done():
		forget := func() error { delete(d.loop.commands.waiting, ticket); return nil }
		if err := d.loop.ask(context.WithoutCancel(ctx), forget); err != nil {
			return err
		}
		return fmt.Errorf("nothing has become of the order: %w", context.Cause(ctx))
	}
}

func outcome(done ownership.CommandDone) error {
	switch done.Outcome {
	case ownership.Accepted:
		return nil
	case ownership.Refused:
		return api.Refused("%s", done.Why)
	case ownership.Unreached:
		return api.NotFound("%s", done.Why)
	default:
		return fmt.Errorf("%s", done.Why)
	}
}

// settle tells whoever waits for it what became of an order.
func (c *commands) settle(done ownership.CommandDone) {
	if result, ok := c.waiting[done.Ticket]; ok {
		result <- done
		delete(c.waiting, done.Ticket)
	}
}
