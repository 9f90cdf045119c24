package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rota-cluster/rota/internal/api"
)

// eventChoice says which events are told.
type eventChoice struct {
	since  time.Time // zero: from the oldest
	kinds  []string  // none: all
	newest int       // 0: all
}

func (c *eventChoice) add(cmd *cobra.Command) {
	since := func(word string) (err error) {
		c.since, err = parseSince(word, time.Now())
		return err
	}
	newest := func(word string) error {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is not a number of events; write a whole number from 1", word)
		}
		c.newest = n
		return nil
	}
	cmd.Flags().Var(flagValue{"TIME", since}, "since", "from this `TIME` on: 10m (ago), 14:05, 2026-01-02 …")
	cmd.Flags().StringSliceVar(&c.kinds, "kind", nil, "only those of this `KIND`; several with commas between them")
	cmd.Flags().VarP(flagValue{"N", newest}, "newest", "n", "only the newest `N`, and with --follow what comes after them")
}

// takes tells whether an event is one of those, but for how many they are.
func (c *eventChoice) takes(e *api.Event) bool {
	return !e.Time.Before(c.since) && (len(c.kinds) == 0 || slices.Contains(c.kinds, e.Kind))
}

// dayTimes are ways to write a moment of some day, and momentTimes of this one.
var (
	momentTimes = []string{"15:04", "15:04:05"}
	dayTimes    = []string{time.DateOnly, "2006-01-02 15:04", time.DateTime, time.RFC3339}
)

// parseSince reads how long ago something was, or when. A time without a day is
// the last one that was.
func parseSince(word string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(word); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range dayTimes {
		if t, err := time.ParseInLocation(layout, strings.TrimSpace(word), now.Location()); err == nil {
			return t, nil
		}
	}
	for _, layout := range momentTimes {
		t, err := time.ParseInLocation(layout, word, now.Location())
		if err != nil {
			continue
		}
		at := func(day int) time.Time {
			return time.Date(now.Year(), now.Month(), day, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), now.Location())
		}
		if today := at(now.Day()); !today.After(now) {
			return today, nil
		}
		return at(now.Day() - 1), nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time; write e.g. 10m, 14:05, 2026-01-02 or \"2026-01-02 14:05:06\"", word)
}
