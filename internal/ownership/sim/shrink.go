package sim

import (
	"fmt"
	"slices"
	"strings"
)

// shrinkRuns bounds the search for a smaller scenario.
const shrinkRuns = 1500

// Shrink looks for a smaller scenario that breaks the same rule: fewer lines,
// true clocks, a better network.
func Shrink(s *Scenario, f Factory, opt Options) *Scenario {
	r := Run(s, f, opt)
	if r.Violation == nil {
		return s
	}
	rule, runs := r.Violation.Rule, 0
	breaks := func(c *Scenario) bool {
		for seed := range uint64(4) {
			runs++
			c.Seed = s.Seed + seed
			if r := Run(c, f, opt); r.Violation != nil && r.Violation.Rule == rule {
				return true
			}
		}
		return false
	}
	best := s
	for smaller := true; smaller && runs < shrinkRuns; {
		smaller = false
		for _, c := range simpler(best) {
			if runs < shrinkRuns && breaks(c) {
				best, smaller = c, true
				break
			}
		}
	}
	return best
}

// simpler lists scenarios with one thing less, the greatest steps first.
func simpler(s *Scenario) []*Scenario {
	var list []*Scenario
	try := func(change func(c *Scenario) bool) {
		c := *s
		c.Ops, c.Nodes, c.Pools = slices.Clone(s.Ops), slices.Clone(s.Nodes), slices.Clone(s.Pools)
		if change(&c) {
			list = append(list, &c)
		}
	}
	// Of two nodes less is asked than of three.
	for i := len(s.Nodes) - 1; i >= 0 && s.Quorum == 0 && (s.Healthy == 0 || len(s.Nodes) > 3); i-- {
		try(func(c *Scenario) bool { return withoutNode(c, i) })
	}
	for i := len(s.Ops) - 1; i >= 0; i-- {
		try(func(c *Scenario) bool { c.Ops = slices.Delete(c.Ops, i, i+1); return true })
	}
	try(func(c *Scenario) bool { c.Loss, c.Copies = 0, 0; return s.Loss+s.Copies > 0 })
	try(func(c *Scenario) bool { c.Copies = 0; return s.Copies > 0 })
	try(func(c *Scenario) bool { c.Jitter = 0; return s.Jitter > 0 })
	reloads := slices.ContainsFunc(s.Ops, func(op Op) bool { return op.Verb == Have || op.Verb == Lose })
	try(func(c *Scenario) bool { c.Pools = c.Pools[:1]; return len(s.Pools) > 1 && !reloads })
	for i, p := range s.Pools {
		try(func(c *Scenario) bool { c.Pools[i].Single, c.Pools[i].Preempt = false, false; return p.Single })
	}
	for i, n := range s.Nodes {
		try(func(c *Scenario) bool { c.Nodes[i].PPM, c.Nodes[i].Origin = 0, 0; return n.PPM != 0 || n.Origin != 0 })
		try(func(c *Scenario) bool { c.Nodes[i].Weight = 100; return n.Weight != 100 })
		try(func(c *Scenario) bool { c.Nodes[i].Priority = defaultPriority; return n.Priority != defaultPriority })
	}
	return list
}

// withoutNode takes a node out of the whole story.
func withoutNode(s *Scenario, gone int) bool {
	if len(s.Nodes) < 2 {
		return false
	}
	renumber := func(i int) int {
		if i > gone {
			return i - 1
		}
		return i
	}
	s.Nodes = slices.Delete(s.Nodes, gone, gone+1)
	low := s.Healthy & (1<<gone - 1)
	s.Healthy = low | s.Healthy>>(gone+1)<<gone
	ops := s.Ops[:0]
	for _, op := range s.Ops {
		any := len(op.Nodes) + len(op.Links)
		var nodes []int
		for _, i := range op.Nodes {
			if i != gone {
				nodes = append(nodes, renumber(i))
			}
		}
		var links []Link
		for _, l := range op.Links {
			if l.From != gone && l.To != gone {
				links = append(links, Link{renumber(l.From), renumber(l.To)})
			}
		}
		if any == 0 || len(nodes)+len(links) > 0 {
			op.Nodes, op.Links = nodes, links
			ops = append(ops, op)
		}
	}
	s.Ops = ops
	return true
}

// toldLines is how much of a story is told before its end.
const toldLines = 60

// Tell runs a scenario and tells it: the scenario as Parse reads it, then
// what happened.
func Tell(s *Scenario, f Factory, opt Options) string {
	opt.Tell = true
	r := Run(s, f, opt)
	var t strings.Builder
	t.WriteString(s.Format())
	t.WriteString("\n")
	skip := max(len(r.Story)-toldLines, 0)
	for i, line := range r.Story {
		if i >= skip || strings.Contains(line, "  * ") {
			fmt.Fprintln(&t, line)
		} else if i == skip-1 {
			fmt.Fprintf(&t, "           … the last %d of %d lines:\n", toldLines, len(r.Story))
		}
	}
	if r.Violation == nil {
		t.WriteString("every rule held\n")
	}
	return t.String()
}
