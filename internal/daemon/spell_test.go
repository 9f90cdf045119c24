package daemon

import (
	"testing"
	"time"
)

func TestASpellGoesOn(t *testing.T) {
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	var first spell
	first.is(false, at(0))
	first.is(true, at(1))
	first.is(true, at(2))
	if first.told(at(3)) != at(1) {
		t.Errorf("since %v", first.since)
	}
	var second, third, late, well spell
	second.carryOn(first.told(at(3)), at(3))
	second.is(false, at(4)) // nothing has been looked at
	third.carryOn(second.told(at(5)), at(5))
	third.is(true, at(6))
	if third.since != at(1) {
		t.Errorf("after two restarts since %v", third.since)
	}
	third.is(false, at(7))
	third.is(true, at(8))
	if third.since != at(8) {
		t.Errorf("a new spell since %v", third.since)
	}
	late.carryOn(at(1), at(3))
	late.is(true, at(64))
	if late.since != at(64) || late.told(at(70)) != at(64) {
		t.Errorf("one that is late since %v", late.since)
	}
	well.carryOn(at(1), at(3))
	if !well.told(at(64)).IsZero() {
		t.Error("what has been well is told")
	}
}
