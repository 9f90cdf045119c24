package test

import (
	"context"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
)

// twoFamilies is a pool of which a node without IPv6 gets no further than the first address.
const twoFamilies = "  - {name: mail, addresses: [192.0.2.20, \"2001:db8::20\"], mac: igmp, buckets: 64}\n"

// TestAReloadRollsBack: one that fails half way, with the programs told of a new pool and its first
// address on the interface, leaves everything as it was, and nothing of it is in the way afterwards.
func TestAReloadRollsBack(t *testing.T) {
	c := started(t, lab.Options{Nodes: 2, Pools: []lab.Pool{{Name: "web", Addresses: []netip.Addr{lab.Shared4}}}})
	n := c.Node(0)
	clients := c.clients(lab.ClientOptions{Live: 40, Every: 50 * time.Millisecond, NewEvery: 20 * time.Millisecond})
	ipv6(t, n, false)
	tried(t, n.Host())
	before, view := snap(t, n.Host()), c.view()
	// Asked for an address, the kernel itself joins the group of all IPv6 nodes again.
	kernels := regexp.MustCompile(`33:?33:?00:?00:?00:?01`).MatchString
	good, err := os.ReadFile(n.ConfigFile())
	must(t, err)
	edit(t, n, "pools:\n", "hooks: [{command: /bin/true}]\npools:\n"+twoFamilies, "node: {", "node: {weight: 50, ")
	for range 2 {
		o := rota(t, "reload", "--socket", n.Socket())
		if o.code != 1 || o.stdout != "" || !strings.Contains(o.stderr, "pools[mail].addresses: add 2001:db8::20 to eth0: IPv6 is switched off there") ||
			!strings.Contains(o.stderr, "nothing has been changed") {
			t.Fatalf("exit %d, %q, %q; want a refusal that names the field", o.code, o.stdout, o.stderr)
		}
		must(t, clients.WaitNew(soon(t), 20))
		c.unbroken("a reload that failed", clients, 2*time.Second)
		if left := slices.DeleteFunc(snap(t, n.Host()).changes(before), kernels); len(left) > 0 {
			t.Errorf("after a reload that failed the host is not as it was:\n%s", strings.Join(left, "\n"))
		}
	}
	for _, s := range statuses(t, c.Nodes()...) {
		if s.View.ID != view || len(s.Pools) != 1 || s.Pools[0].Weights[n.Name()] != 100 {
			t.Errorf("%s has changed: view %s, was %s; %+v", s.Node, s.View.ID, view, s.Pools)
		}
	}

	ipv6(t, n, true)
	if said := reload(t, n); !strings.Contains(said, "pool mail: new") || !strings.Contains(said, "node.weight: 50") || !strings.Contains(said, "hooks: changed") {
		t.Errorf("says %q", said)
	}
	expectAnsweredBy(t, c.Client(), mail4, n)
	must(t, os.WriteFile(n.ConfigFile(), good, 0o600))
	reload(t, n)
	c.until(n, "the end of the pool", func(s *api.Status) bool { return poolOf(s, "mail") == nil })
	c.even()
	c.unbroken("reloads that did not fail", clients, 2*time.Second)
}

// ipv6 of a node's interface.
func ipv6(t *testing.T, n *lab.Node, on bool) {
	t.Helper()
	value := "1"
	if on {
		value = "0"
	}
	must(t, n.Host().Run(func() error {
		return os.WriteFile("/proc/sys/net/ipv6/conf/"+first+"/disable_ipv6", []byte(value), 0)
	}))
}

// moments of something that took so long when nobody disturbed it, each a part of it.
const moments = 3

