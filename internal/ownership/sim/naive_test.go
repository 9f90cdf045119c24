package sim

import (
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// alone is a machine that owns everything from its start and talks to nobody.
type alone struct {
	cfg     ownership.Config
	started bool
	seq     uint64
}

func (m *alone) Step(now ownership.Time, _ ownership.Event) []ownership.Effect {
	m.seq++
	var effects []ownership.Effect
	if !m.started {
		m.started = true
		for i, p := range m.cfg.Pools {
			states := make([]ownership.BucketState, p.Buckets)
			for b := range states {
				states[b] = ownership.Mine
			}
			effects = append(effects, ownership.SetTable{Pool: i, States: states})
		}
	}
	return append(effects,
		ownership.RenewLease{Until: now + m.cfg.Lease},
		ownership.Send{Beat: &ownership.Beat{From: m.cfg.Self, Seq: m.seq}},
		ownership.WakeAt{At: now + m.cfg.Interval})
}

func (*alone) InDoubt() bool { return false }

func runAlone(t *testing.T, text string) *Violation {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	newAlone := func(cfg ownership.Config, _ ownership.Time) Machine { return &alone{cfg: cfg} }
	return Run(s, newAlone, options()).Violation
}

// What the datapaths accept is judged with the lease, on the node's own clock,
// and for nodes that hear each other.
func TestTwoOwnersAreSeen(t *testing.T) {
	const head = "nodes a b\nnode a clock +10000ppm 1h\npool web 4\nbeat 50ms 300ms\nnetwork 1ms 1ms\nseed 1\n"
	for _, c := range []struct {
		story, text string
		at          time.Duration // of the violation of exclusion; 0: none
	}{
		{"both accept at once", "0s start a b\n1s end", time.Nanosecond},
		{"the first is killed, and its datapath goes on until the lease ends",
			"0s start a\n1s kill a\n1.2s start b\n2s end", 1200 * time.Millisecond},
		{"the second starts when the lease has ended", "0s start a\n1s kill a\n1.31s start b\n2s end", 0},
		{"the first is frozen, which is no better than killed",
			"0s start a\n1s freeze a\n1.2s start b\n2s end", 1200 * time.Millisecond},
		{"a host without power accepts nothing", "0s start a\n1s crash a\n1s start b\n2s end", 0},
		{"they do not hear each other", "0s cut a>b\n0s start a b\n2s end", 0},
		{"they hear each other again, for longer than it takes to learn",
			"0s cut a>b\n0s start a b\n1s mend\n2s end", 1404 * time.Millisecond},
		{"one is deaf", "0s deaf b\n0s start a b\n2s end", 0},
		{"under majority nobody needs to hear anybody", "majority 2\n0s cut a-b\n0s start a b\n2s end", time.Nanosecond},
	} {
		v := runAlone(t, head+c.text)
		switch {
		case c.at == 0 && v != nil && v.Rule == RuleExclusion:
			t.Errorf("%s: %v %s", c.story, v.At, v.Text)
		case c.at != 0 && (v == nil || v.Rule != RuleExclusion):
			t.Errorf("%s: not seen; %v", c.story, v)
		case c.at > time.Nanosecond && v.At != c.at:
			t.Errorf("%s: seen at %v, want %v", c.story, v.At, c.at)
		}
	}
}
