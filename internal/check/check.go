package check

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os/exec"
	"sync"
	"time"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
	"github.com/rota-cluster/rota/internal/turn"
)

// Outcome of one probe.
type Outcome struct {
	health.Result
	// Answer is Measured, or Broken: this host could not look, which says nothing of the target.
	Answer health.Answer
	// Percent is what is left of the node's weight: 100 unless an agent says less.
	Percent int
}

// Report tells of one probe.
type Report struct {
	Check int // index into what New was given
	Outcome
	At   time.Time // when it was over
	Took time.Duration
	// Memory is what whoever asks next has to know of all answers so far; empty if nothing.
	Memory json.RawMessage
}

// Env is what checks take from outside.
type Env struct {
	Now    func() time.Time
	Random func() float64 // 0 ≤ x < 1; called by several goroutines
	// Start starts a command, at the priority that it is to have.
	Start func(*exec.Cmd) error
	Log   *slog.Logger
}

// prober is one kind of check. Probe returns soon after ctx is over.
type prober interface {
	probe(ctx context.Context) Outcome
}

// rememberer is a prober that judges an answer by those before. What it remembers outlives it.
type rememberer interface {
	memory() any // a pointer, to be read and written as JSON; nil: nothing
}

// outlaster is a prober whose look may outlast it, and the Runner.
type outlaster interface {
	turns() *turn.Turn
}

// Runner runs checks.
type Runner struct {
	env    Env
	slots  []*slot
	report func(Report)
}

// slot is one check.
type slot struct {
	index  int
	config config.Check
	prober prober
	began  time.Time // of the last probe of an earlier Runner, zero if there was none
}

// New prepares checks. report is called after each probe, by several
// goroutines; what it does delays other checks.
func New(checks []config.Check, env Env, report func(Report)) (*Runner, error) {
	r := &Runner{env: env, report: report}
	for i, c := range checks {
		p, err := newProber(c, env)
		if err != nil {
			return nil, fmt.Errorf("check %s: %w", c.Name, err)
		}
		r.slots = append(r.slots, &slot{index: i, config: c, prober: p})
	}
	return r, nil
}

// Recall has a check go on from an earlier report of it: with its memory, and when it would have been made
// again, so that rise and fall take as long as ever. One that is not At any time is made at once. It is for before Run.
func (r *Runner) Recall(check int, last Report) error {
	s := r.slots[check]
	if !last.At.IsZero() {
		s.began = last.At.Add(-last.Took)
	}
	past := s.memory()
	if past == nil || len(last.Memory) == 0 {
		return nil
	}
	if err := json.Unmarshal(last.Memory, past); err != nil {
		return fmt.Errorf("check %s: %w", s.config.Name, err)
	}
	return nil
}

// Turn is had by the probe of a check that has not come back; nil if each does.
func (r *Runner) Turn(check int) turn.Turn {
	if p, ok := r.slots[check].prober.(outlaster); ok {
		return *p.turns()
	}
	return nil
}

// Await has a check that another Runner may still be at wait for its Turn; nil changes nothing. It is for before Run.
func (r *Runner) Await(check int, t turn.Turn) {
	if p, ok := r.slots[check].prober.(outlaster); ok && t != nil {
		*p.turns() = t
	}
}

// memory of the prober, nil if it has none.
func (s *slot) memory() any {
	if r, ok := s.prober.(rememberer); ok {
		return r.memory()
	}
	return nil
}

// Run runs all checks until ctx is over.
func (r *Runner) Run(ctx context.Context) {
	var all sync.WaitGroup
	var together []*slot
	for _, s := range r.slots {
		if _, _, ok := plain(s); ok {
			together = append(together, s)
		} else {
			all.Go(func() { r.repeat(ctx, s) })
		}
	}
	if len(together) > 0 {
		all.Go(func() { r.talk(ctx, together) })
	}
	all.Wait()
}

// talk runs checks on a switchboard. Where there can be none they run by themselves, for more of the CPU.
func (r *Runner) talk(ctx context.Context, slots []*slot) {
	b, err := newSwitchboard(r, slots)
	if err == nil {
		err = b.run(ctx)
	}
	if err == nil {
		return
	}
	r.env.Log.Warn("checks of addresses run each by itself, which takes more of the CPU", "because", err)
	var all sync.WaitGroup
	for _, s := range slots {
		all.Go(func() { r.repeat(ctx, s) })
	}
	all.Wait()
}

// Once runs every check once, and reports as Run does.
func (r *Runner) Once(ctx context.Context) {
	var all sync.WaitGroup
	for _, s := range r.slots {
		all.Go(func() { r.once(ctx, s) })
	}
	all.Wait()
}

// maxStagger is how far the first probes of many checks are spread.
const maxStagger = 50 * time.Millisecond

// stagger is when the first probe begins.
func (r *Runner) stagger(s *slot) time.Duration {
	soon := time.Duration(r.env.Random() * float64(min(maxStagger, s.config.Interval)))
	if s.began.IsZero() {
		return soon
	}
	// The clock may have been set since.
	return min(max(soon, s.began.Add(r.pause(s)).Sub(r.env.Now())), s.config.Interval)
}

// pause is from the beginning of one probe to that of the next: never longer than promised,
// and not in step with others.
func (r *Runner) pause(s *slot) time.Duration {
	return time.Duration((1 - r.env.Random()/10) * float64(s.config.Interval))
}

func (r *Runner) repeat(ctx context.Context, s *slot) {
	timer := time.NewTimer(r.stagger(s))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		start := r.env.Now()
		r.once(ctx, s)
		timer.Reset(max(0, r.pause(s)-r.env.Now().Sub(start)))
	}
}

func (r *Runner) once(ctx context.Context, s *slot) {
	limited, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	start := r.env.Now()
	outcome := s.prober.probe(limited)
	if ctx.Err() != nil {
		return // stopped: no fault of the target
	}
	now := r.env.Now()
	r.tell(s, outcome, now, now.Sub(start))
}

func (r *Runner) tell(s *slot, outcome Outcome, at time.Time, took time.Duration) {
	report := Report{Check: s.index, Outcome: outcome, At: at, Took: took}
	if past := s.memory(); past != nil {
		var err error
		if report.Memory, err = json.Marshal(past); err != nil {
			report.Outcome = failure("remember what was said", err)
		}
	}
	r.report(report)
}
