package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/rota-cluster/rota/internal/config"
)

const healthFile = "health"

// records keeps over starts what the ward knows, under one boot.
type records struct {
	path string
	boot string // "" if it cannot be told
	log  *slog.Logger

	mu      sync.Mutex
	failing bool
}

func newRecords(stateDir string, log *slog.Logger) *records {
	return &records{path: filepath.Join(stateDir, healthFile), boot: bootID(), log: log}
}

// recall reads what the daemon before has known. A boot begins anew, and so does another clock.
func (r *records) recall() (k knowledge) {
	text, err := config.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return knowledge{}
	}
	if err == nil {
		err = json.Unmarshal(text, &k)
	}
	if err != nil {
		r.log.Warn("what the checks and signs said before this start is not known", "error", fmt.Errorf("%s: %w", r.path, err))
	}
	if err != nil || r.boot == "" || k.Boot != r.boot || now() < k.At {
		return knowledge{}
	}
	return k
}

// note replaces the file as a whole. It tells once that it cannot.
func (r *records) note(k knowledge) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k.Boot = r.boot
	text, err := json.Marshal(k)
	if err == nil {
		err = replaceFile(r.path, string(text))
	}
	if err != nil && !r.failing {
		r.log.Warn("cannot note what the checks and signs say: the next start may take its share before it sees again what is wrong", "error", err)
	}
	r.failing = err != nil
}

// noteHealth notes what the ward in force knows.
func (d *daemon) noteHealth() {
	w := d.ward.Load()
	w.mu.Lock()
	k := w.knows()
	w.mu.Unlock()
	d.records.note(k)
}

// noteSoon is how soon what has changed is noted: what changes all the time is not written all the time.
const noteSoon = time.Second

// recordHealth notes it soon after something has changed, and now and then, until ctx is done.
func (d *daemon) recordHealth(ctx context.Context) {
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	var soon <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			d.noteHealth()
			return
		case <-d.learnt:
			if soon == nil {
				soon = time.After(noteSoon)
			}
			continue
		case <-soon:
			soon = nil
		case <-tick.C:
		}
		d.noteHealth()
	}
}
