package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
)

// describe adds what the checks and signs say.
func (w *ward) describe(s *api.Status) {
	s.Checks, s.Signs = w.all()
	w.mu.Lock()
	defer w.mu.Unlock()
	if since := w.degraded.since; !since.IsZero() {
		s.Degraded = s.Degraded || s.State == api.Serving
		s.Warnings = append(s.Warnings, api.Warning{
			Code: api.WarnNobodyWell, Text: fmt.Sprintf("%s, since %s", leastIll, since.Format(time.TimeOnly)),
		})
	}
}

// all findings.
func (w *ward) all() (checks, signs []api.Finding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.ofChecks {
		checks = append(checks, w.ofChecks[i].finding(w.pools[w.ofChecks[i].pool].Name))
	}
	for i := range w.ofSigns {
		signs = append(signs, w.ofSigns[i].finding())
	}
	return checks, signs
}

func (c *checkSeat) finding(pool string) api.Finding {
	f := api.Finding{Name: c.Name, Pool: pool, Kind: c.Kind}
	judged(&f, !c.waiting(), c.State)
	if !c.Last.At.IsZero() {
		f.Text, f.At, f.TookMS = c.Last.Text, c.Last.At, milliseconds(c.Last.Took)
	}
	f.LastError, f.LastErrorAt = c.Failure.Text, c.Failure.At
	if c.Last.Answer == health.Broken {
		f.Answer = c.Last.Answer.String()
	}
	return f
}

func (s *signSeat) finding() api.Finding {
	f := api.Finding{Name: s.Name, Unit: s.Unit}
	looked := !s.Last.At.IsZero()
	judged(&f, looked, s.State)
	if looked {
		f.Text, f.Value, f.At, f.TookMS = s.Last.Text, s.Last.Value, s.Last.At, milliseconds(s.Last.Took)
	}
	if at, ok := s.State.Limit.Value(); ok {
		f.Threshold = &at
	}
	return f
}

// judged fills in what the judgement is.
func judged(f *api.Finding, known bool, state health.State) {
	f.Answer, f.Level = "waiting", state.Level.String()
	if !known {
		return
	}
	f.Answer = state.Reading.Answer.String()
	f.Since, f.HeldMS = time.Now().Add(state.Since-now()), state.Held.Milliseconds()
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Examine runs every check and sign of a configuration once.
func Examine(ctx context.Context, cfg *config.Config) (checks, signs []api.Finding, err error) {
	w, err := newWard(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, err
	}
	w.tell = func(api.Event) {}
	for i := range w.ofSigns {
		w.ofSigns[i].Rule.For = 0 // there is one look
	}
	w.checks.Once(ctx)
	w.signs.Once(ctx)
	checks, signs = w.all()
	return checks, signs, ctx.Err()
}
