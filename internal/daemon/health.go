package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/check"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
	"github.com/rota-cluster/rota/internal/ownership"
	"github.com/rota-cluster/rota/internal/sign"
)

// ward runs the checks and signs of this node, and says in each pool how much
// of its weight the node carries. It has goroutines of its own; the loop
// hears from it only when something is to be different.
type ward struct {
	log     *slog.Logger
	node    string
	loop    *loop
	tell    func(api.Event)
	pools   []config.Pool
	checks  *check.Runner
	signs   *sign.Watcher
	dirty   chan struct{}   // something is to be judged
	changed chan<- struct{} // what is known is to be noted
	// retired is closed, in the loop, when a reload has put another in this one's place.
	retired chan struct{}

	mu       sync.Mutex
	ofChecks []checkSeat // of all pools, in order
	ofSigns  []signSeat
	news     []occurrence // changes that the hooks have not been told of
	blame    health.Blame
	applied  conclusion
	degraded spell
	lackTold health.Time // when the log was told last that a check could not look; 0: never

	concluding sync.Mutex // one conclusion at a time; taken before mu
}

// checkSeat is a check of a pool, and what is known of it.
type checkSeat struct {
	config.Check
	pool int
	checkHistory
}

// waiting: the node does not join the pool yet.
func (c *checkSeat) waiting() bool { return !c.Known && c.State.Level < health.Leave }

// signSeat is a sign, and what is known of it.
type signSeat struct {
	config.SignInForce
	signHistory
	turnOf []string // the items that its turn is about: of a sign that is off, those of before
}

// judgeEvery bounds how late it is noticed that the others have changed, and how old a text
// may be that says how much longer something is held against the node.
const judgeEvery = 500 * time.Millisecond

func newWard(cfg *config.Config, log *slog.Logger) (*ward, error) {
	w := &ward{log: log, node: cfg.Node.Name, pools: cfg.Pools, dirty: make(chan struct{}, 1), retired: make(chan struct{})}
	var checks []config.Check
	for i, p := range cfg.Pools {
		for _, c := range p.Checks {
			checks = append(checks, c)
			w.ofChecks = append(w.ofChecks, checkSeat{Check: c, pool: i})
		}
	}
	for _, s := range cfg.SignsInForce() {
		w.ofSigns = append(w.ofSigns, signSeat{SignInForce: s, turnOf: s.Items})
	}
	var err error
	if w.checks, err = check.New(checks, check.Env{Now: time.Now, Random: rand.Float64, Start: startUnhurried, Log: w.log}, w.checked); err != nil {
		return nil, err
	}
	env := sign.Env{Roots: sign.HostRoots(), Now: time.Now, Interface: cfg.Interface}
	w.signs = sign.New(cfg.SignsInForce(), env, w.signed)
	return w, nil
}

// serves says whose weights it is about, and where to tell that what is known is to be noted.
func (w *ward) serves(l *loop, changed chan<- struct{}) {
	w.loop, w.tell, w.changed = l, l.events.add, changed
}

// degradedSince is for the one that comes next.
func (w *ward) degradedSince() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.degraded.told(time.Now())
}

// tend runs the ward in force until ctx is done.
func (d *daemon) tend(ctx context.Context) {
	for ctx.Err() == nil {
		d.ward.Load().run(ctx)
	}
}

// replaceWard puts one with the pools, checks and signs of another configuration in
// the place of the ward. It goes on from what that knows; what it has not seen yet stays as it is. It belongs to the loop.
func (d *daemon) replaceWard(next *ward) {
	next.serves(d.loop, d.learnt)
	was := d.ward.Load()
	was.mu.Lock()
	defer was.mu.Unlock()
	next.learns(was.knows())
	next.degraded, next.news = was.degraded, was.news
	d.ward.Store(next)
	close(was.retired)
}

// isRetired tells whether another is in its place; the caller has mu.
func (w *ward) isRetired() bool {
	select {
	case <-w.retired:
		return true
	default:
		return false
	}
}

// run looks until ctx is done, or another is in its place.
func (w *ward) run(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-w.retired:
			stop()
		case <-ctx.Done():
		}
	}()
	var all sync.WaitGroup
	all.Go(func() { w.checks.Run(ctx) })
	all.Go(func() { w.signs.Run(ctx) })
	for {
		err := w.conclude(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, errStopping) {
			w.log.Warn("what the checks and signs say is not in force yet", "error", err)
		}
		var again <-chan time.Time
		if err != nil || w.restless() {
			again = time.After(judgeEvery)
		}
		select {
		case <-ctx.Done():
			all.Wait()
			return
		case <-again:
		case <-w.dirty:
		}
	}
}

func (w *ward) checked(r check.Report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isRetired() {
		return
	}
	c := &w.ofChecks[r.Check]
	if r.Answer != c.Last.Answer {
		w.judgeSoon()
	}
	if r.Answer == health.Broken { // of this host: no verdict on the service
		c.Last = r
		w.lacks(c.Name, r.Text)
		return
	}
	was, percent, first := c.State, c.Load.Percent(), !c.Known
	c.State = c.Tally.Result(now(), c.Rise, c.Fall, r.Result)
	c.Last, c.Known = r, true
	if r.Level == health.Leave {
		c.Failure = failure{r.Text, r.At}
	} else {
		c.Load.Told(now(), r.Percent)
	}
	if c.State.Level != was.Level {
		pool := w.pools[c.pool].Name
		w.record(eventCheck, fmt.Sprintf("pool %s: %s", pool, c.Name), was, c.State, r.Text, c.finding(pool))
	}
	if first || c.State.Level != was.Level || percent != c.Load.Percent() {
		w.judgeSoon()
	}
}

