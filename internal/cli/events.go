package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/health"
)

func (p *program) events() *cobra.Command {
	var asJSON, follow bool
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Tell what has happened, and why",
		Long: `Tell what has happened, as this node has seen it, oldest first: when, whom it
is about, what kind of thing, and in words. Of a sign or check that has changed
the words have the value, the threshold and how ill it was before; the line
after tells what became of it. The daemon keeps the newest 2048, also over a
restart (rota restart), and each tells its number (seq).`,
		Example: `  rota events
  rota events --follow
  rota events --json | jq -r 'select(.kind == "sign") | .text'`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			tell := &teller{program: p, asJSON: asJSON}
			if follow {
				return tell.follow(cmd.Context())
			}
			return p.client().EventsJSON(cmd.Context(), 0, false, tell.one)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, one document a line")
	cmd.Flags().BoolVar(&follow, "follow", false, "and what comes, until interrupted")
	return cmd
}

// teller prints events.
type teller struct {
	*program
	asJSON  bool
	last    api.Event // the newest that was printed
	resumes bool      // the next should be last again
	away    bool      // the daemon is, and that was told
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

// one prints an event, unless it is the one that was printed last.
func (t *teller) one(raw json.RawMessage) error {
	var e api.Event
	if err := json.Unmarshal(raw, &e); err != nil {
		return fmt.Errorf("an event cannot be read: %w", err)
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
	text := string(raw)
	if !t.asJSON {
		text = eventText(&e, t.style())
	}
	_, err := fmt.Fprintln(t.Stdout, text)
	return err
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
