package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab/probe"
	"github.com/rota-cluster/rota/internal/lab/service"
)

// What the demo does, and what it holds rota to.
const (
	demoConnections  = 10_000
	demoConnections6 = 2_000
	demoFlows        = 24
	demoHeld         = 300
	demoHeldEvery    = 50 * time.Millisecond
	demoBound        = 50 * time.Second // for all of it: with its end, it is over within a minute
	demoPatience     = 15 * time.Second // for any one thing to happen
	demoEnough       = 100              // connections without an answer: it ends with them
	idleWindow       = 3 * time.Second
	holdOn           = time.Second            // under held connections, after the node is back
	startLimit       = 5 * time.Second        // for nodes started together to agree
	takeoverMargin   = 100 * time.Millisecond // beyond the lease, for a flow of a node cut off
	returnLimit      = time.Second            // for any flow while a node comes back
	gapTold          = 20 * time.Millisecond  // shorter waits are a client's everyday life
	residentLimit    = 40 << 20
	cpuLimit         = 0.015
)

var (
	errInterrupted = errors.New("interrupted")
	errImpatient   = fmt.Errorf("waited for %s", demoPatience)
)

// demo is one run of `rota lab --demo`.
type demo struct {
	*Lab
	out   io.Writer
	table table
	tap   *probe.Running[probe.TapReport]
}

// Demo brings a cluster up, cuts a node off and brings it back, under real
// connections all the while, and tells what it measured. It is an error if
// anything happened that a user would call wrong, or it took too long.
func Demo(ctx context.Context, o Options, out io.Writer) error {
	return demoWithin(ctx, demoBound, o, out)
}

func demoWithin(ctx context.Context, bound time.Duration, o Options, out io.Writer) (err error) {
	l, err := New(o)
	if err != nil {
		return err
	}
	if l.options.Nodes < 3 {
		return errors.New("the demo needs at least 3 nodes")
	}
	d := &demo{Lab: l, out: out}
	begin := time.Now()
	bounded, cancel := context.WithTimeoutCause(ctx, bound, fmt.Errorf("the demo has %s for everything, and they are over", bound))
	defer cancel()
	if err := l.Start(bounded); err != nil {
		return err
	}
	defer func() {
		if ctx.Err() != nil {
			err = errInterrupted
		} else if err != nil {
			d.tellLogs()
		}
		err = errors.Join(err, l.Close())
	}()
	if err := d.run(bounded, begin); err != nil {
		return errors.Join(d.table.verdict(), err)
	}
	d.say("")
	fmt.Fprint(out, d.table.String())
	if err := d.table.verdict(); err != nil {
		return err
	}
	d.say("\n%s", d.table.success())
	return nil
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

// run is the demo's story. An error ends it; what is merely wrong goes into the table.
func (d *demo) run(ctx context.Context, begin time.Time) error {
	tap, err := d.OpenTap()
	if err != nil {
		return err
	}
	d.tap = probe.Start(ctx, tap.Run)
	steps := []struct {
		what string
		do   func(context.Context) error
	}{
		{"the nodes were to agree", func(ctx context.Context) error { return d.comeUp(ctx, begin) }},
		{"the daemons were idle", d.idle},
		{"clients asked over new connections", d.askMany},
		{"a node was cut off and came back", d.loseAndRegain},
		{"all frames were judged", d.judgeFrames},
	}
	for _, step := range steps {
		if err := step.do(ctx); err != nil {
			_, tapErr := d.tap.Stop()
			return errors.Join(fmt.Errorf("while %s: %w", step.what, err), tapErr)
		}
	}
	return nil
}

func (d *demo) comeUp(ctx context.Context, begin time.Time) error {
	d.say("lab %s: %d nodes, a client and a switch; the nodes share %s", d.Name(), len(d.nodes), joined(d.Shared()))
	all, err := d.agreed(ctx)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	d.table.limited("nodes agree, from nothing", took.Round(time.Millisecond), startLimit)
	d.even("buckets of each node", all)
	d.say("they agree after %s: %s; datapath %s", took.Round(time.Millisecond), ownersText(all[0].Pools), all[0].Pools[0].Datapath)
	return nil
}

// agreed waits until the nodes agree, with the demo's patience.
func (d *demo) agreed(ctx context.Context, nodes ...*Node) ([]*api.Status, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	return d.WaitAgreed(ctx, nodes...)
}

// patient bounds what is waited for.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, demoPatience, errImpatient)
}

