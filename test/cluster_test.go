package test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
	"github.com/rota-cluster/rota/internal/lab/service"
)

// cluster is a lab that ends with its test, and in which nothing may ever bind
// a shared address to another MAC than the cluster's.
type cluster struct {
	*lab.Lab
	t     *testing.T
	lossy bool // frames were lost on purpose
}

// idle makes a cluster whose daemons are not running yet.
func idle(t *testing.T, o lab.Options) *cluster {
	t.Helper()
	o.Binary, o.Idle = cmp.Or(o.Binary, binary), true
	l, err := lab.New(o)
	must(t, err)
	must(t, l.Start(soon(t)))
	c := &cluster{Lab: l, t: t}
	t.Cleanup(func() {
		must(t, l.CheckBindings())
		if t.Failed() {
			c.tellVerdicts()
			c.tellLogs()
		}
		must(t, l.Close())
	})
	return c
}

// started makes a cluster of nodes that agree.
func started(t *testing.T, o lab.Options) *cluster {
	t.Helper()
	c := idle(t, o)
	must(t, c.StartDaemons())
	c.agreed()
	return c
}

// agreed waits until these nodes, or all that nothing was done to, serve in one
// view of exactly themselves.
func (c *cluster) agreed(nodes ...*lab.Node) []*api.Status {
	c.t.Helper()
	all, err := c.WaitAgreed(soon(c.t), nodes...)
	must(c.t, err)
	return all
}

// even waits until these nodes agree and their shares are the same to ±1. What
// is ordered while a view is being agreed on takes effect in the next one.
func (c *cluster) even(nodes ...*lab.Node) {
	c.t.Helper()
	all := c.agreed(nodes...)
	for _, s := range all {
		node, err := c.NodeNamed(s.Node)
		must(c.t, err)
		c.until(node, "even shares", func(s *api.Status) bool {
			return s.View.Agreed && !slices.ContainsFunc(s.Pools, func(p api.Pool) bool { return lab.Even(p, len(all)) != nil })
		})
	}
}

// view that the first node announces.
func (c *cluster) view() string {
	c.t.Helper()
	s, err := c.Node(0).Status(soon(c.t))
	must(c.t, err)
	return s.View.ID
}

// until waits until a node's status fits.
func (c *cluster) until(n *lab.Node, what string, fits func(*api.Status) bool) *api.Status {
	c.t.Helper()
	var last *api.Status
	if _, err := waitUntil(patience, func() bool {
		s, err := n.Status(soon(c.t))
		if err != nil {
			return false
		}
		last = s
		return fits(s)
	}); err != nil {
		text, _ := json.Marshal(last)
		c.t.Fatalf("%s: waited %s in vain for: %s; its last status: %s", n.Name(), patience, what, text)
	}
	return last
}

// owning tells whether a node owns something, by its own word.
func owning(s *api.Status) bool {
	for _, p := range s.Pools {
		if p.Owned != "" {
			return true
		}
	}
	return false
}

// warns tells whether a status has a warning with a word in it.
func warns(s *api.Status, code, word string) bool {
	return slices.ContainsFunc(s.Warnings, func(w api.Warning) bool { return w.Code == code && strings.Contains(w.Text, word) })
}

// burst of new connections to an address.
func burst(t *testing.T, client *probe.Client, to netip.Addr, connections int) probe.BurstReport {
	t.Helper()
	r, err := client.Burst(soon(t), probe.Burst{To: web(to), Connections: connections})
	must(t, err)
	return r
}

// answeredBy expects that every one of many new connections is answered, and
// by no other than these hosts.
func (c *cluster) answeredBy(client *probe.Client, nodes ...*lab.Node) {
	c.t.Helper()
	for _, a := range c.Shared() {
		expectAnsweredBy(c.t, client, a, nodes...)
	}
}