// TestAKillInAReload, at several moments of it: the next start makes the host what its file says,
// whichever that is, the nodes are even again, and clients of this node have waited for the lease.
// Those of the others notice nothing.
func TestAKillInAReload(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3})
	change := []string{"pools:\n", "pools:\n" + mailPool, `- "192.0.2.10"`, "- 192.0.2.21\n      - 192.0.2.10"}
	has := func(pools, addresses int) func(*api.Status) bool {
		return func(s *api.Status) bool {
			p := poolOf(s, "web")
			return s.View.Agreed && len(s.Pools) == pools && lab.Even(*p, 3) == nil && len(p.Addresses) == addresses
		}
	}
	c.even()
	var took time.Duration
	unanswered := 0
	for i, n := range c.Nodes() { // one that keeps falling out is taken in again ever later
		tried(t, n.Host())
		undisturbed := snap(t, n.Host())
		old, err := os.ReadFile(n.ConfigFile())
		must(t, err)
		if i == 0 {
			edit(t, n, change...)
			began := time.Now()
			reload(t, n)
			took = time.Since(began)
			c.until(n, "the new configuration", has(2, 3))
			must(t, os.WriteFile(n.ConfigFile(), old, 0o600))
			reload(t, n)
			c.until(n, "the old configuration", has(1, 2))
		}
		edit(t, n, change...)
		answered := c.killed(n, took*time.Duration(i)/moments, func(ctx context.Context) error {
			_, err := n.API().Reload(ctx)
			return err
		}, func() {
			if i%2 == 0 { // the operator takes the change back before the next start
				must(t, os.WriteFile(n.ConfigFile(), old, 0o600))
				must(t, n.Start())
				c.until(n, "the old configuration", has(1, 2))
				return
			}
			must(t, n.Start())
			c.until(n, "the new configuration", has(2, 3))
			must(t, os.WriteFile(n.ConfigFile(), old, 0o600))
			reload(t, n)
			c.until(n, "the old configuration", has(1, 2))
		})
		if !answered {
			unanswered++
		}
		if left := numberless(snap(t, n.Host())).changes(numberless(undisturbed)); len(left) > 0 {
			t.Errorf("moment %d: the host is not as it was:\n%s", i, strings.Join(left, "\n"))
		}
	}
	if unanswered == 0 {
		t.Error("no kill came before the reload was over: this shows nothing")
	}
}

// TestAKillInARestart, at several moments of it: whether the next start carries on or begins anew,
// the nodes are even again, and clients of this node have waited no longer than for the lease.
func TestAKillInARestart(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3})
	n := c.Node(0)
	began := time.Now()
	must(t, c.Node(1).Upgrade(soon(t))) // another: for a while the peers would hold, too, what this one owns
	took := time.Since(began)
	c.even()
	for i := range moments {
		c.killed(n, took*time.Duration(i)/moments, n.API().Restart, func() { must(t, n.Start()) })
	}
	must(t, n.Upgrade(soon(t)))
	c.even()
}

// killed ends a node's daemon (SIGKILL) at a moment of an order, which then need not be answered; once
// clients have been answered by whoever serves them, it is put right again, and all are even. Nobody may
// be answered twice or wait longer than for a takeover, and no connection with another node break.
func (c *cluster) killed(n *lab.Node, moment time.Duration, give func(context.Context) error, putRight func()) (answered bool) {
	c.t.Helper()
	held, err := c.Client().Held(probe.HeldOptions{To: lines(c.Shared()[0]), Connections: 60, Every: 50 * time.Millisecond})
	must(c.t, err)
	holding := probe.Start(context.Background(), held.Run)
	c.t.Cleanup(func() { _, _ = holding.Stop() })
	must(c.t, held.WaitOpen(soon(c.t)))
	w := c.witness()
	w.answered("before", 1)

	done := make(chan error, 1)
	ctx, begin := soon(c.t), time.Now()
	go func() { done <- give(ctx) }()
	wait := time.NewTimer(moment)
	<-wait.C
	must(c.t, n.Kill())
	answered = <-done == nil
	w.answered("after the kill", 2)
	putRight()
	c.even()
	w.answered("at last", 1)
	w.judge(begin, n)

	report, err := holding.Stop()
	must(c.t, err)
	for _, b := range report.Broken {
		switch {
		case b.Node == n.Name():
		case report.Stalled > c.Lease():
			c.t.Logf("a connection with %s broke: %s; the whole machine stood still for %s, and the lease is %s", b.Node, b.Reason, report.Stalled, c.Lease())
		default:
			c.t.Errorf("a connection with %s broke: %s", b.Node, b.Reason)
		}
	}
	c.t.Logf("killed %s after the order, which was answered: %v; %d of %d connections were reset", moment, answered, len(report.Broken), report.Opened)
	return answered
}