func (d *demo) even(what string, all []*api.Status) {
	pool := all[0].Pools[0]
	counts := slices.Sorted(maps.Values(pool.Owners))
	d.table.row(what, fmt.Sprint(counts), "even to ±1", Even(pool, len(all)))
}

// idle measures what the daemons cost while nothing happens.
func (d *demo) idle(ctx context.Context) error {
	usages := make([]Usage, len(d.nodes))
	failed := make([]error, len(d.nodes))
	running := make(chan int)
	for i, n := range d.nodes {
		go func() {
			usages[i], failed[i] = n.Usage(ctx, idleWindow)
			running <- i
		}()
	}
	var worst Usage
	for range d.nodes {
		u := usages[<-running]
		worst.CPU, worst.Resident = max(worst.CPU, u.CPU), max(worst.Resident, u.Resident)
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	d.table.note("an idle daemon's memory", fmt.Sprintf("%.1f MiB", float64(worst.Resident)/(1<<20)), "40 MiB", worst.Resident <= residentLimit)
	d.table.note("an idle daemon's CPU", fmt.Sprintf("%.2f %% of a core", worst.CPU*100), "1.5 %", worst.CPU <= cpuLimit)
	d.say("an idle daemon takes %s", worst)
	return nil
}

func (d *demo) askMany(ctx context.Context) error {
	for _, a := range d.Shared() {
		connections := demoConnections
		if a.Is6() {
			connections = demoConnections6
		}
		report, err := d.client.Burst(ctx, probe.Burst{To: web(a), Connections: connections, Enough: demoEnough})
		if err != nil {
			return err
		}
		unanswered := d.blame(ctx, report.Check())
		if report.Failed() >= demoEnough {
			return unanswered // there is nothing to learn from a cut that clients see anyway
		}
		d.say("%s: %s", a, report)
		d.table.row(fmt.Sprintf("%d connections to %s, answered", connections, a),
			fmt.Sprint(report.Outcomes[probe.Answered]), fmt.Sprint(connections), unanswered)
		d.table.row("  shares of the nodes", sharesOf(report), "", everybodyAnswers(report, d.nodes))
	}
	return nil
}

func sharesOf(r probe.BurstReport) string {
	text := ""
	for _, node := range slices.Sorted(maps.Keys(r.ByNode)) {
		text += fmt.Sprintf("%.1f %% ", 100*float64(r.ByNode[node])/float64(r.Asked))
	}
	return text
}

func everybodyAnswers(r probe.BurstReport, nodes []*Node) error {
	var idle []error
	for _, n := range nodes {
		if r.ByNode[n.Name()] == 0 {
			idle = append(idle, fmt.Errorf("%s answered none of %d connections to %s", n.Name(), r.Asked, r.To))
		}
	}
	return errors.Join(idle...)
}

func (d *demo) judgeFrames(context.Context) error {
	seen, err := d.tap.Stop()
	if err != nil {
		return err
	}
	d.say("%s", seen)
	d.table.row("connections answered twice", fmt.Sprint(seen.Twice), "0", seen.Check(d.lost().Name()))
	err = d.CheckBindings()
	measured := "none"
	if err != nil {
		measured = "some"
	}
	d.table.row("ARP, ND with a node's own MAC", measured, "none", err)
	return nil
}

func (d *demo) tellLogs() {
	for _, n := range d.nodes {
		d.say("--- the end of %s's log\n%s", n.Name(), lastLines(n.LogFile()))
	}
}

func web(a netip.Addr) netip.AddrPort   { return netip.AddrPortFrom(a, service.HTTPPort) }
func lines(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, service.LinePort) }