func expectAnsweredBy(t *testing.T, client *probe.Client, a netip.Addr, nodes ...*lab.Node) {
	t.Helper()
	r := burst(t, client, a, 100)
	if err := r.Check(); err != nil {
		t.Errorf("%s: %v", a, err)
	}
	rest := r.Outcomes[probe.Answered]
	for _, n := range nodes {
		if r.ByNode[n.Name()] == 0 {
			t.Errorf("%s: %s answers none of %d connections", a, n.Name(), r.Asked)
		}
		rest -= r.ByNode[n.Name()]
	}
	if rest != 0 {
		t.Errorf("%s: %d connections answered by others: %s", a, rest, r)
	}
}

// unanswered expects that no connection gets an answer of any kind.
func (c *cluster) unanswered(client *probe.Client) {
	c.t.Helper()
	for _, a := range c.Shared() {
		r, err := client.Burst(soon(c.t), probe.Burst{To: web(a), Connections: 50, Patience: 200 * time.Millisecond})
		must(c.t, err)
		if r.Outcomes[probe.Unanswered] != r.Asked {
			c.t.Errorf("%s: want no answer to any of %d connections: %s", a, r.Asked, r)
		}
	}
}

// judged runs f under a tap at the client: nothing may be answered twice, and no
// connection be reset by another node than its own, but for those of the dead.
func (c *cluster) judged(f func(), dead ...string) {
	c.t.Helper()
	tap, err := c.OpenTap()
	must(c.t, err)
	running := probe.Start(context.Background(), tap.Run)
	f()
	report, err := running.Stop()
	must(c.t, err)
	if err := report.Check(dead...); err != nil {
		c.t.Error(err)
	}
}

// hold opens connections and keeps asking on them until stop, which expects
// that none broke.
func (c *cluster) hold(to netip.Addr, connections int) (stop func()) {
	c.t.Helper()
	held, err := c.Client().Held(probe.HeldOptions{To: lines(to), Connections: connections, Every: 50 * time.Millisecond})
	must(c.t, err)
	running := probe.Start(context.Background(), held.Run)
	c.t.Cleanup(func() { _, _ = running.Stop() })
	must(c.t, held.WaitOpen(soon(c.t)))
	return func() {
		c.t.Helper()
		report, err := running.Stop()
		must(c.t, err)
		if err := report.Check(); err != nil {
			c.t.Error(err)
		}
	}
}

// edit changes a node's configuration.
func edit(t *testing.T, n *lab.Node, oldnew ...string) {
	t.Helper()
	text, err := os.ReadFile(n.ConfigFile())
	must(t, err)
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(string(text), oldnew[i]) {
			t.Fatalf("%s has no %q", n.ConfigFile(), oldnew[i])
		}
	}
	must(t, os.WriteFile(n.ConfigFile(), []byte(strings.NewReplacer(oldnew...).Replace(string(text))), 0o600))
}

// tellVerdicts of the nodes that still answer.
func (c *cluster) tellVerdicts() {
	for _, n := range c.Nodes() {
		s, err := n.Status(soon(c.t))
		if err != nil {
			c.t.Logf("%s: %v", n.Name(), err)
			continue
		}
		for _, p := range s.Pools {
			c.t.Logf("%s, %s: what became of packets in pool %s: %v", n.Name(), s.State, p.Name, p.Verdicts)
		}
	}
}

func (c *cluster) tellLogs() {
	for _, n := range c.Nodes() {
		text, _ := os.ReadFile(n.LogFile())
		c.t.Logf("%s said:\n%s", n.Name(), text)
	}
}

func web(a netip.Addr) netip.AddrPort   { return netip.AddrPortFrom(a, service.HTTPPort) }
func lines(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, service.LinePort) }

// numbers of a list such as "0-12,17".
func numbers(list string) ([]uint32, error) {
	var all []uint32
	if list == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(list, ",") {
		var from, to uint32
		if n, _ := fmt.Sscanf(part, "%d-%d", &from, &to); n == 1 {
			to = from
		} else if n != 2 || to <= from {
			return nil, fmt.Errorf("%q is neither a number nor a range", part)
		}
		for b := from; b <= to; b++ {
			all = append(all, b)
		}
	}
	return all, nil
}
