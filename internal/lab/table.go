package lab

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// table is what a demo measured beside what it should be.
type table struct{ rows []row }

// missedAim marks what depends on the machine, and is over its limit.
const missedAim = "missed"

type row struct {
	what, measured, limit string
	mark                  string
	wrong                 error
}

// row adds a line; wrong is what a user would complain of, or nil.
func (t *table) row(what, measured, limit string, wrong error) {
	mark := ""
	if wrong != nil {
		mark = "WRONG"
	}
	t.rows = append(t.rows, row{what, measured, limit, mark, wrong})
}

// limited adds a time that is wrong if it is over its limit.
func (t *table) limited(what string, measured, limit time.Duration) {
	t.excused(what, measured, limit, 0)
}

// excused adds a time that misses its limit, but is not wrong, if it is over
// by no more than a delay that is not the cluster's fault.
func (t *table) excused(what string, measured, limit, delay time.Duration) {
	if measured <= limit+delay {
		t.note(what, measured.String(), limit.String(), measured <= limit)
		return
	}
	t.row(what, measured.String(), limit.String(), fmt.Errorf("%s: %s, more than %s", what, measured, limit))
}

// note adds a line that is told, and marked if it misses its aim, but depends
// on the machine and what else it does.
func (t *table) note(what, measured, aim string, met bool) {
	t.row(what, measured, aim, nil)
	if !met {
		t.rows[len(t.rows)-1].mark = missedAim
	}
}

func (t *table) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "WHAT\tMEASURED\tLIMIT\t")
	for _, r := range t.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.what, r.measured, r.limit, r.mark)
	}
	_ = w.Flush() // a Builder takes everything
	return b.String()
}

// success is the last line of a demo in which nothing was wrong, whatever it missed.
func (t *table) success() string {
	var missed []string
	for _, r := range t.rows {
		if r.mark == missedAim {
			missed = append(missed, fmt.Sprintf("%s (%s, limit %s)", r.what, r.measured, r.limit))
		}
	}
	if len(missed) == 0 {
		return "The demo succeeded: all of it is within its limits."
	}
	return "The demo succeeded: no client saw anything wrong. Missed on this machine: " + strings.Join(missed, "; ") + "."
}

// verdict joins what was wrong.
func (t *table) verdict() error {
	var wrong []error
	for _, r := range t.rows {
		wrong = append(wrong, r.wrong)
	}
	return errors.Join(wrong...)
}
