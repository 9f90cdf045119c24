package sim

import "time"

// Rule is what a run is judged by.
type Rule uint8

const (
	// RuleContract: effects and beats are as types.go says.
	RuleContract Rule = iota
	// RuleExclusion: no two datapaths accept new connections of one bucket;
	// without a quorum: of nodes that hear each other.
	RuleExclusion
	// RuleReset: an owner whose neighbour lingers is contested, so that its
	// stack does not reset the neighbour's connections.
	RuleReset
	// RuleCoverage: nodes that hear each other leave no bucket without an owner.
	RuleCoverage
	// RuleAgreement: left alone, nodes that hear each other come to one view.
	RuleAgreement
	// RuleLocality: a healthy node goes on whatever happens to another.
	RuleLocality
	// RuleTakeover: what a failed node owned is taken over in time.
	RuleTakeover
	// RuleBroken: nothing planned breaks a connection.
	RuleBroken
	// RuleMoves: only those buckets move that the table moves, and once.
	RuleMoves
	// RuleChurn: views come to rest.
	RuleChurn
	// RuleExpect: the story says otherwise.
	RuleExpect
	// RuleReach: whom the service's traffic does not reach owns nothing while a
	// second path tells it of others that serve.
	RuleReach
	// RuleActive: a single pool is one node's, and the right one's; whose host cannot serve has
	// nothing while another can.
	RuleActive
	// RulePins: nodes that hear each other know the same of pins, the last word about
	// each bucket, and what is pinned to one that serves is its own.
	RulePins
	// RuleStays: no order makes all nodes drain.
	RuleStays
	// RuleReplay: only what nobody has answered is asked again.
	RuleReplay
	ruleCount
)

var ruleNames = [...]string{
	"contract", "exclusion", "reset", "coverage", "agreement", "locality", "takeover", "broken", "moves", "churn", "expect", "reach", "active", "pins", "stays", "replay",
}

func (r Rule) String() string { return ruleNames[r] }

// Span is a time that scales with a scenario's beat: permille of the lease,
// permille of the interval, and some that does not.
type Span struct {
	Lease, Interval int
	Fixed           time.Duration
}

func (s Span) of(sc *Scenario) time.Duration {
	return time.Duration(s.Lease)*sc.Lease/1000 + time.Duration(s.Interval)*sc.Interval/1000 + s.Fixed
}

// Bounds are the times within which the rules must hold.
type Bounds struct {
	// Heal: from when a pair hears each other until it never overlaps.
	Heal Span
	// Cover: from when nothing changes any more until every bucket has an owner.
	Cover Span
	// Handover: how long a bucket has no owner when nothing is wrong.
	Handover Span
	// Takeover: how long a bucket has no owner after one node among healthy ones failed.
	Takeover Span
	// Doubt: so much longer, if that node is still heard now and then.
	Doubt Span
	// Agree: from when nothing changes any more until all announce one view.
	Agree Span
}

// agreeWithin is the bound Agree, and the patience with a joiner that fell out of
// the view again and again: two leases, doubled each time, 30 s at most.
func agreeWithin(b Bounds, s *Scenario) time.Duration {
	falls := make([]int, len(s.Nodes))
	most := 0
	for _, op := range s.Ops {
		switch op.Verb {
		case Start, Restart, Kill, Crash, Freeze, Deaf, Mute, Unflood, Slow, Lag, Dawdle, Forget:
			for _, i := range op.Nodes {
				falls[i]++
				most = max(most, falls[i])
			}
		}
	}
	patience := time.Duration(0)
	if most > 3 { // less than that is in the bound
		patience = min(2*s.Lease<<min(most, 6), 30*time.Second)
	}
	return b.Agree.of(s) + patience
}

// A node may adopt so many views after a change, and so many more in each
// lease, before it counts as churn: while somebody is sick or some link bad,
// and when all is well.
const (
	churnFree, churnLease         = 30, 5
	churnFreeWell, churnLeaseWell = 12, 1
)

// DefaultBounds are what the state machine is held to.
func DefaultBounds() Bounds {
	return Bounds{
		Heal:     Span{Lease: 1000, Interval: 2000},
		Cover:    Span{Lease: 4000, Fixed: 1200 * time.Millisecond},
		Handover: Span{Interval: 3000},
		Takeover: Span{Lease: 1100, Interval: 4000},
		Doubt:    Span{Lease: 1500}, // it may try once more
		Agree:    Span{Lease: 10000, Fixed: 5 * time.Second},
	}
}
