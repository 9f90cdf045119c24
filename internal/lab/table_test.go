package lab

import (
	"testing"
	"time"
)

// Whatever a demo measured, its last line tells whether it succeeded.
func TestTheLastLineOfADemo(t *testing.T) {
	var good table
	good.limited("a gap", 3*time.Millisecond, 5*time.Millisecond)
	good.note("memory", "20 MiB", "40 MiB", true)
	if err := good.verdict(); err != nil || good.success() != "The demo succeeded: all of it is within its limits." {
		t.Errorf("%v, %s", err, good.success())
	}
	slow := good
	slow.note("an idle daemon's CPU", "1.62 % of a core", "1.5 %", false)
	slow.excused("a gap", 8*time.Millisecond, 5*time.Millisecond, 4*time.Millisecond)
	const want = "The demo succeeded: no client saw anything wrong. Missed on this machine: " +
		"an idle daemon's CPU (1.62 % of a core, limit 1.5 %); a gap (8ms, limit 5ms)."
	if err := slow.verdict(); err != nil || slow.success() != want {
		t.Errorf("%v, %s", err, slow.success())
	}
	wrong := good
	wrong.limited("a gap", 9*time.Millisecond, 5*time.Millisecond)
	if wrong.verdict() == nil {
		t.Error("a gap over its limit is no fault")
	}
}
