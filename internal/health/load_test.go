package health

import (
	"testing"
	"time"
)

func TestLoad(t *testing.T) {
	for _, row := range []struct {
		name  string
		every time.Duration
		told  []int
		want  int
	}{
		{"nothing", time.Second, nil, 100},
		{"the first word counts at once", time.Second, []int{40}, 40},
		{"less counts at once", time.Second, []int{100, 40}, 40},
		{"more has to last", time.Second, []int{40, 90, 90, 90, 90, 90}, 40},
		{"more has lasted, and the least of it counts", time.Second, []int{40, 90, 70, 90, 90, 90, 90}, 70},
		{"what swings stays low", 100 * time.Millisecond, []int{100, 50, 100, 50, 100, 50, 100, 50, 100}, 50},
		{"a swing begins the time anew", 3 * time.Second, []int{50, 100, 50, 100, 100}, 50},
	} {
		var l Load
		now := Time(0)
		for _, percent := range row.told {
			l.Told(now, percent)
			now += Time(row.every)
		}
		if got := l.Percent(); got != row.want {
			t.Errorf("%s: %d, want %d", row.name, got, row.want)
		}
	}
}
