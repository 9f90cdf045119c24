package test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
)

var (
	mail4  = netip.MustParseAddr("192.0.2.20")
	added4 = netip.MustParseAddr("192.0.2.21")
)

const mailPool = "  - {name: mail, addresses: [192.0.2.20], buckets: 64, drain_timeout: 3s}\n"

// reload has the daemon act on its file, and tells what it says it has changed.
func reload(t *testing.T, n *lab.Node) string { return order(t, "reload", "--socket", n.Socket()) }

// poolOf finds a pool in a status.
func poolOf(s *api.Status, name string) *api.Pool {
	if i := slices.IndexFunc(s.Pools, func(p api.Pool) bool { return p.Name == name }); i >= 0 {
		return &s.Pools[i]
	}
	return nil
}

// TestRollingReload: whatever can be changed live, on one node after the other, under live
// connections and new ones. Nothing breaks, nothing fails, nothing is answered twice.
func TestRollingReload(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3})
	clients := c.clients(lab.ClientOptions{Live: 60, Every: 50 * time.Millisecond, NewEvery: 20 * time.Millisecond})
	has := func(name string, nodes int) func(s *api.Status) bool {
		return func(s *api.Status) bool {
			p := poolOf(s, name)
			return p != nil && s.View.Agreed && lab.Even(*p, nodes) == nil
		}
	}
	for _, step := range []struct {
		what string
		edit []string
		says string
		fits func(done int) func(*api.Status) bool
	}{
		{"a new pool", []string{"pools:\n", "pools:\n" + mailPool}, "pool mail: new, with 192.0.2.20",
			func(done int) func(*api.Status) bool { return has("mail", done) }},
		{"a new address", []string{`- "192.0.2.10"`, "- 192.0.2.21\n      - 192.0.2.10"}, "pool web: new address 192.0.2.21",
			func(int) func(*api.Status) bool {
				return func(s *api.Status) bool { return slices.Contains(poolOf(s, "web").Addresses, added4.String()) }
			}},
		{"a faster beat, another drain timeout", []string{"pools:\n", "heartbeat: {interval: 30ms, lease: 200ms}\npools:\n", "drain_timeout: 3s", "drain_timeout: 2s"},
			"heartbeat.lease: 200ms, was 300ms",
			func(int) func(*api.Status) bool {
				return func(s *api.Status) bool { return s.Heartbeat.LeaseMS == 200 }
			}},
		{"no new address", []string{"- 192.0.2.21\n      - 192.0.2.10", "- 192.0.2.10"}, "192.0.2.21 takes no new connections",
			func(int) func(*api.Status) bool {
				return func(s *api.Status) bool { return !slices.Contains(poolOf(s, "web").Addresses, added4.String()) }
			}},
		{"no new pool", []string{strings.Replace(mailPool, "3s", "2s", 1), ""}, "pool mail: goes",
			func(int) func(*api.Status) bool { return func(s *api.Status) bool { return poolOf(s, "mail") == nil } }},
	} {
		for i, n := range c.Nodes() {
			edit(t, n, step.edit...)
			if said := reload(t, n); !strings.Contains(said, step.says) {
				t.Errorf("%s: %s says %q, want %q", step.what, n.Name(), said, step.says)
			}
			c.until(n, step.what, step.fits(i+1))
		}
		switch step.what {
		case "a new pool":
			expectAnsweredBy(t, c.Client(), mail4, c.Nodes()...)
		case "a new address":
			expectAnsweredBy(t, c.Client(), added4, c.Nodes()...)
		}
		c.even()
		must(t, clients.WaitNew(soon(t), 20))
		c.unbroken(step.what, clients, 2*time.Second)
	}
	for i, n := range c.Nodes() {
		edit(t, n, "node: {", "node: {weight: 50, ")
		if said := reload(t, n); said != "node.weight: 50, was 100\n" {
			t.Errorf("%s says %q", n.Name(), said)
		}
		c.until(n, "its weight", func(s *api.Status) bool { return s.View.Agreed && s.Pools[0].Weights[n.Name()] == 50 })
		must(t, clients.WaitNew(soon(t), 20))
		c.unbroken("weight "+c.Node(i).Name(), clients, 2*time.Second)
	}
	if said := reload(t, c.Node(0)); said != "nothing has changed\n" {
		t.Errorf("an unchanged file: %q", said)
	}
}

