package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
)

// TestForwarded: who cannot ask conntrack says so when there is need, once.
func TestForwarded(t *testing.T) {
	type look struct {
		at  netip.Addr
		err error
	}
	looks := []look{{}, {err: errors.New("no answer")}, {err: errors.New("no answer")}, {}, {at: netip.MustParseAddr("192.0.2.10")}}
	var said bytes.Buffer
	next := 0
	f := &forwarded{
		log: slog.New(slog.NewTextHandler(&said, nil)),
		why: func() error { return errors.New("an old kernel") },
	}
	f.look = func() (netip.Addr, error) {
		if f.told.Load() != nil {
			t.Error("warns before there is need")
		}
		next++
		return looks[next-1].at, looks[next-1].err
	}
	ticks := make(chan time.Time, len(looks))
	for range looks {
		ticks <- time.Time{}
	}
	f.run(context.Background(), ticks)
	if next != len(looks) {
		t.Errorf("%d looks, want %d", next, len(looks))
	}
	w := f.told.Load()
	if w == nil || w.Code != api.WarnForwarded || !strings.Contains(w.Text, "192.0.2.10") || !strings.Contains(w.Text, "an old kernel") {
		t.Errorf("the warning is %v", w)
	}
	for text, times := range map[string]int{"passes on connections": 1, "no answer": 1} {
		if n := strings.Count(said.String(), text); n != times {
			t.Errorf("the log has %q %d times, want %d:\n%s", text, n, times, said.String())
		}
	}
}

func TestForwardedEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	f := &forwarded{look: func() (netip.Addr, error) { cancel(); return netip.Addr{}, nil }}
	f.run(ctx, nil)
	if f.told.Load() != nil {
		t.Error("warns of nothing")
	}
}
