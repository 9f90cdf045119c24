package sim

import (
	"fmt"
	"time"
)

// Stats adds up what runs measured. Times count in leases, because the beats
// of scenarios differ.
type Stats struct {
	Runs             int
	Steps            int
	Time             time.Duration // virtual
	Views            int           // adopted, by all nodes together
	Failed           [ruleCount]int
	Replays, Resends int // how often a node asked for one
	Undone           int // buckets that a healthy node gave away and took back

	Takeover  Series // bucket without owner after its owner failed
	Handover  Series // bucket without owner after it was given away
	Outage    Series // the worst bucket's time without owner in a whole run with healthy nodes
	Overlap   Series // two owners that can hear each other again, before they learned
	ColdStart Series // from the first start to agreement
	Cover     Series // from the last change until every bucket has an owner
	Agree     Series // from the last change until all agree
}

// Series is a distribution of times in permille of a lease.
type Series struct {
	N       int
	Max     int
	MaxSeed uint64
	bins    [600]uint32 // 5 % of a lease each
}

const binWidth = 50

func (s *Series) add(sc *Scenario, d time.Duration) {
	v := int(d * 1000 / sc.Lease)
	s.N++
	if v > s.Max {
		s.Max, s.MaxSeed = v, sc.Seed
	}
	s.bins[min(v/binWidth, len(s.bins)-1)]++
}

func (s *Series) merge(o *Series) {
	s.N += o.N
	if o.Max > s.Max {
		s.Max, s.MaxSeed = o.Max, o.MaxSeed
	}
	for i, n := range o.bins {
		s.bins[i] += n
	}
}

// quantile is the upper edge of the bin that holds the q-th of 1000.
func (s *Series) quantile(q int) int {
	want, have := s.N*q/1000, 0
	for i, n := range s.bins {
		if have += int(n); have > want {
			return min((i+1)*binWidth, s.Max)
		}
	}
	return s.Max
}

// String gives median, 99 %, 99.9 % and maximum in leases.
func (s *Series) String() string {
	if s.N == 0 {
		return "none"
	}
	leases := func(v int) string { return fmt.Sprintf("%.2f", float64(v)/1000) }
	return fmt.Sprintf("median %s  99%% %s  99.9%% %s  longest %s leases (seed %d) of %d",
		leases(s.quantile(500)), leases(s.quantile(990)), leases(s.quantile(999)), leases(s.Max), s.MaxSeed, s.N)
}

// Merge adds another's measurements.
func (s *Stats) Merge(o *Stats) {
	s.Runs += o.Runs
	s.Steps += o.Steps
	s.Time += o.Time
	s.Views += o.Views
	s.Undone += o.Undone
	s.Replays += o.Replays
	s.Resends += o.Resends
	for i, n := range o.Failed {
		s.Failed[i] += n
	}
	mine, theirs := s.series(), o.series()
	for i := range mine {
		mine[i].of.merge(theirs[i].of)
	}
}

type namedSeries struct {
	name string
	of   *Series
}

func (s *Stats) series() []namedSeries {
	return []namedSeries{
		{"takeover: bucket without owner", &s.Takeover},
		{"handover: bucket without owner", &s.Handover},
		{"worst bucket's outage in a run", &s.Outage},
		{"overlap after healing", &s.Overlap},
		{"cold start to agreement", &s.ColdStart},
		{"last change to coverage", &s.Cover},
		{"last change to agreement", &s.Agree},
	}
}

// Lines tells the measurements.
func (s *Stats) Lines() []string {
	lines := []string{fmt.Sprintf("%d runs, %d steps, %v of virtual time, %d views adopted, %d handovers undone",
		s.Runs, s.Steps, s.Time.Round(time.Second), s.Views, s.Undone)}
	for rule, n := range s.Failed {
		if n > 0 {
			lines = append(lines, fmt.Sprintf("broken in %d runs: %s", n, Rule(rule)))
		}
	}
	for _, n := range s.series() {
		lines = append(lines, fmt.Sprintf("%-32s %s", n.name, n.of))
	}
	lines = append(lines, fmt.Sprintf("%d replays, %d times something was sent on", s.Replays, s.Resends))
	return lines
}
