package sim

import (
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"github.com/rota-cluster/rota/internal/ownership"
)

func theNode(cfg ownership.Config, now ownership.Time) Machine { return ownership.New(cfg, now) }

func options() Options { return Options{Bounds: DefaultBounds()} }

// A scenario written out and read back is the same scenario.
func TestFormatIsReadBack(t *testing.T) {
	for seed := range uint64(300) {
		text := eitherKind(seed).Format()
		back, err := Parse(text)
		if err != nil {
			t.Fatalf("seed %d: %v in\n%s", seed, err, text)
		}
		if again := back.Format(); again != text {
			t.Fatalf("seed %d:\n%s\nreads back as\n%s", seed, text, again)
		}
	}
}

// eitherKind has a second path in every other scenario.
func eitherKind(seed uint64) *Scenario {
	s := Generate(seed)
	if seed%2 == 1 {
		s = WithSecond(s)
	}
	if seed%3 == 1 {
		s = WithOrders(s)
	}
	return s
}

// The same scenario gives the same run, bit for bit, also through its text.
func TestRunsRepeat(t *testing.T) {
	for seed := range uint64(40) {
		s := eitherKind(seed)
		first := Run(s, theNode, options())
		back, err := Parse(s.Format())
		if err != nil {
			t.Fatal(err)
		}
		told := options()
		told.Tell = true
		second := Run(back, theNode, told)
		if first.Hash != second.Hash || first.Stats.Steps != second.Stats.Steps {
			t.Fatalf("seed %d: %d steps, then %d; hash %x, then %x\n%s", seed,
				first.Stats.Steps, second.Stats.Steps, first.Hash, second.Hash, strings.Join(second.Story, "\n"))
		}
	}
}

// runSeeds runs seeds on all processors and returns the scenarios that failed.
func runSeeds(generate func(uint64) *Scenario, f Factory, opt Options, from uint64, count, most int) (Stats, []*Scenario) {
	var (
		mu     sync.Mutex
		wg     sync.WaitGroup
		next   = from
		total  Stats
		failed []*Scenario
	)
	defer debug.SetGCPercent(debug.SetGCPercent(1000)) // many small things, none of which live long
	take := func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		if next >= from+uint64(count) || len(failed) >= most {
			return 0, false
		}
		next++
		return next - 1, true
	}
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			var mine Stats
			for seed, ok := take(); ok; seed, ok = take() {
				s := generate(seed)
				r := Run(s, f, opt)
				mine.Merge(&r.Stats)
				if r.Violation != nil {
					mu.Lock()
					failed = append(failed, s)
					mu.Unlock()
				}
			}
			mu.Lock()
			total.Merge(&mine)
			mu.Unlock()
		})
	}
	wg.Wait()
	return total, failed
}
