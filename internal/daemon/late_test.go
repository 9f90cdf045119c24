package daemon

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
)

func TestLateness(t *testing.T) {
	var told bytes.Buffer
	l := newLateness(50*time.Millisecond, 300*time.Millisecond, slog.New(slog.NewTextHandler(&told, nil)))
	now := time.Hour
	late := func(d time.Duration) { l.done(now-d, now) }
	l.done(0, now) // the first turn is not late
	late(0)
	late(125 * time.Microsecond)
	late(126 * time.Microsecond)
	late(100 * time.Millisecond)
	if _, warned := l.warning(now); warned || told.Len() > 0 {
		t.Errorf("half of what the lease bears is told: %s", told.String())
	}
	late(101 * time.Millisecond)
	late(3 * time.Second)
	var h api.Heartbeat
	l.tell(&h, now)
	counts := map[float64]uint64{}
	for _, b := range h.Late {
		counts[b.UptoMS] = b.Wakes
	}
	if counts[0.125] != 2 || counts[0.25] != 1 || counts[128] != 2 || counts[0] != 1 || len(h.Late) != lateBins {
		t.Errorf("%+v", h.Late)
	}
	if h.LateMaxMS != 3000 || h.LateRecentMS != 3000 {
		t.Errorf("worst %v, of late %v", h.LateMaxMS, h.LateRecentMS)
	}
	if n := strings.Count(told.String(), "ran late"); n != 1 {
		t.Errorf("told %d times, want once a minute:\n%s", n, told.String())
	}
	if w, warned := l.warning(now); !warned || w.Code != "late" || !strings.Contains(w.Text, "3s late") || !strings.Contains(w.Text, "bears 200ms") {
		t.Errorf("%+v", w)
	}
	now += lateWindow
	late(time.Millisecond) // a new window: the one before counts still
	if got := l.recent(now); got != 3*time.Second {
		t.Errorf("after a minute: %v", got)
	}
	now += lateWindow
	late(2 * time.Millisecond)
	if got := l.recent(now); got != 2*time.Millisecond {
		t.Errorf("after two minutes: %v", got)
	}
	if got := l.recent(now + 2*lateWindow); got != 0 {
		t.Errorf("after two minutes of nothing: %v", got)
	}
	if l.tell(&h, now); h.LateMaxMS != 3000 {
		t.Errorf("the worst is forgotten: %v", h.LateMaxMS)
	}
}
