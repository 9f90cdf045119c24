package daemon

import (
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

func TestLingering(t *testing.T) {
	const timeout = 10 * time.Second
	l := newLingering([]time.Duration{timeout})
	states := make([]ownership.BucketState, 8)
	states[1], states[2], states[3] = ownership.Lingering, ownership.Lingering, ownership.Mine
	l.follow(0, states, 1*time.Second)
	states[5] = ownership.Lingering
	l.follow(0, states, 3*time.Second)

	live := ownership.NewBitmap(8)
	live.Set(2)
	live.Set(3)
	for _, c := range []struct {
		what        string
		looked, now time.Duration
		want        []uint32
		expired     int
	}{
		{"only what has connections stays", 4 * time.Second, 4 * time.Second, []uint32{2, 3}, 0},
		{"what began after the look is not judged by it", 2 * time.Second, 4 * time.Second, []uint32{2, 3, 5}, 0},
		{"nor what began so shortly before that packets may be on their way", 3*time.Second + settling - 1, 4 * time.Second, []uint32{2, 3, 5}, 0},
		{"the drain timeout ends what still has connections", 11 * time.Second, 11 * time.Second, []uint32{3}, 1},
	} {
		keep, expired := l.keep(0, live, c.looked, c.now)
		want := ownership.NewBitmap(8)
		for _, b := range c.want {
			want.Set(b)
		}
		if !keep.Equal(want) || expired != c.expired {
			t.Errorf("%s: got %b, %d expired; want %b, %d", c.what, keep, expired, want, c.expired)
		}
	}
	if left := l.left(0, 4*time.Second); left != 9*time.Second {
		t.Errorf("connections may last for %v more, want 9s", left)
	}
	if l.count(0, []uint32{0: 7, 2: 3, 5: 1}); l.open(0) != 4 {
		t.Errorf("%d connections in what lingers, want the 3 of bucket 2 and the one of bucket 5", l.open(0))
	}
	l.drainTimeout = 5 * time.Second
	l = l.lingersOn([]string{"web"}, []string{"mail", "web"}, []time.Duration{time.Minute, time.Minute})
	if keep, expired := l.keep(1, live, 7*time.Second, 7*time.Second); keep.Has(2) || expired != 1 {
		t.Errorf("a reload has ended a drain's own timeout: keeps %b, %d expired", keep, expired)
	}
	if left := l.left(1, 7*time.Second); left != time.Second {
		t.Errorf("connections may last for %v more, want 1s", left)
	}
	l = l.lingersOn([]string{"mail", "web"}, []string{"web"}, []time.Duration{timeout})
	l.follow(0, make([]ownership.BucketState, 8), 12*time.Second)
	if l.any() {
		t.Error("something lingers after a table without lingering buckets")
	}
}
