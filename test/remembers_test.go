package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
)

// TestAnIllNodeStaysAway whatever becomes of its daemon: what is wrong shows only to whoever has seen
// that it was otherwise before. When it is mended the node comes back.
func TestAnIllNodeStaysAway(t *testing.T) {
	l, dir := newLevers(t), t.TempDir()
	c := idle(t, lab.Options{
		Nodes: 3, Pools: []lab.Pool{{Name: "web", Checks: []string{l.check()}}},
		Signs: map[string]string{"read_only": fmt.Sprintf("{stay: 1s, paths: [%q]}", dir+"/{node}")},
	})
	for _, n := range c.Nodes() {
		at := filepath.Join(dir, n.Name())
		must(t, os.Mkdir(at, 0o755))
		must(t, unix.Mount("tmpfs", at, "tmpfs", 0, "size=1m"))
		t.Cleanup(func() { must(t, unix.Unmount(at, 0)) })
	}
	l.up(c.Nodes()...)
	must(t, c.StartDaemons())
	c.even()
	ill := c.Node(1)
	at := filepath.Join(dir, ill.Name())
	must(t, unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	c.until(ill, "to own nothing", func(s *api.Status) bool { return s.View.Agreed && !owning(s) })

	before := gains(t, ill)
	for _, row := range []struct {
		what string
		do   func()
		anew bool // nobody remembers what it gained before
	}{
		{"a reload that changes its signs and checks", func() {
			edit(t, ill, "stay: 1s", "stay: 1500ms", "rise: 2", "rise: 3")
			reload(t, ill)
		}, false},
		{"a restart", func() { must(t, ill.Upgrade(soon(t))) }, false},
		{"a stop and a start", func() { must(t, ill.Leave(soon(t))); must(t, ill.Start()) }, true},
		{"a crash", func() { must(t, ill.Kill()); must(t, ill.Start()) }, true},
	} {
		row.do()
		done := time.Now()
		c.until(ill, "looks at its mounts after "+row.what, func(s *api.Status) bool {
			f := s.Signs[slices.IndexFunc(s.Signs, func(f api.Finding) bool { return f.Name == "read_only" })]
			return s.State == api.Serving && s.View.Agreed && len(s.View.Members) == 3 && f.Level == "leave" && f.Value == 1 && f.At.After(done)
		})
		if row.anew {
			before = 0
		}
		if now := gains(t, ill); now != before || owning(statuses(t, ill)[0]) {
			t.Errorf("%s: gained %d buckets:\n%s", row.what, now-before, order(t, "events", "--socket", ill.Socket()))
		}
	}
	must(t, unix.Mount("", at, "", unix.MS_REMOUNT, ""))
	c.even()
}

// gains is how many buckets a node's events say that it has gained.
func gains(t *testing.T, n *lab.Node) (gained int) {
	t.Helper()
	must(t, n.API().Events(soon(t), 0, false, func(e api.Event) error {
		if e.Node == n.Name() {
			gained += max(0, e.Moved)
		}
		return nil
	}))
	return gained
}
