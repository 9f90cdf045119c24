package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// story is a run told for people.
type story struct{ told []string }

func (s *story) lines() []string {
	if s == nil {
		return nil
	}
	return s.told
}

func (s *story) op(at time.Duration, line string) {
	s.told = append(s.told, fmt.Sprintf("%9s  * %s", stamp(at), line))
}

// stamp gives milliseconds of true time.
func stamp(at time.Duration) string {
	return fmt.Sprintf("%d.%01dms", at/time.Millisecond, at%time.Millisecond/(100*time.Microsecond))
}

// tell adds what a node, or nil, decided.
func (w *world) tell(n *node, format string, args ...any) {
	if w.story == nil {
		return
	}
	label := ""
	if n != nil {
		label = n.spec.Label
	}
	w.story.told = append(w.story.told, fmt.Sprintf("%9s  %-2s %s", stamp(w.now), label, fmt.Sprintf(format, args...)))
}

// ownRow copies the datapath's states, if somebody listens.
func (w *world) ownRow(n *node) []ownership.BucketState {
	if w.story == nil {
		return nil
	}
	return append([]ownership.BucketState(nil), n.datapath.states...)
}

// tellTable tells what a new table changes.
func (w *world) tellTable(n *node, before []ownership.BucketState) {
	if w.story == nil {
		return
	}
	var parts []string
	for _, state := range []ownership.BucketState{ownership.Mine, ownership.Contested, ownership.Lingering, ownership.Foreign} {
		var set []int
		for b, now := range n.datapath.states {
			if now == state && before[b] != state {
				set = append(set, b)
			}
		}
		if len(set) > 0 {
			parts = append(parts, fmt.Sprintf("%v %s", state, ranges(set)))
		}
	}
	if len(parts) > 0 {
		w.tell(n, "table: %s", strings.Join(parts, ", "))
	}
}

// ranges writes ascending numbers as 0-3,7.
func ranges(set []int) string {
	var text []string
	for i := 0; i < len(set); {
		j := i
		for j+1 < len(set) && set[j+1] == set[j]+1 {
			j++
		}
		if i == j {
			text = append(text, fmt.Sprint(set[i]))
		} else {
			text = append(text, fmt.Sprintf("%d-%d", set[i], set[j]))
		}
		i = j + 1
	}
	return strings.Join(text, ",")
}

func flagText(f ownership.Flags) string {
	var text []string
	for _, flag := range []struct {
		bit  ownership.Flags
		name string
	}{
		{ownership.FlagFenced, "fenced"}, {ownership.FlagStandby, "standby"}, {ownership.FlagDeaf, "deaf"},
		{ownership.FlagLeaving, "leaving"}, {ownership.FlagDraining, "draining"},
	} {
		if f&flag.bit != 0 {
			text = append(text, flag.name)
		}
	}
	return strings.Join(text, " ")
}
