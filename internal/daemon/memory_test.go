package daemon

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rota-cluster/rota/internal/ownership"
	"github.com/rota-cluster/rota/internal/wire"
)

// TestMemory keeps what was heard, and the daemon runs on when it cannot.
func TestMemory(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	dir := filepath.Join(t.TempDir(), "state")
	m := newMemory(dir, logger)
	if heard := m.recall(); heard != nil || log.Len() > 0 {
		t.Errorf("a first start has heard %v; %s", heard, log.String())
	}
	want := []wire.Heard{
		{From: ownership.Ref{Name: "node-b", Incarnation: 1795346981481219}, Seq: 77},
		{From: ownership.Ref{Name: "nœud-c", Incarnation: 1}, Seq: 1 << 60},
	}
	m.note(want)
	if heard := newMemory(dir, logger).recall(); !reflect.DeepEqual(heard, want) || log.Len() > 0 {
		t.Errorf("%v, want %v; %s", heard, want, log.String())
	}
	if err := os.WriteFile(m.path, []byte("node-b 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if heard := m.recall(); heard != nil || !strings.Contains(log.String(), "remove the file") {
		t.Errorf("%v; %s", heard, log.String())
	}
	log.Reset()
	broken := newMemory(filepath.Join(m.path, "below-a-file"), logger)
	broken.note(want)
	broken.note(want)
	if strings.Count(log.String(), "cannot note") != 1 {
		t.Errorf("want one line: %s", log.String())
	}
}
