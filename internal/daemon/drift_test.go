package daemon

import (
	"testing"
	"time"
)

// TestADamper mends at once what goes now and then, and loses patience with who
// takes the same away again and again.
func TestADamper(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	d := &damper{}
	for i, row := range []struct {
		mended             float64 // s after the start
		thenPaused         float64 // s; 0: not at all
		restless, restUnto float64 // s after it was mended: restless then, and no more then; 0: never
	}{
		{0, 0, 0, 0},
		{0.3, 0, 0, 0},
		{0.6, 0, 0, 0},
		{0.9, 0.5, 9.9, 10},
		{1.5, 1, 9.9, 10},
		{3, 2, 9.9, 10},
		{6, 4, 9.9, 10},
		{11, 8, 15.9, 16},
		{20, 16, 31.9, 32},
		{40, 30, 59.9, 60},
		{80, 30, 59.9, 60}, // no more than that
		{201, 0, 0, 0},     // a while later it begins anew
		{800, 0, 0, 0},
	} {
		now := at(row.mended)
		if d.paused(now) {
			t.Errorf("row %d: still paused", i)
		}
		d.mended(now)
		paused := row.thenPaused > 0
		if d.paused(now) != paused || paused && (!d.paused(at(row.mended+row.thenPaused-0.01)) || d.paused(at(row.mended+row.thenPaused))) {
			t.Errorf("row %d: paused until %v, want for %vs", i, d.until.Sub(now), row.thenPaused)
		}
		if row.restless == 0 {
			if d.restless(now) {
				t.Errorf("row %d: restless", i)
			}
		} else if !d.restless(at(row.mended+row.restless)) || d.restless(at(row.mended+row.restUnto)) {
			t.Errorf("row %d: restless for %v, want %vs", i, d.calm(), row.restUnto)
		}
	}
	d = &damper{}
	d.failed(start)
	if !d.paused(at(0.9)) || d.paused(at(1)) || d.restless(start) {
		t.Errorf("after a failure: paused until %v", d.until.Sub(start))
	}
}

// Looks come at whole multiples of their interval, and none right after another.
func TestLooksAreAtTheSameMoments(t *testing.T) {
	rows := []struct {
		words    string
		at, left time.Duration
	}{
		{"on time", 0, lookEach},
		{"a little late", time.Millisecond, lookEach - time.Millisecond},
		{"early by a clock that was set", lookEach - time.Millisecond, lookEach + time.Millisecond},
		{"for another reason, between", lookEach / 2, lookEach / 2},
	}
	for _, row := range rows {
		if left := untilNextLook(time.Unix(1700000000, int64(row.at))); left != row.left {
			t.Errorf("%s: in %v, want %v", row.words, left, row.left)
		}
	}
}