// TestReloadOfChecksAndHooks: a check that comes with a reload judges, one that goes judges no more,
// and the hooks of the new file are told; by SIGHUP as by order. Nothing breaks.
func TestReloadOfChecksAndHooks(t *testing.T) {
	c := started(t, lab.Options{Nodes: 2})
	n := c.Node(0)
	c.even()
	clients := c.clients(lab.ClientOptions{Live: 40, Every: 50 * time.Millisecond, NewEvery: 20 * time.Millisecond})
	file, err := os.ReadFile(n.ConfigFile())
	must(t, err)
	lever, script, told := filepath.Join(c.Dir(), "lever"), filepath.Join(c.Dir(), "hook"), filepath.Join(c.Dir(), "told")
	must(t, os.WriteFile(script, []byte("#!/bin/sh\necho $ROTA_EVENT >> "+told+"\n"), 0o755))
	edit(t, n, "pools:\n", fmt.Sprintf("hooks: [{on: [ownership], command: %q}]\npools:\n", script),
		`name: "web"`, fmt.Sprintf("name: web\n    checks: [{name: lever, file: %q, interval: 100ms}]", lever))
	if said := reload(t, n); !strings.Contains(said, "pools[web].checks: changed") || !strings.Contains(said, "hooks: changed") {
		t.Errorf("says %q", said)
	}
	leaves := func(s *api.Status) bool { return s.View.Agreed && s.Pools[0].Owned == "" }
	c.until(n, "to leave", leaves)
	waitFor(t, "a hook that is told", func() bool {
		text, err := os.ReadFile(told)
		return err == nil && strings.HasPrefix(string(text), "ownership")
	})
	must(t, os.WriteFile(lever, nil, 0o600))
	c.even()
	must(t, os.Remove(lever))
	c.until(n, "to leave", leaves)
	must(t, os.WriteFile(n.ConfigFile(), file, 0o600))
	hangUp(t, n)
	c.even()
	if s := statuses(t, n)[0]; len(s.Checks) > 0 {
		t.Errorf("has checks yet: %+v", s.Checks)
	}
	c.unbroken("checks that come and go", clients, 2*time.Second)
}

// TestReloadRefuses: what is wrong, or cannot be changed, changes nothing.
func TestReloadRefuses(t *testing.T) {
	c := started(t, lab.Options{Nodes: 1})
	n := c.Node(0)
	good, err := os.ReadFile(n.ConfigFile())
	must(t, err)
	other := filepath.Join(c.Dir(), "other")
	must(t, os.WriteFile(other, []byte(order(t, "key", "generate")), 0o600))
	before, err := n.Status(soon(t))
	must(t, err)
	for _, r := range []struct {
		what string
		edit []string
		code int
		says string
	}{
		{"buckets", []string{"pools:\n", "pools:\n" + mailPool, `- "192.0.2.10"`, `- "192.0.2.10"` + "\n      - 192.0.2.21", `name: "web"`, `name: "web"` + "\n    buckets: 64"}, 1,
			"pools[web].buckets: cannot be changed while the daemon runs; restart it"},
		{"the interface", []string{"interface: ", "interface: x"}, 1, "interface: cannot be changed while the daemon runs; restart it"},
		{"a typing error", []string{"cluster:", "clutser:"}, 2, "clutser"},
		{"a hook that is not there", []string{"pools:\n", "hooks: [{command: /no/such/hook}]\npools:\n" + mailPool}, 1, "hooks[0].command: "},
		{"an address in another pool", []string{"pools:\n", "pools:\n" + strings.Replace(mailPool, "192.0.2.20", "192.0.2.10", 1), `      - "192.0.2.10"` + "\n", ""}, 1,
			"pools[mail].addresses: 192.0.2.10 is pool web's: reload without it first"},
		{"a pool of another name", []string{`name: "web"`, "name: www"}, 1, "pools[www].addresses: 192.0.2.10 is pool web's: reload without it first"},
		{"another key", []string{filepath.Join(c.Dir(), "key"), other}, 1, "key file " + other + " would change the seed of pool web"},
		{"an address that the host has already", []string{`- "192.0.2.10"`, `- "192.0.2.10"` + "\n      - 192.0.2.11"}, 1, "pools[web].addresses: shared address 192.0.2.11"},
	} {
		edit(t, n, r.edit...)
		o := rota(t, "reload", "--socket", n.Socket())
		if o.code != r.code || !strings.Contains(o.stderr, r.says) || o.stdout != "" {
			t.Errorf("%s: exit %d, %q, %q; want %d, %q", r.what, o.code, o.stdout, o.stderr, r.code, r.says)
		}
		must(t, os.WriteFile(n.ConfigFile(), good, 0o600))
	}
	if o := rota(t, "reload", "--socket", n.Socket()); o.code != 0 || o.stdout != "nothing has changed\n" {
		t.Errorf("exit %d, %q, %q", o.code, o.stdout, o.stderr)
	}
	after, err := n.Status(soon(t))
	must(t, err)
	if after.View.ID != before.View.ID || len(after.Pools) != 1 || !slices.Equal(after.Pools[0].Addresses, before.Pools[0].Addresses) {
		t.Errorf("something has changed: %+v, was %+v", after.Pools, before.Pools)
	}
}
