package sim

import (
	"encoding/json"
	"testing"

	"github.com/rota-cluster/rota/internal/ownership"
)

// reborn is a node whose daemon is replaced by the next one every so many steps, in
// no time.
type reborn struct {
	t     *testing.T
	cfg   ownership.Config
	node  *ownership.Node
	steps int
	count *int
}

func (r *reborn) Step(now ownership.Time, ev ownership.Event) []ownership.Effect {
	if r.steps++; r.steps%211 == 0 {
		r.rebirth(now)
	}
	if e, ok := ev.(ownership.Reconfigure); ok {
		r.cfg.Pools, r.cfg.Interval, r.cfg.Lease = e.Pools, e.Interval, e.Lease
	}
	return r.node.Step(now, ev)
}

func (r *reborn) InDoubt() bool { return r.node.InDoubt() }

func (r *reborn) rebirth(now ownership.Time) {
	raw, err := json.Marshal(r.node.Snapshot())
	if err != nil {
		r.t.Error(err)
		return
	}
	s := new(ownership.Snapshot)
	if err := json.Unmarshal(raw, s); err != nil {
		r.t.Error(err)
		return
	}
	if now >= s.LeaseUntil {
		return // nobody would carry that on
	}
	next, err := ownership.CarryOn(r.cfg, s, now)
	if err != nil {
		r.t.Error(err)
		return
	}
	r.node = next
	*r.count++
}

// Nothing that a node decides depends on anything that its Snapshot lacks: runs in
// which daemons are replaced again and again are the same, bit for bit.
func TestANodeIsItsSnapshot(t *testing.T) {
	times := 0
	for seed := range uint64(40) {
		s := eitherKind(seed)
		s.Ops = without(s.Ops, Restart) // those are for machines of the plain kind
		plain := Run(s, theNode, options())
		other := Run(s, func(cfg ownership.Config, now ownership.Time) Machine {
			return &reborn{t: t, cfg: cfg, node: ownership.New(cfg, now), count: &times}
		}, options())
		if plain.Hash != other.Hash || plain.Stats.Steps != other.Stats.Steps {
			t.Errorf("seed %d: another run: %d steps, then %d", seed, plain.Stats.Steps, other.Stats.Steps)
		}
	}
	if times < 200 {
		t.Errorf("%d daemons were replaced, which shows little", times)
	}
}

func without(ops []Op, verb Verb) []Op {
	var rest []Op
	for _, op := range ops {
		if op.Verb != verb {
			rest = append(rest, op)
		}
	}
	return rest
}

// The daemons of the others die and start again while that of a is away and its datapath
// goes on: they must not have forgotten that they promised to hold what a owns.
const (
	forgottenByTwo = `nodes a b c
pool web 24
beat 50ms 300ms
majority 3
network 200µs 500µs
seed 1

0s     start a b c
2s     restart a 4s
2.1s   kill b c
2.2s   start b c
12s    end
`
	forgottenByOne = `nodes a b
pool web 24
beat 50ms 300ms
network 200µs 500µs
seed 1

0s     start a b
2s     restart a 4s
2.1s   kill b
2.2s   start b
12s    end
`
)

func TestAPromiseToHoldOutlivesTheDaemon(t *testing.T) {
	for _, story := range []string{forgottenByTwo, forgottenByOne} {
		s, err := Parse(story)
		if err != nil {
			t.Fatal(err)
		}
		if v := Run(s, theNode, options()).Violation; v != nil {
			t.Errorf("%v %s: %s", v.At, v.Rule, v.Text)
		}
		forgets := func(cfg ownership.Config, now ownership.Time) Machine {
			cfg.Promised = 0
			return ownership.New(cfg, now)
		}
		if v := Run(s, forgets, options()).Violation; v == nil || v.Rule != RuleExclusion {
			t.Errorf("%v; want two owners of a bucket when the promise is forgotten", v)
		}
	}
}
