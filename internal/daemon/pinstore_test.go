package daemon

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/ownership"
)

// TestPinsThatCannotBeKept are told of for as long as they are not, and written once that is possible.
func TestPinsThatCannotBeKept(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(state, nil, 0o600); err != nil { // no folder
		t.Fatal(err)
	}
	s := newPinStore(state, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	ended := make(chan struct{})
	go func() { s.run(ctx, time.Millisecond); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	s.keep([]ownership.PinOrder{{
		Pool: "web", Node: "node-a", Buckets: []uint32{7}, Version: ownership.PinVersion{Counter: 1, Writer: ownership.Ref{Name: "node-a", Incarnation: 1}},
	}})
	if err := s.settled(ctx); err != nil {
		t.Fatal(err)
	}
	if ws := s.warnings(); len(ws) != 1 || ws[0].Code != api.WarnPinsUnkept || !strings.Contains(ws[0].Text, "not a directory") {
		t.Errorf("warns of %v", ws)
	}
	if err := os.Remove(state); err != nil {
		t.Fatal(err)
	}
	for len(s.warnings()) > 0 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if orders := s.recall(); len(orders) != 1 || orders[0].Node != "node-a" {
		t.Errorf("keeps %v", orders)
	}
}