// lackEvery is how often it is logged that checks cannot look: all of them may lack the same.
const lackEvery = time.Minute

func (w *ward) lacks(check, text string) {
	if w.lackTold == 0 || now()-w.lackTold >= lackEvery {
		w.lackTold = now()
		w.log.Warn("a check could not look, which is no verdict; what was known of the service stands", "check", check, "because", text)
	}
}

func (w *ward) signed(r sign.Report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isRetired() {
		return
	}
	s := &w.ofSigns[r.Sign]
	was, first := s.State, s.Last.At.IsZero()
	if s.Shared {
		s.State = s.Targets.Read(now(), s.Rule, r.Reading)
	} else {
		s.State = s.Watch.Read(now(), s.Rule, r.Reading)
	}
	if first && r.Answer == health.Broken || !first && s.Last.Answer != r.Answer {
		w.log.Warn("sign "+s.Name+": "+r.Answer.String(), "because", r.Text)
	}
	if len(r.Memory) == 0 { // the kernel has not answered
		r.Memory = s.Last.Memory
	}
	s.Last = r
	if s.State.Level != was.Level {
		w.record(eventSign, s.Name, was, s.State, s.text(s.State), s.finding())
		w.judgeSoon()
	} else if !slices.EqualFunc(s.State.Targets, was.Targets, sameTarget) {
		w.judgeSoon()
	}
}

// sameTarget tells whether what is known of two targets comes to the same.
func sameTarget(a, b health.TargetState) bool {
	return a.Target == b.Target && a.Level == b.Level && a.Seen == b.Seen
}

// text says what is seen, and which threshold it is past: of the sign, or of one of its targets.
func (s *signSeat) text(state health.State) string {
	text := state.Reading.Text
	if at, ok := state.Limit.Value(); ok && state.Reading.Answer == health.Broken {
		text += fmt.Sprintf("; before: %s at %s", state.Level, s.SignKind.Text(at))
	} else if ok {
		text += fmt.Sprintf(" (%s at %s)", state.Level, s.SignKind.Text(at))
	}
	if state.Held > 0 {
		text += fmt.Sprintf(", good again, for %v more to be seen", state.Held.Round(time.Second))
	}
	return text
}

// text says what is seen, and why it counts for less than it says if it does.
func (c *checkSeat) text() string {
	switch {
	case c.Last.Answer == health.Broken && !c.waiting():
		return fmt.Sprintf("%s; before: %s", c.Last.Text, c.State.Reading.Text)
	case c.State.Held > 0:
		return fmt.Sprintf("%s, good again, for %v more to be seen", c.Last.Text, c.State.Held.Round(time.Second))
	case c.State.Level == health.Leave && c.Last.Level < health.Leave:
		return c.Last.Text + ", not often enough yet"
	}
	return c.Last.Text
}

// Kinds of events beside those of the state machine.
const (
	eventCheck = "check"
	eventSign  = "sign"
)

// record tells of a change.
func (w *ward) record(kind, what string, was, is health.State, text string, f api.Finding) {
	line := fmt.Sprintf("%s: %s, was %s", what, is.Level, was.Level)
	if was.Level > health.OK {
		line += fmt.Sprintf(" for %v", (is.Since - was.Since).Round(time.Millisecond))
	}
	line += ": " + text
	level := slog.LevelInfo
	if is.Level > was.Level {
		level = slog.LevelWarn
	}
	w.log.Log(context.Background(), level, line, "event", kind)
	w.tell(api.Event{Time: time.Now(), Kind: kind, Node: w.node, Text: line, Finding: &f})
	w.news = append(w.news, occurrence{config.HookHealth, kind, line})
}

// judgeSoon is called when what is known has changed, which is to be noted too.
func (w *ward) judgeSoon() {
	for _, c := range []chan<- struct{}{w.dirty, w.changed} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// conclude judges, and has the loop carry out what is different.
func (w *ward) conclude(ctx context.Context) error {
	w.concluding.Lock()
	defer w.concluding.Unlock()
	var own ownership.Status
	if w.minds() {
		if err := w.loop.ask(ctx, func() error { own = w.loop.node.Status(now()); return nil }); err != nil {
			return err
		}
	}
	w.mu.Lock()
	next, news := w.judge(own), w.news
	same := w.applied.same(next)
	w.mu.Unlock()
	if same && len(news) == 0 {
		return nil
	}
	return w.loop.ask(ctx, func() error {
		if !w.applies(next, len(news)) {
			return nil
		}
		w.loop.herald.allIll = next.degraded
		w.loop.herald.happened(news...)
		return w.loop.step(next.told)
	})
}

// applies tells whether a conclusion is to be carried out, and takes it for that.
func (w *ward) applies(next conclusion, told int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isRetired() { // the places of the pools are others now
		return false
	}
	w.applied, w.news = next, w.news[told:]
	w.degraded.is(next.degraded, time.Now())
	return true
}
