package sim

import (
	"slices"
	"testing"

	"github.com/rota-cluster/rota/internal/ownership"
)

// TestDrainsThatRace: whatever operators order at the same moment, one node
// stays, and every order is answered once.
func TestDrainsThatRace(t *testing.T) { trySeeds(t, Drains, (*seeds+3)/4) }

// The rules about orders can fail: each of these is caught.
func TestBrokenOrdersAreCaught(t *testing.T) {
	for _, v := range []struct {
		name     string
		generate func(uint64) *Scenario
		hear     func(m *broken, b *ownership.Beat)
		rules    []Rule
	}{
		{
			"forgets that pins were taken off", func(seed uint64) *Scenario { return WithOrders(Generate(seed)) },
			func(_ *broken, b *ownership.Beat) {
				b.Pins.Orders = slices.DeleteFunc(slices.Clone(b.Pins.Orders), func(o ownership.PinOrder) bool { return o.Node == "" })
			},
			[]Rule{RulePins, RuleAgreement},
		},
		{
			"drains though nobody says that it stays", Drains,
			func(_ *broken, b *ownership.Beat) {
				b.Answers = slices.Clone(b.Answers)
				for i := range b.Answers {
					b.Answers[i].Refused = false
				}
				if len(b.Answers) == 0 {
					return
				}
				b.Flags &^= ownership.FlagDraining
				for i := range b.Pools {
					b.Pools[i].Weight = max(b.Pools[i].Weight, 1)
				}
			},
			[]Rule{RuleStays},
		},
	} {
		t.Run(v.name, func(t *testing.T) {
			factory := func(cfg ownership.Config, now ownership.Time) Machine {
				return &broken{self: cfg.Self, hear: v.hear, Machine: ownership.New(cfg, now)}
			}
			opt := options()
			for r := range ruleCount {
				if !slices.Contains(v.rules, r) {
					opt.Ignore |= 1 << r
				}
			}
			for seed := uint64(1); seed <= uint64(*variantSeeds); seed++ {
				if r := Run(v.generate(seed), factory, opt); r.Violation != nil {
					t.Logf("caught by seed %d: %s: %s", seed, r.Violation.Rule, r.Violation.Text)
					return
				}
			}
			t.Errorf("not caught in %d seeds", *variantSeeds)
		})
	}
}
