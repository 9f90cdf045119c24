package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/health"
)

func (p *program) events() *cobra.Command {
	var asJSON, follow bool
	var choice eventChoice
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Tell what has happened, and why",
		Long: `Tell what has happened, as this node has seen it, oldest first: when, whom it
is about, what kind of thing, and in words. Of a sign or check that has changed
the words have the value, the threshold and how ill it was before; the line
after tells what became of it. The daemon keeps the newest 2048, also over a
restart (rota restart), and each tells its number (seq).

--since takes how long ago (10m, 1h30m), a time of day (14:05, 14:05:06: the
last one that was), a day, or both ("2026-01-02 14:05:06", RFC 3339).`,
		Example: `  rota events --since 10m
  rota events --follow -n 20
  rota events --kind sign,check --since 2026-01-02
  rota events --json | jq -r 'select(.kind == "sign") | .text'`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			tell := &teller{program: p, asJSON: asJSON, choice: choice}
			if !follow || choice.newest > 0 {
				if err := tell.past(cmd.Context()); err != nil || !follow {
					return err
				}
			}
			return tell.follow(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, one document a line")
	cmd.Flags().BoolVar(&follow, "follow", false, "and what comes, until interrupted")
	choice.add(cmd)
	return cmd
}

// teller prints events.
type teller struct {
	*program
	asJSON  bool
	choice  eventChoice
	last    api.Event // the newest that was heard of
	resumes bool      // the next should be last again
	away    bool      // the daemon is, and that was told
}

// past prints what has happened, or the newest of it.
func (t *teller) past(ctx context.Context) error {
	var lines []string
	seen := map[string]bool{}
	err := t.client().EventsJSON(ctx, 0, false, func(raw json.RawMessage) error {
		e, err := readEvent(raw)
		if err != nil {
			return err
		}
		t.last = e
		seen[e.Kind] = true
		if t.choice.takes(&e) {
			lines = append(lines, t.line(&e, raw))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, kind := range t.choice.kinds {
		if !seen[kind] {
			fmt.Fprintf(t.Stderr, "rota: no event of the kind %s is kept; there are some of %s\n", kind, strings.Join(slices.Sorted(maps.Keys(seen)), ", "))
		}
	}
	if n := t.choice.newest; n > 0 && len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(t.Stdout, line); err != nil {
			return err
		}
	}
	return nil
}

func readEvent(raw json.RawMessage) (e api.Event, err error) {
	if err := json.Unmarshal(raw, &e); err != nil {
		return e, fmt.Errorf("an event cannot be read: %w", err)
	}
	return e, nil
}

// errAnew: the daemon has begun to count its events anew.
var errAnew = errors.New("another start")

// follow prints what comes. A daemon that goes away is told and waited for; one
// that is not there at first is an error.
func (t *teller) follow(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for first := true; ; first = false {
		// The last one is asked for again: it tells whether the numbers are those of before.
		t.resumes = t.last.Seq > 0
		err := t.client().EventsJSON(ctx, max(t.last.Seq, 1)-1, true, t.one)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errAnew):
			continue
		case first && t.last.Seq == 0:
			return err
		case !t.away:
			t.away = true
			fmt.Fprintln(t.Stderr, complaint(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// one prints an event if it is chosen, and not the one that was heard of last.
func (t *teller) one(raw json.RawMessage) error {
	e, err := readEvent(raw)
	if err != nil {
		return err
	}
	t.away = false
	if t.resumes && e.Seq == t.last.Seq {
		t.resumes = false
		if e.Time.Equal(t.last.Time) {
			return nil
		}
		t.last = api.Event{}
		return errAnew
	}
	t.last, t.resumes = e, false
	if !t.choice.takes(&e) {
		return nil
	}
	_, err = fmt.Fprintln(t.Stdout, t.line(&e, raw))
	return err
}

// line is an event as it is printed.
func (t *teller) line(e *api.Event, raw json.RawMessage) string {
	if t.asJSON {
		return string(raw)
	}
	return eventText(e, t.style())
}

// eventTime is to the millisecond: a takeover has a dozen events within a lease.
const eventTime = "2006-01-02 15:04:05.000"

func eventText(e *api.Event, s style) string {
	text := strings.TrimSpace(e.Node + " " + s.paint(eventPaint(e), e.Kind) + ": " + e.Text)
	if e.Moved != 0 {
		text += fmt.Sprintf(" (%+d buckets)", e.Moved)
	}
	return s.paint(faint, e.Time.Local().Format(eventTime)) + " " + text
}

func eventPaint(e *api.Event) paint {
	if e.Finding != nil {
		return levelPaints[e.Finding.Level]
	}
	switch e.Kind {
	case "peer-silent", "peer-incompatible", "duplicate-name", "lease-lost", "deaf", "pins-lost", "drift":
		return bad
	case "standby", "drain", "health", "peer-health", "peer-left":
		return warn
	}
	return bold
}

// levelPaints are for the levels of signs and checks.
var levelPaints = map[string]paint{
	health.OK.String(): good, health.Warn.String(): warn, health.Leave.String(): bad,
}
