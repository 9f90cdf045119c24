package lab

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rota-cluster/rota/internal/lab/probe"
)

// lost is the node that the demo cuts off.
func (d *demo) lost() *Node { return d.nodes[1] }

// loseAndRegain cuts a node off under traffic and brings it back under held
// connections.
func (d *demo) loseAndRegain(ctx context.Context) error {
	flows, err := d.client.Flows(probe.FlowOptions{To: web(d.Shared()[0]), Flows: demoFlows, GapOver: gapTold})
	if err != nil {
		return err
	}
	asking := probe.Start(ctx, flows.Run)
	cut, healed, err := d.cutAndHeal(ctx, flows)
	report, runErr := asking.Stop()
	if err := errors.Join(err, runErr); err != nil {
		return err
	}
	d.say("%s", report)
	var taken, others, back time.Duration
	for _, gap := range report.Gaps(cut) {
		switch {
		case gap.From.After(healed):
			back = max(back, gap.Length)
		case gap.Before == d.lost().Name():
			taken = max(taken, gap.Length)
		default:
			others = max(others, gap.Length)
		}
	}
	// What the client itself was held up is no fault of the cluster.
	delay := report.Stalled.Round(time.Millisecond)
	gap := func(what string, longest, limit time.Duration) {
		d.table.excused("longest gap: "+what, longest.Round(time.Millisecond), limit, delay)
	}
	gap("flows of the node cut off", taken, d.Lease()+takeoverMargin)
	gap("flows of the others meanwhile", others, d.Lease()/2)
	gap("any flow while it came back", back, returnLimit)
	d.table.row("  of which this machine kept the client waiting", "up to "+delay.String(), "", nil)
	if report.Open > 0 {
		d.table.row("flows unanswered at the end", fmt.Sprint(report.Open), "0", report.Check(time.Hour))
	}
	return nil
}

func (d *demo) cutAndHeal(ctx context.Context, flows *probe.Flows) (cut, healed time.Time, err error) {
	if err := d.answered(ctx, flows); err != nil {
		return cut, healed, err
	}
	d.say("cutting %s off, under %d flows that ask every 10 ms", d.lost().Name(), demoFlows)
	cut = time.Now()
	if err := d.lost().Cut(); err != nil {
		return cut, healed, err
	}
	if err := d.answered(ctx, flows); err != nil {
		d.table.row("flows after the cut", "unanswered", "answered", err)
		return cut, time.Now(), nil
	}
	d.say("every flow is answered again; the table below has the gaps, as the flows saw them")
	all, err := d.agreed(ctx, d.Others(d.lost())...)
	if err != nil {
		return cut, healed, err
	}
	d.even("buckets of each node without "+d.lost().Name(), all)

	held, err := d.client.Held(probe.HeldOptions{To: lines(d.Shared()[0]), Connections: demoHeld, Every: demoHeldEvery})
	if err != nil {
		return cut, healed, err
	}
	holding := probe.Start(ctx, held.Run)
	healed, err = d.heal(ctx, flows, held)
	report, runErr := holding.Stop()
	if err := errors.Join(err, runErr); err != nil {
		return cut, healed, err
	}
	d.say("%s", report)
	d.table.row(fmt.Sprintf("of %d held connections, broken", demoHeld), fmt.Sprint(len(report.Broken)), "0", report.Check())
	return cut, healed, nil
}

// heal brings the lost node back while connections are held open.
func (d *demo) heal(ctx context.Context, flows *probe.Flows, held *probe.Held) (healed time.Time, err error) {
	opening, cancel := patient(ctx)
	defer cancel()
	if err := held.WaitOpen(opening); err != nil {
		return healed, err
	}
	if err := d.blame(ctx, held.Unopened()); err != nil {
		return healed, err // now, while the buckets are where they were
	}
	d.say("bringing %s back, under %d connections held open", d.lost().Name(), demoHeld)
	healed = time.Now()
	if err := d.lost().Heal(); err != nil {
		return healed, err
	}
	all, err := d.agreed(ctx)
	if err != nil {
		return healed, err
	}
	took := time.Since(healed).Round(time.Millisecond)
	d.say("all nodes agree again %s later: %s", took, ownersText(all[0].Pools))
	d.table.limited("nodes agree again, from the heal", took, startLimit)
	d.even("buckets of each node with it", all)
	if err := d.answered(ctx, flows); err != nil {
		return healed, err
	}
	timer := time.NewTimer(holdOn)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return healed, context.Cause(ctx)
	case <-timer.C:
		return healed, nil
	}
}

// answered waits until every flow is, with the demo's patience.
func (d *demo) answered(ctx context.Context, flows *probe.Flows) error {
	waiting, cancel := patient(ctx)
	defer cancel()
	return d.blame(ctx, flows.WaitAnswered(waiting))
}
