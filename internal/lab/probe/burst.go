package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Burst is many connections, each from a source of its own, each asking who
// answers. The client's kernel sends a SYN again after 1 s, as it does for anybody.
type Burst struct {
	To          netip.AddrPort
	Connections int           // 1 … 1,000,000
	Parallel    int           // at most as many at a time; default 128
	Patience    time.Duration // for one connection; default 5 s
	Enough      int           // without an answer end the burst; 0: all are asked whatever comes
}

// BurstReport is what a burst saw.
type BurstReport struct {
	To       netip.AddrPort
	Asked    int
	Outcomes map[Outcome]int
	ByNode   map[string]int   // answers
	Latency  Latency          // of answers, from the first SYN
	Vain     []netip.AddrPort // sources of the first storyBound that were not answered
	Took     time.Duration
}

// Check tells what a user would call wrong: a connection without an answer.
func (r BurstReport) Check() error {
	if r.Failed() == 0 {
		return nil
	}
	text := fmt.Sprintf("%d of %d connections to %s were not answered: %s", r.Failed(), r.Asked, r.To, tally(r.Outcomes))
	return &NoAnswerError{Text: text, To: r.To, From: r.Vain}
}

// Failed counts the connections without an answer.
func (r BurstReport) Failed() int { return r.Asked - r.Outcomes[Answered] }

func (r BurstReport) String() string {
	return fmt.Sprintf("%d connections in %s: %s; by %s; %s",
		r.Asked, short(r.Took), tally(r.Outcomes), tally(r.ByNode), &r.Latency)
}

// Burst runs a burst to its end, or ctx's.
func (c *Client) Burst(ctx context.Context, o Burst) (BurstReport, error) {
	if o.Connections < 1 || o.Connections > 1_000_000 {
		return BurstReport{}, fmt.Errorf("a burst of %d connections: want 1 to 1,000,000", o.Connections)
	}
	o.Parallel = min(cmp.Or(o.Parallel, 128), o.Connections)
	o.Patience = cmp.Or(o.Patience, 5*time.Second)
	return inHost(c, func() (BurstReport, error) {
		b := &burst{Burst: o, client: c}
		b.report = BurstReport{To: o.To, Outcomes: make(map[Outcome]int), ByNode: make(map[string]int)}
		err := b.run(ctx)
		return b.report, err
	})
}

// burst is a Burst under way.
type burst struct {
	Burst
	client *Client
	poller *poller
	asks   []ask
	open   int
	vain   int
	report BurstReport
}

func (b *burst) run(ctx context.Context) (err error) {
	if b.poller, err = newPoller(50 * time.Millisecond); err != nil {
		return err
	}
	begin := time.Now()
	defer func() {
		for i := range b.asks {
			b.asks[i].abort()
		}
		b.report.Asked -= b.open // an end before its time: nobody knows what had become of them
		b.report.Took = time.Since(begin)
		err = errors.Join(err, b.poller.close())
	}()
	b.asks = make([]ask, b.Parallel)
	for i := range b.asks {
		b.asks[i] = newAsk(i)
		if err := b.startNext(&b.asks[i]); err != nil {
			return err
		}
	}
	for b.open > 0 && (b.Enough == 0 || b.vain < b.Enough) {
		ready, ticked, err := b.poller.wait()
		if err != nil {
			return err
		}
		for _, r := range ready {
			if err := b.advance(r); err != nil {
				return err
			}
		}
		if !ticked {
			continue
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the burst to %s ended with %d of %d connections: %s; %d were under way: %w",
				b.To, b.report.Asked-b.open, b.Connections, tally(b.report.Outcomes), b.open, context.Cause(ctx))
		}
		if err := b.expire(time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// startNext opens the next connection that does not fail at once.
func (b *burst) startNext(a *ask) error {
	for b.report.Asked < b.Connections {
		from, err := b.client.next(b.To)
		if err != nil {
			return err
		}
		outcome, err := a.start(b.poller, time.Now(), from, b.To)
		if errors.Is(err, unix.EADDRINUSE) || errors.Is(err, unix.EADDRNOTAVAIL) {
			continue // another probe of this client holds the source
		}
		if err != nil {
			return err
		}
		b.report.Asked++
		if outcome == Answered {
			b.open++
			return nil
		}
		b.count(a, outcome)
	}
	return nil
}

func (b *burst) count(a *ask, outcome Outcome) {
	b.report.Outcomes[outcome]++
	if outcome == Answered {
		return
	}
	b.vain++
	if len(b.report.Vain) < storyBound {
		b.report.Vain = append(b.report.Vain, a.from)
	}
}

func (b *burst) advance(r readiness) error {
	a := &b.asks[r.id]
	if a.generation != r.generation || a.phase == idle {
		return nil
	}
	done, node, outcome, err := a.advance()
	if err != nil || !done {
		return err
	}
	if outcome == Answered {
		b.report.ByNode[node]++
		b.report.Latency.add(time.Since(a.started))
	}
	return b.finish(a, outcome)
}

func (b *burst) expire(now time.Time) error {
	for i := range b.asks {
		a := &b.asks[i]
		if a.phase == idle || now.Sub(a.started) < b.Patience {
			continue
		}
		a.abort()
		if err := b.finish(a, Unanswered); err != nil {
			return err
		}
	}
	return nil
}

func (b *burst) finish(a *ask, outcome Outcome) error {
	b.count(a, outcome)
	b.open--
	return b.startNext(a)
}

// tally writes counts as "3 answered, 1 reset", most first.
func tally[K cmp.Ordered](counts map[K]int) string {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b K) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	var parts []string
	for _, k := range keys {
		parts = append(parts, fmt.Sprintf("%d %v", counts[k], k))
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}
