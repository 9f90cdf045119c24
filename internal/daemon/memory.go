package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rota-cluster/rota/internal/wire"
)

const (
	heardFile = "heard"
	// noteEvery bounds what a crash forgets, and what is written to the disk.
	noteEvery = time.Minute
)

// memory keeps over restarts which beats have been heard, so that nobody can
// play them again to a new start, which knows nobody yet: it would take a
// recording of a dead peer for the peer, and wait for it.
type memory struct {
	path string
	log  *slog.Logger

	failing bool
}

func newMemory(stateDir string, log *slog.Logger) *memory {
	return &memory{path: filepath.Join(stateDir, heardFile), log: log}
}

// recall reads what earlier starts have heard. Without it the daemon runs on.
func (m *memory) recall() []wire.Heard {
	text, err := os.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var heard []wire.Heard
	if err == nil {
		heard, err = parseHeard(string(text))
	}
	if err != nil {
		m.log.Warn("beats recorded before this start could be played to it", "error", err)
	}
	return heard
}

// keep notes what ear has heard now and then, until ctx is done.
func (m *memory) keep(ctx context.Context, e ears) {
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			m.note(e.heard())
			return
		case <-tick.C:
			m.note(e.heard())
		}
	}
}

// note replaces the file as a whole. It tells once that it cannot.
func (m *memory) note(heard []wire.Heard) {
	var b strings.Builder
	for _, h := range heard {
		fmt.Fprintf(&b, "%s %d %d\n", h.From.Name, h.From.Incarnation, h.Seq)
	}
	err := replaceFile(m.path, b.String())
	if err != nil && !m.failing {
		m.log.Warn("cannot note which beats were heard: they could be played to the next start", "error", err)
	}
	m.failing = err != nil
}

// parseHeard reads lines of name, incarnation and sequence number.
func parseHeard(text string) ([]wire.Heard, error) {
	var heard []wire.Heard
	for line := range strings.Lines(text) {
		var h wire.Heard
		if n, err := fmt.Sscanf(line, "%s %d %d\n", &h.From.Name, &h.From.Incarnation, &h.Seq); n != 3 || err != nil {
			return nil, fmt.Errorf("%s: %q is not a name and two numbers; remove the file", heardFile, strings.TrimSpace(line))
		}
		heard = append(heard, h)
	}
	return heard, nil
}

// heard is what the openers after these need to know.
func (e ears) heard() []wire.Heard {
	return newest(e.service.heard(), e.second.heard())
}

// newest merges what two openers have heard: of each sender the newer.
func newest(heard, others []wire.Heard) []wire.Heard {
	for _, h := range others {
		i := slices.IndexFunc(heard, func(o wire.Heard) bool { return o.From.Name == h.From.Name })
		switch {
		case i < 0:
			heard = append(heard, h)
		case cmp.Or(cmp.Compare(h.From.Incarnation, heard[i].From.Incarnation), cmp.Compare(h.Seq, heard[i].Seq)) > 0:
			heard[i] = h
		}
	}
	return heard
}

func (e *ear) heard() []wire.Heard {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.opener.Heard()
}
