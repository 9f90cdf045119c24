package sim

import (
	"fmt"
	"strings"
)

// Format writes a scenario as Parse reads it.
func (s *Scenario) Format() string {
	var t strings.Builder
	for line := range strings.SplitSeq(strings.TrimRight(s.Title, "\n"), "\n") {
		fmt.Fprintf(&t, "# %s\n", line)
	}
	labels := make([]string, len(s.Nodes))
	for i := range s.Nodes {
		labels[i] = s.Nodes[i].Label
	}
	fmt.Fprintf(&t, "nodes %s\n", strings.Join(labels, " "))
	for _, n := range s.Nodes {
		s.formatNode(&t, n)
	}
	for _, p := range s.Pools {
		fmt.Fprintf(&t, "pool %s %d", p.Name, p.Buckets)
		switch {
		case p.Single && p.Preempt:
			t.WriteString(" single")
		case p.Single:
			t.WriteString(" single stays")
		}
		t.WriteString("\n")
	}
	fmt.Fprintf(&t, "beat %v %v\n", s.Interval, s.Lease)
	if s.Quorum != 0 {
		fmt.Fprintf(&t, "majority %d\n", s.Expected)
	}
	fmt.Fprintf(&t, "network %v %v\n", s.Delay, s.Delay+s.Jitter)
	optional(&t, "loss", percent(s.Loss), s.Loss != 0)
	optional(&t, "copies", percent(s.Copies), s.Copies != 0)
	optional(&t, "second", s.Second.String(), s.Second != 0 && !s.Unicast)
	optional(&t, "unicast", s.Second.String(), s.Second != 0 && s.Unicast)
	optional(&t, "healthy", s.names(bitsOf(s.Healthy)), s.Healthy != 0)
	optional(&t, "planned", "", s.Planned)
	optional(&t, "stays", "", s.Stays)
	optional(&t, "quiet", "", s.Quiet)
	optional(&t, "settle", "", s.Settle)
	fmt.Fprintf(&t, "seed %d\n\n", s.Seed)
	for i := range s.Ops {
		fmt.Fprintf(&t, "%v\t%s\n", s.Ops[i].At, s.FormatOp(&s.Ops[i]))
	}
	fmt.Fprintf(&t, "%v\tend\n", s.End)
	return t.String()
}

func (s *Scenario) formatNode(t *strings.Builder, n Node) {
	if n.Name != n.Label {
		fmt.Fprintf(t, "node %s is named %s\n", n.Label, n.Name)
	}
	if n.Weight != 100 {
		fmt.Fprintf(t, "node %s weighs %d\n", n.Label, n.Weight)
	}
	if n.Priority != defaultPriority {
		fmt.Fprintf(t, "node %s priority %d\n", n.Label, n.Priority)
	}
	if n.PPM != 0 || n.Origin != 0 {
		fmt.Fprintf(t, "node %s clock %+dppm %v\n", n.Label, n.PPM, n.Origin)
	}
}

func optional(t *strings.Builder, word, value string, present bool) {
	if present {
		fmt.Fprintln(t, strings.TrimSpace(word+" "+value))
	}
}

func percent(permille int) string {
	if permille%10 == 0 {
		return fmt.Sprintf("%d%%", permille/10)
	}
	return fmt.Sprintf("%d.%d%%", permille/10, permille%10)
}

func bitsOf(set uint32) []int {
	var list []int
	for i := range MaxNodes {
		if set&(1<<i) != 0 {
			list = append(list, i)
		}
	}
	return list
}

func (s *Scenario) names(nodes []int) string {
	text := make([]string, len(nodes))
	for i, n := range nodes {
		text[i] = s.Nodes[n].Label
	}
	return strings.Join(text, " ")
}

// linkText joins the two directions of a link where both are there.
func (s *Scenario) linkText(links []Link) string {
	has := map[Link]bool{}
	for _, l := range links {
		has[l] = true
	}
	var text []string
	for _, l := range links {
		from, to := s.Nodes[l.From].Label, s.Nodes[l.To].Label
		switch back := (Link{l.To, l.From}); {
		case !has[l]:
		case has[back]:
			text = append(text, from+"-"+to)
			delete(has, back)
		default:
			text = append(text, from+">"+to)
		}
	}
	return strings.Join(text, " ")
}

// FormatOp writes one line of the story, without its time.
func (s *Scenario) FormatOp(op *Op) string {
	words := []string{op.Verb.String()}
	add := func(text string) {
		if text != "" {
			words = append(words, text)
		}
	}
	if op.Second {
		add("second")
	}
	add(s.names(op.Nodes))
	add(s.linkText(op.Links))
	switch op.Verb {
	case Start:
		if op.Amount != 0 {
			add(fmt.Sprintf("config %d", op.Amount))
		}
	case Kill, Freeze:
		if op.After >= 0 {
			add(fmt.Sprintf("after %d", op.After))
		}
	case Slow, Lag, Dawdle, Flip, Restart:
		add(op.Span.String())
	case Have, Lose:
		add(s.Pools[op.Amount].Name)
	case Delay, Beat:
		add(op.Span.String() + " " + op.Upto.String())
	case Loss, Copies:
		add(percent(op.Amount))
	case Weight:
		add(fmt.Sprint(op.Amount))
	case Pin, Unpin, GiveOrder:
		add(s.formatOrder(op))
	case Expect:
		for i, count := range op.Counts {
			add(fmt.Sprintf("%s:%d", s.Nodes[i].Label, count))
		}
	}
	return strings.Join(words, " ")
}
