package health

import (
	"testing"
	"time"
)

// TestALevelBeginsWithTheFirstAnswer, not with the clock's zero, the boot of the host.
func TestALevelBeginsWithTheFirstAnswer(t *testing.T) {
	const first, later = time.Hour, 2 * time.Hour
	var w Watch
	var c Tally
	for _, now := range []Time{first, later} {
		if s := w.Read(now, Rule{}, Reading{Answer: Measured}); s.Since != first {
			t.Errorf("of a sign: %v, want %v", s.Since, first)
		}
		if s := c.Result(now, 2, 2, Result{Level: OK}); s.Since != first {
			t.Errorf("of a check: %v, want %v", s.Since, first)
		}
	}
}
