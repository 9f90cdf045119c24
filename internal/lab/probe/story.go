package probe

import (
	"fmt"
	"net/netip"
	"time"
)

// storyBound bounds the gaps and the owners that are told per flow.
const storyBound = 256

// FlowStory is what one source saw.
type FlowStory struct {
	Source   netip.AddrPort
	Asked    int
	Answered int
	Outcomes map[Outcome]int
	// Longest is the longest time from the first question asked in vain, or
	// from an answered one, to the next answer.
	Longest time.Duration
	Gaps    []Gap // those over FlowOptions.GapOver; the first storyBound
	Owners  []Owner
	Open    bool // unanswered at the end of the run; the last of Gaps
}

// Gap is a stretch of time without an answer.
type Gap struct {
	From          time.Time // the first question asked in vain
	Length        time.Duration
	Before, After string // the nodes that answered before and after it; "" if none
}

// Owner is a node that began to answer a flow.
type Owner struct {
	From time.Time
	Node string
}

func (l *flow) inVain(outcome Outcome) {
	l.story.Outcomes[outcome]++
	if l.vainFrom.IsZero() {
		l.vainFrom = l.started
	}
}

func (l *flow) answered(now time.Time, node string, gapOver time.Duration) {
	s := &l.story
	s.Answered++
	s.Outcomes[Answered]++
	l.gap(now, node, gapOver)
	l.vainFrom = time.Time{}
	if node != s.owner() && len(s.Owners) < storyBound {
		s.Owners = append(s.Owners, Owner{From: now, Node: node})
	}
}

// stillWaiting counts the stretch that the end of the run cut off, unless it has
// only just begun.
func (l *flow) stillWaiting(now time.Time, o FlowOptions) {
	from := l.vainFrom
	if from.IsZero() {
		from = l.started
	}
	if l.vainFrom.IsZero() && l.phase == idle || now.Sub(from) < o.Patience {
		return
	}
	l.story.Open = true
	l.gap(now, "", o.GapOver)
}

func (l *flow) gap(now time.Time, after string, over time.Duration) {
	from := l.vainFrom
	if from.IsZero() {
		from = l.started
	}
	length := now.Sub(from)
	l.story.Longest = max(l.story.Longest, length)
	if length > over && len(l.story.Gaps) < storyBound {
		gap := Gap{From: from, Length: length, Before: l.story.owner(), After: after}
		l.story.Gaps = append(l.story.Gaps, gap)
	}
}

// owner is the node that answered last.
func (s *FlowStory) owner() string {
	if len(s.Owners) == 0 {
		return ""
	}
	return s.Owners[len(s.Owners)-1].Node
}

// FlowReport sums up the stories of all flows of a run.
type FlowReport struct {
	Flows    []FlowStory
	Asked    int
	Outcomes map[Outcome]int
	ByNode   map[string]int // answers
	Latency  Latency        // of answered questions, from their SYN
	Longest  time.Duration  // over all flows
	Open     int            // flows unanswered at the end
	// Stalled is the longest that the probe itself was kept from looking, on a
	// busy machine: any time in here may be too long by as much.
	Stalled time.Duration
	Took    time.Duration
}

func (r *FlowReport) add(s FlowStory) {
	r.Flows = append(r.Flows, s)
	r.Asked += s.Asked
	for outcome, n := range s.Outcomes {
		r.Outcomes[outcome] += n
	}
	r.Longest = max(r.Longest, s.Longest)
	if s.Open {
		r.Open++
	}
}

// End is when the answer came, or the run ended.
func (g Gap) End() time.Time { return g.From.Add(g.Length) }

// Gaps of all flows that ended after since, in the order of the flows. A
// question that was under way at a fault was asked before it.
func (r *FlowReport) Gaps(since time.Time) []Gap {
	var gaps []Gap
	for _, s := range r.Flows {
		for _, g := range s.Gaps {
			if g.End().After(since) {
				gaps = append(gaps, g)
			}
		}
	}
	return gaps
}

// Check tells what a user would call wrong: a flow unanswered for longer than
// limit, or at the end.
func (r FlowReport) Check(limit time.Duration) error {
	for _, s := range r.Flows {
		if s.Open {
			return fmt.Errorf("%s is not answered: %s", s.Source, tally(s.Outcomes))
		}
		if s.Longest > limit {
			return fmt.Errorf("%s was not answered for %s, more than %s: %s",
				s.Source, short(s.Longest), limit, tally(s.Outcomes))
		}
	}
	return nil
}

func (r FlowReport) String() string {
	return fmt.Sprintf("%d flows asked %d times in %s: %s; by %s; longest unanswered %s; %s; the probe itself stalled for up to %s",
		len(r.Flows), r.Asked, short(r.Took), tally(r.Outcomes), tally(r.ByNode), short(r.Longest), &r.Latency, short(r.Stalled))
}
