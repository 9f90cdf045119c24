package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ArrivalOptions of clients that come one after the other, each from a source
// of its own, and do not wait for each other.
type ArrivalOptions struct {
	To       netip.AddrPort
	Every    time.Duration // a new connection; default 5 ms, at least 1 ms
	Patience time.Duration // of each; default 5 s
	SlowOver time.Duration // the report tells answers that took longer one by one; default 150 ms
}

// Arrivals asks over a new connection every now and then, whatever becomes of
// the earlier ones. The client's kernel sends a SYN again after 1 s.
type Arrivals struct {
	client *Client
	o      ArrivalOptions
	poller *poller
	due    time.Time
	ended  atomic.Int64 // connections, answered or not

	mu     sync.Mutex // held while the loop works, not while it waits
	asks   []ask
	idle   []int32 // those of asks that are free
	report ArrivalReport
	begin  time.Time // of the report
}

// ArrivalReport is what clients saw since the start, or since the last Lap.
type ArrivalReport struct {
	Asked    int
	Outcomes map[Outcome]int // in the order of their ends
	ByNode   map[string]int  // answers
	Latency  Latency         // of answers, from the first SYN
	Slow     []Arrival       // the first storyBound that were slow, or not answered at all
	Stalled  time.Duration   // see FlowReport
	Took     time.Duration
}

// Arrival is one client's connection.
type Arrival struct {
	Source  netip.AddrPort
	At      time.Time // when it came
	Waited  time.Duration
	Outcome Outcome
	Node    string // that answered; "" if none
}

func (a Arrival) String() string {
	return fmt.Sprintf("%s waited %s: %s %s", a.Source, short(a.Waited), a.Outcome, a.Node)
}

// Failed counts the connections without an answer.
func (r ArrivalReport) Failed() int {
	failed := 0
	for outcome, n := range r.Outcomes {
		if outcome != Answered {
			failed += n
		}
	}
	return failed
}

func (r ArrivalReport) String() string {
	return fmt.Sprintf("%d connections in %s: %s; by %s; %s; the probe itself stalled for up to %s",
		r.Asked, short(r.Took), tally(r.Outcomes), tally(r.ByNode), &r.Latency, short(r.Stalled))
}

// Arrivals makes a probe of new connections. It asks nothing before Run.
func (c *Client) Arrivals(o ArrivalOptions) (*Arrivals, error) {
	o.Every = cmp.Or(o.Every, 5*time.Millisecond)
	o.Patience = cmp.Or(o.Patience, 5*time.Second)
	o.SlowOver = cmp.Or(o.SlowOver, 150*time.Millisecond)
	if o.Every < time.Millisecond {
		return nil, fmt.Errorf("a new connection every %s: want at least 1ms", o.Every)
	}
	a := &Arrivals{client: c, o: o}
	a.report = newArrivalReport()
	return a, nil
}

func newArrivalReport() ArrivalReport {
	return ArrivalReport{Outcomes: make(map[Outcome]int), ByNode: make(map[string]int)}
}

// Run asks until ctx ends, then waits for the answers to what has been asked.
// It reports what was since the last Lap.
func (a *Arrivals) Run(ctx context.Context) (ArrivalReport, error) {
	return inHost(a.client, func() (ArrivalReport, error) {
		err := a.loop(ctx)
		return a.Lap(), err
	})
}

// Lap reports what was since the last call, or since the start, while Run goes on.
func (a *Arrivals) Lap() ArrivalReport {
	a.mu.Lock()
	defer a.mu.Unlock()
	report, now := a.report, time.Now()
	report.Took = now.Sub(a.begin)
	a.report, a.begin = newArrivalReport(), now
	return report
}

// WaitEnded waits until so many more connections have been answered, or have failed.
func (a *Arrivals) WaitEnded(ctx context.Context, more int) error {
	want := a.ended.Load() + int64(more)
	tick := time.NewTicker(a.o.Every)
	defer tick.Stop()
	for a.ended.Load() < want {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %d more new connections: %w", want-a.ended.Load(), ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

func (a *Arrivals) loop(ctx context.Context) (err error) {
	tick := max(a.o.Every/2, time.Millisecond)
	if a.poller, err = newPoller(tick); err != nil {
		return err
	}
	defer func() {
		for i := range a.asks {
			a.asks[i].abort()
		}
		err = errors.Join(err, a.poller.close())
	}()
	looked := time.Now()
	a.mu.Lock()
	a.begin, a.due = looked, looked
	a.mu.Unlock()
	for ctx.Err() == nil || len(a.idle) < len(a.asks) {
		ready, ticked, err := a.poller.wait()
		if err != nil {
			return err
		}
		now := time.Now()
		a.mu.Lock()
		if ticked {
			a.report.Stalled = max(a.report.Stalled, now.Sub(looked)-tick)
			looked = now
		}
		err = a.work(ready, ticked, now, ctx.Err() == nil)
		a.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// work deals with what the poller has told.
func (a *Arrivals) work(ready []readiness, ticked bool, now time.Time, more bool) error {
	for _, r := range ready {
		if err := a.advance(&a.asks[r.id], r.generation); err != nil {
			return err
		}
	}
	if !ticked {
		return nil
	}
	for i := range a.asks {
		if s := &a.asks[i]; s.phase != idle && now.Sub(s.started) >= a.o.Patience {
			s.abort()
			a.finish(s, Unanswered, "")
		}
	}
	for ; more && !a.due.After(now); a.due = a.due.Add(a.o.Every) {
		if err := a.open(); err != nil {
			return err
		}
	}
	return nil
}

// open is the next client.
func (a *Arrivals) open() error {
	if len(a.idle) == 0 {
		a.idle = append(a.idle, int32(len(a.asks)))
		a.asks = append(a.asks, newAsk(len(a.asks)))
	}
	s := &a.asks[a.idle[len(a.idle)-1]]
	for {
		from, err := a.client.next(a.o.To)
		if err != nil {
			return err
		}
		outcome, err := s.start(a.poller, time.Now(), from, a.o.To)
		if errors.Is(err, unix.EADDRINUSE) || errors.Is(err, unix.EADDRNOTAVAIL) {
			continue // another probe of this client holds the source
		}
		if err != nil {
			return err
		}
		a.idle = a.idle[:len(a.idle)-1]
		a.report.Asked++
		if outcome != Answered {
			a.finish(s, outcome, "")
		}
		return nil
	}
}

func (a *Arrivals) advance(s *ask, generation int32) error {
	if s.generation != generation || s.phase == idle {
		return nil
	}
	done, node, outcome, err := s.advance()
	if done && err == nil {
		a.finish(s, outcome, node)
	}
	return err
}

func (a *Arrivals) finish(s *ask, outcome Outcome, node string) {
	a.idle = append(a.idle, s.id)
	a.ended.Add(1)
	a.report.Outcomes[outcome]++
	waited := time.Since(s.started)
	if outcome == Answered {
		a.report.ByNode[node]++
		a.report.Latency.add(waited)
	}
	if (outcome != Answered || waited > a.o.SlowOver) && len(a.report.Slow) < storyBound {
		a.report.Slow = append(a.report.Slow, Arrival{Source: s.from, At: s.started, Waited: waited, Outcome: outcome, Node: node})
	}
}
