package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// FlowOptions of fixed flows.
type FlowOptions struct {
	To    netip.AddrPort
	Flows int           // sources, each fixed; 1 … 4096, default 48
	Every time.Duration // one fresh connection per flow; default 10 ms, at least 1 ms
	// Patience with an open connection that gives no answer; default 100 ms.
	// One that is not even open after Every is given up and tried again.
	Patience time.Duration
	// GapOver is the shortest unanswered stretch that the report tells one by
	// one; default 5 × Every.
	GapOver time.Duration
}

// Flows asks again and again from the same sources, so that a bucket's story
// can be told: who answered, and for how long nobody did.
type Flows struct {
	client *Client
	o      FlowOptions
	flows  []flow
	epoch  time.Time
}

// flow is one source and where it stands. lastAsk is read by WaitAnswered.
type flow struct {
	ask
	story    FlowStory
	due      time.Time
	vainFrom time.Time    // when it first asked in vain; zero while it is answered
	lastAsk  atomic.Int64 // when the newest answered question was asked, since epoch
}

// Flows makes a probe of fixed flows. It asks nothing before Run.
func (c *Client) Flows(o FlowOptions) (*Flows, error) {
	o.Flows = cmp.Or(o.Flows, 48)
	o.Every = cmp.Or(o.Every, 10*time.Millisecond)
	o.Patience = cmp.Or(o.Patience, 100*time.Millisecond)
	o.GapOver = cmp.Or(o.GapOver, 5*o.Every)
	if o.Flows < 1 || o.Flows > 4096 || o.Every < time.Millisecond || o.Patience < o.Every {
		return nil, fmt.Errorf("%d flows every %s with patience %s: want 1 to 4096, at least 1ms, no less patience than that",
			o.Flows, o.Every, o.Patience)
	}
	f := &Flows{client: c, o: o, flows: make([]flow, o.Flows), epoch: time.Now()}
	for i := range f.flows {
		from, err := c.next(o.To)
		if err != nil {
			return nil, err
		}
		f.flows[i].ask = newAsk(i)
		f.flows[i].story = FlowStory{Source: from, Outcomes: make(map[Outcome]int)}
	}
	return f, nil
}

// Run asks until ctx ends, and reports.
func (f *Flows) Run(ctx context.Context) (FlowReport, error) {
	return inHost(f.client, func() (FlowReport, error) {
		report := FlowReport{ByNode: make(map[string]int), Outcomes: make(map[Outcome]int)}
		err := f.loop(ctx, &report)
		return report, err
	})
}

// WaitAnswered waits until every flow has got the answer to a question that it
// asked after the call.
func (f *Flows) WaitAnswered(ctx context.Context) error {
	since := int64(time.Since(f.epoch))
	tick := time.NewTicker(f.o.Every)
	defer tick.Stop()
	for {
		var waiting []netip.AddrPort
		for i := range f.flows {
			if f.flows[i].lastAsk.Load() <= since {
				waiting = append(waiting, f.flows[i].story.Source)
			}
		}
		if waiting == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			text := fmt.Sprintf("%d of %d flows get no answer from %s", len(waiting), len(f.flows), f.o.To)
			return fmt.Errorf("%w: %w", &NoAnswerError{Text: text, To: f.o.To, From: waiting}, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

func (f *Flows) loop(ctx context.Context, report *FlowReport) error {
	// A finer tick than Every spreads the questions, as clients do.
	tick := max(f.o.Every/8, time.Millisecond)
	p, err := newPoller(tick)
	if err != nil {
		return err
	}
	begin := time.Now()
	looked := begin
	for i := range f.flows {
		f.flows[i].due = begin.Add(f.o.Every * time.Duration(i) / time.Duration(len(f.flows)))
	}
	for ctx.Err() == nil {
		ready, ticked, err := p.wait()
		if err != nil {
			return errors.Join(err, p.close())
		}
		for _, r := range ready {
			if err := f.advance(r, report); err != nil {
				return errors.Join(err, p.close())
			}
		}
		// Whatever has come meanwhile counts before anything is given up.
		if !ticked || len(ready) == len(p.buf)-1 {
			continue
		}
		now := time.Now()
		report.Stalled = max(report.Stalled, now.Sub(looked)-tick)
		looked = now
		for i := range f.flows {
			if err := f.ask(p, &f.flows[i], now, report); err != nil {
				return errors.Join(err, p.close())
			}
		}
	}
	f.finish(report, time.Since(begin))
	return p.close()
}

// ask asks the flow's next question if it is due, giving up one that has had its time.
func (f *Flows) ask(p *poller, l *flow, now time.Time, report *FlowReport) error {
	if now.Before(l.due) {
		return nil
	}
	switch age := now.Sub(l.started); {
	case l.phase == asking && age < f.o.Patience:
		return nil
	case l.phase != idle:
		l.abort()
		l.inVain(Unanswered)
	}
	outcome, err := l.start(p, now, l.story.Source, f.o.To)
	if errors.Is(err, unix.EADDRINUSE) || errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil // a process that is being started has a copy of the last socket until it runs: at the next tick
	}
	if err != nil {
		return err
	}
	if l.due = l.due.Add(f.o.Every); l.due.Before(now) {
		l.due = now.Add(f.o.Every) // after a stall there is nothing to catch up on
	}
	l.story.Asked++
	if outcome != Answered {
		l.inVain(outcome)
	}
	return nil
}

func (f *Flows) advance(r readiness, report *FlowReport) error {
	l := &f.flows[r.id]
	if l.generation != r.generation || l.phase == idle {
		return nil
	}
	done, node, outcome, err := l.advance()
	if err != nil || !done {
		return err
	}
	if outcome != Answered {
		l.inVain(outcome)
		return nil
	}
	now := time.Now()
	report.Latency.add(now.Sub(l.started))
	report.ByNode[node]++
	l.answered(now, node, f.o.GapOver)
	l.lastAsk.Store(int64(l.started.Sub(f.epoch)))
	return nil
}

// finish closes the flows and sums up their stories.
func (f *Flows) finish(report *FlowReport, took time.Duration) {
	report.Took = took
	now := time.Now()
	for i := range f.flows {
		l := &f.flows[i]
		l.stillWaiting(now, f.o)
		l.abort()
		report.add(l.story)
	}
}
