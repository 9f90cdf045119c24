package daemon

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/netcfg"
	"github.com/rota-cluster/rota/internal/ownership"
)

// What a daemon left is used once, by the right one, under the right clock.
func TestAnEstateIsTakenOnceAndInTime(t *testing.T) {
	slept, err := asleep()
	if err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config{Cluster: "web", StateDir: t.TempDir(), Pools: make([]config.Pool, 1)}
	link := netcfg.Link{Index: 7}
	good := func() estate {
		return estate{
			Format: EstateFormat(), Boot: bootID(), Asleep: slept, Cluster: "web", Interface: 7,
			Node: &ownership.Snapshot{LeaseUntil: now() + time.Hour}, Lingering: make([]map[uint32]ownership.Time, 1),
		}
	}
	for _, row := range []struct {
		what   string
		change func(*estate)
		fits   bool
	}{
		{"as it was left", func(*estate) {}, true},
		{"by another version", func(e *estate) { e.Format = "0" }, false},
		{"before the host was booted", func(e *estate) { e.Boot = "another" }, false},
		{"by a host that does not tell its boot", func(e *estate) { e.Boot = "" }, false},
		{"before the host slept", func(e *estate) { e.Asleep -= time.Second }, false},
		{"by another cluster", func(e *estate) { e.Cluster = "mail" }, false},
		{"on another interface", func(e *estate) { e.Interface = 8 }, false},
		{"with other pools", func(e *estate) { e.Lingering = nil }, false},
		{"too long ago", func(e *estate) { e.Node.LeaseUntil = now() }, false},
	} {
		e := good()
		row.change(&e)
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if err := replaceFile(estatePath(cfg), string(text)); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the first to look may have died before it took it
			if _, err := findEstate(cfg, link); (err == nil) != row.fits {
				t.Errorf("%s: %v", row.what, err)
			}
		}
		if err := takeEstate(cfg); err != nil {
			t.Error(err)
		}
		if _, err := findEstate(cfg, link); !errors.Is(err, errNothingLeft) {
			t.Errorf("%s: taken twice: %v", row.what, err)
		}
	}
}

// What operators ordered, and what happened, outlives whatever keeps the next daemon from
// carrying on, but not the host's boot.
func TestOrdersOutliveWhatCannotBeCarriedOn(t *testing.T) {
	cfg := &config.Config{Cluster: "web", StateDir: t.TempDir(), Pools: make([]config.Pool, 1)}
	left := func(boot string, node *ownership.Snapshot) (*estate, error) {
		t.Helper()
		text, err := json.Marshal(estate{
			Format: EstateFormat(), Boot: boot, Cluster: "web", Interface: 7, Node: node,
			Orders: standing{Drain: &ownership.Drain{Reason: "new kernel", Timeout: time.Minute}, Weight: 50, Filed: 100},
			Events: []api.Event{{Seq: 7, Text: "drains"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := replaceFile(estatePath(cfg), string(text)); err != nil {
			t.Fatal(err)
		}
		return findEstate(cfg, netcfg.Link{Index: 7})
	}
	drain := ownership.Drain{Reason: "new kernel", Timeout: time.Minute}
	weight := ownership.Command{Order: ownership.Order{Kind: ownership.OrderWeight, Weight: 50}}

	l, err := left(bootID(), nil)
	if !errors.Is(err, errStartsAnew) {
		t.Errorf("a start that was meant to be anew: %v", err)
	}
	if got := l.Orders.again(100); len(l.Events) != 1 || !slices.Equal(got, []ownership.Event{weight, drain}) {
		t.Errorf("stands: %+v, events: %+v", got, l.Events)
	}
	if got := l.Orders.again(80); !slices.Equal(got, []ownership.Event{drain}) {
		t.Errorf("with another weight in the file: %+v", got)
	}
	if l, err = left(bootID(), &ownership.Snapshot{LeaseUntil: now()}); err == nil || errors.Is(err, errStartsAnew) || len(l.Orders.again(100)) != 2 {
		t.Errorf("too late: %v, %+v", err, l)
	}
	if l, _ = left("another", nil); len(l.Orders.again(100))+len(l.Events) != 0 {
		t.Errorf("after a boot: %+v", l)
	}
}

// A promise binds the next start, also one after a boot, when the clock begins anew.
func TestAPromiseIsRemembered(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	p := newPromised(dir, log)
	if got := p.recall(); got != 0 {
		t.Errorf("promised until %v before anything was", got)
	}
	if !p.keep(100*time.Hour, 100*time.Hour-3*time.Second) {
		t.Fatal("not noted")
	}
	if got := newPromised(dir, log).recall(); got != 100*time.Hour {
		t.Errorf("promised until %v, want 100h", got)
	}
	rebooted := newPromised(dir, log)
	rebooted.boot = "another"
	if got := rebooted.recall(); got != 3*time.Second {
		t.Errorf("after a boot: until %v, want 3s", got)
	}
	if err := os.WriteFile(filepath.Join(dir, promisedFile), []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := p.recall(); got != 0 {
		t.Errorf("%v from a file of nonsense", got)
	}
	if newPromised(filepath.Join(dir, promisedFile, "no-folder"), log).keep(1, 0) {
		t.Error("noted where nothing can be written")
	}
}
