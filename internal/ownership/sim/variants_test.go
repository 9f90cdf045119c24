package sim

import (
	"cmp"
	"flag"
	"slices"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

var variantSeeds = flag.Int("variant-seeds", 2000, "within how many seeds each broken variant must be caught")

// broken is the machine with one of its rules taken out, from outside: by
// what it is told and what becomes of what it asks for.
type broken struct {
	Machine
	self   ownership.Ref
	lease  time.Duration
	sent   uint64        // the newest own beat
	leased time.Duration // until when
	states []ownership.BucketState
	gained ownership.Bitmap // in the first pool, by the last table
	deafTo func(ev ownership.Event) bool
	hear   func(m *broken, b *ownership.Beat)
	effect func(m *broken, now ownership.Time, e ownership.Effect) ownership.Effect
	always func(m *broken, now ownership.Time) ownership.Effect
}

func (m *broken) Step(now ownership.Time, ev ownership.Event) []ownership.Effect {
	if got, ok := ev.(ownership.BeatReceived); ok && m.hear != nil {
		b := *got.Beat
		b.Echo, b.Pools = slices.Clone(b.Echo), slices.Clone(b.Pools)
		m.hear(m, &b)
		ev = ownership.BeatReceived{Beat: &b, Path: got.Path}
	}
	if m.deafTo != nil && m.deafTo(ev) {
		ev = ownership.Wake{}
	}
	effects := m.Machine.Step(now, ev)
	for i, e := range effects {
		if send, ok := e.(ownership.Send); ok {
			m.sent = send.Beat.Seq
		}
		if m.effect != nil {
			effects[i] = m.effect(m, now, e)
		}
	}
	if _, stop := ev.(ownership.Stop); !stop && m.always != nil {
		effects = append(effects, m.always(m, now))
	}
	return effects
}

// forge makes a beat echo the newest of this node's own.
func forge(m *broken, b *ownership.Beat) {
	forged := ownership.Echo{Ref: m.self, Seq: m.sent, Mutual: true}
	i, ok := slices.BinarySearchFunc(b.Echo, m.self.Name, func(e ownership.Echo, name string) int { return cmp.Compare(e.Name, name) })
	if ok {
		b.Echo[i] = forged
		return
	}
	b.Echo = slices.Insert(b.Echo, i, forged)
}

// watch notes the first pool's table.
func watch(m *broken, _ ownership.Time, e ownership.Effect) ownership.Effect {
	t, ok := e.(ownership.SetTable)
	if !ok || t.Pool != 0 {
		return e
	}
	m.gained = ownership.NewBitmap(uint32(len(t.States)))
	for b, state := range t.States {
		if owns(state) && m.states != nil && !owns(m.states[b]) {
			m.gained.Set(uint32(b))
		}
	}
	m.states = t.States
	return e
}

// The simulator can fail: it catches each of these.
func TestBrokenVariantsAreCaught(t *testing.T) {
	for _, v := range []struct {
		name      string
		configure func(*ownership.Config)
		generate  func(seed uint64) *Scenario // nil: Generate
		broken    broken
		rules     []Rule
	}{
		{
			name: "renews its lease without fresh promises",
			broken: broken{effect: renewAnyway, always: func(m *broken, now ownership.Time) ownership.Effect {
				return renewAnyway(m, now, ownership.RenewLease{Until: m.leased})
			}},
			rules: []Rule{RuleExclusion},
		},
		{
			name:   "trusts a beat that does not echo a recent one of its own",
			broken: broken{hear: forge},
			rules:  []Rule{RuleExclusion},
		},
		{
			name:      "takes over on suspicion instead of at the end of its promise",
			configure: func(c *ownership.Config) { c.Lease /= 2 },
			broken: broken{effect: func(m *broken, _ ownership.Time, e ownership.Effect) ownership.Effect {
				if r, ok := e.(ownership.RenewLease); ok && r.Until > 0 {
					return ownership.RenewLease{Until: r.Until + m.lease/2}
				}
				return e
			}},
			rules: []Rule{RuleExclusion},
		},
		{
			name: "ignores one-way links",
			broken: broken{hear: func(m *broken, b *ownership.Beat) {
				for i := range b.Echo {
					b.Echo[i].Mutual, b.Echo[i].Silent = true, false
				}
				if m.sent > 0 && !slices.ContainsFunc(b.Echo, func(e ownership.Echo) bool { return e.Ref == m.self }) {
					forge(m, b)
				}
			}},
			rules: []Rule{RuleCoverage, RuleAgreement, RuleLocality, RuleTakeover, RuleExclusion},
		},
		{
			name: "accepts before the old owner has released",
			broken: broken{hear: func(_ *broken, b *ownership.Beat) {
				for i := range b.Pools {
					b.Pools[i].Claims = nil
				}
			}},
			rules: []Rule{RuleExclusion},
		},
		{
			name: "replays whatever it gains, be it from the living",
			broken: broken{effect: watch, always: func(m *broken, _ ownership.Time) ownership.Effect {
				gained := m.gained
				m.gained = nil
				return ownership.Replay{Buckets: gained}
			}},
			rules: []Rule{RuleReplay},
		},
		{
			name: "sends on what it dropped before anybody has begun to accept it",
			broken: broken{effect: watch, always: func(m *broken, _ ownership.Time) ownership.Effect {
				lingers := ownership.NewBitmap(uint32(len(m.states)))
				for b, state := range m.states {
					if state == ownership.Lingering {
						lingers.Set(uint32(b))
					}
				}
				return ownership.Resend{Buckets: lingers}
			}},
			rules: []Rule{RuleReplay},
		},
		{
			name:   "does not heed that its host cannot serve",
			broken: broken{deafTo: func(ev ownership.Event) bool { _, unfit := ev.(ownership.Unfit); return unfit }},
			rules:  []Rule{RuleActive},
		},
		{
			name:     "takes all priorities for the same",
			generate: generateSingle,
			configure: func(c *ownership.Config) {
				for i := range c.Pools {
					c.Pools[i].Priority = 1
				}
			},
			rules: []Rule{RuleActive},
		},
		{
			name:     "preempts where it should not",
			generate: generateSingle,
			configure: func(c *ownership.Config) {
				for i := range c.Pools {
					c.Pools[i].Preempt = true
				}
			},
			rules: []Rule{RuleActive},
		},
	} {
		t.Run(v.name, func(t *testing.T) {
			factory := func(cfg ownership.Config, now ownership.Time) Machine {
				m := v.broken
				m.self, m.lease = cfg.Self, cfg.Lease
				if v.configure != nil {
					v.configure(&cfg)
				}
				m.Machine = ownership.New(cfg, now)
				return &m
			}
			generate := v.generate
			if generate == nil {
				generate = Generate
			}
			for seed := uint64(1); seed <= uint64(*variantSeeds); seed++ {
				r := Run(generate(seed), factory, options())
				if r.Violation != nil && slices.Contains(v.rules, r.Violation.Rule) &&
					Run(generate(seed), theNode, options()).Violation == nil {
					t.Logf("caught by seed %d: %s: %s", seed, r.Violation.Rule, r.Violation.Text)
					return
				}
			}
			t.Errorf("not caught in %d seeds", *variantSeeds)
		})
	}
}

// renewAnyway makes every renewal one from now on.
func renewAnyway(m *broken, now ownership.Time, e ownership.Effect) ownership.Effect {
	r, ok := e.(ownership.RenewLease)
	if !ok {
		return e
	}
	m.leased = r.Until
	if r.Until > 0 {
		m.leased = max(r.Until, now+m.lease)
	}
	return ownership.RenewLease{Until: m.leased}
}
