package sim

import (
	"flag"
	"testing"
)

var (
	seeds = flag.Int("seeds", 20000, "how many generated scenarios are run in all; a fifth has a second path, a tenth each orders and single pools")
	from  = flag.Uint64("from", 1, "the first seed")
	tell  = flag.Int("tell", 3, "how many failing seeds to tell in full")
	only  = flag.String("only", "", "look for breaches of this rule alone, e.g. exclusion")
	most  = flag.Int("failures", 10, "after how many failing seeds to give up")
)

// TestSeeds runs generated scenarios. A failing one is told, in short, with
// the scenario that shows it, cut down as far as possible.
func TestSeeds(t *testing.T) { trySeeds(t, Generate, (3**seeds+4)/5) }

// TestSeedsWithSecondPath runs the same with a second path for the beats.
func TestSeedsWithSecondPath(t *testing.T) {
	trySeeds(t, func(seed uint64) *Scenario { return WithSecond(Generate(seed)) }, (*seeds+4)/5)
}

// TestSeedsWithOrders runs the same with operators who pin buckets and give orders.
func TestSeedsWithOrders(t *testing.T) {
	trySeeds(t, func(seed uint64) *Scenario { return WithOrders(Generate(seed)) }, (*seeds+9)/10)
}

// TestSeedsOfSinglePools runs some of the same with pools that one node has as a whole.
func TestSeedsOfSinglePools(t *testing.T) { trySeeds(t, generateSingle, (*seeds+9)/10) }

// generateSingle is Generate with single pools alone.
func generateSingle(seed uint64) *Scenario {
	s := Generate(seed)
	chances := rng{seed}.fork(10)
	for i := range s.Pools {
		s.Pools[i].Single, s.Pools[i].Preempt = true, chances.below(2) == 0
	}
	for i := range s.Nodes {
		s.Nodes[i].Priority = uint16(pick(&chances, 0, 50, 100, 100, 200))
	}
	return s
}

func trySeeds(t *testing.T, generate func(uint64) *Scenario, seeds int) {
	t.Helper()
	opt := options()
	for r := range ruleCount {
		if *only != "" && r.String() != *only {
			opt.Ignore |= 1 << r
		}
	}
	total, failed := runSeeds(generate, theNode, opt, *from, seeds, *most)
	for _, line := range total.Lines() {
		t.Log(line)
	}
	for i, s := range failed {
		if i >= *tell {
			t.Errorf("seed %d: %v", s.Seed, *Run(s, theNode, opt).Violation)
			continue
		}
		small := Shrink(s, theNode, opt)
		t.Errorf("seed %d:\n%s", s.Seed, Tell(small, theNode, opt))
	}
}
