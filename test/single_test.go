package test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
)

// pools of a cluster with a service that runs everywhere and one that runs once, for which
// node-b has the highest priority.
func pools(preempt bool) []lab.Pool {
	return []lab.Pool{
		{Name: "web", Addresses: []netip.Addr{lab.Shared4, lab.Shared6}},
		{
			Name: "db", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.20"), netip.MustParseAddr("2001:db8::20")},
			Spread: "single", NoPreempt: !preempt, Priorities: map[string]int{"node-b": 200},
		},
	}
}

// TestActiveAndStandby: one node answers for a single pool; it is cut off, and the standby
// answers; it comes back, and has the pool again only with preempt. No connection breaks by it.
func TestActiveAndStandby(t *testing.T) {
	for _, preempt := range []bool{true, false} {
		t.Run(fmt.Sprintf("preempt %v", preempt), func(t *testing.T) {
			c := started(t, lab.Options{Nodes: 3, Pools: pools(preempt)})
			a, b, d := c.Node(0), c.Node(1), c.Node(2)
			c.active(b, "it has the highest priority")
			c.spreadEven(a, b, d)

			db := c.Shared()[2]
			w := c.witnessAt(db)
			w.answered("at first", 1)
			lost := time.Now()
			must(t, b.Cut())
			w.answered("by the standby", 1)
			c.agreed(a, d)
			c.active(a, "no other node has a higher priority", a, d)
			c.spreadEven(a, d)

			release := c.hold(db, 30) // with the standby
			must(t, b.Heal())
			c.agreed()
			if preempt {
				c.active(b, "it has the highest priority")
			} else {
				c.active(a, "it stays there, because preempt is off")
			}
			c.spreadEven(a, b, d)
			w.answered("after the return", 1)
			release()
			w.judge(lost, b)
		})
	}
}

// TestSwitchOverByHand: a drain of the active node, weight 0 or a pin moves the pool, and
// breaks no connection.
func TestSwitchOverByHand(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3, Pools: pools(false)})
	a, b, d := c.Node(0), c.Node(1), c.Node(2)
	c.active(b, "it has the highest priority")
	c.judged(func() {
		release := c.hold(c.Shared()[2], 30)
		order(t, "drain", "--socket", b.Socket())
		c.active(a, "no other node has a higher priority")
		c.spreadEven(a, d)
		order(t, "resume", "--socket", b.Socket())
		c.spreadEven(a, b, d)
		c.active(a, "it stays there, because preempt is off")
		order(t, "weight", "0", "--socket", a.Socket())
		c.active(b, "it has the highest priority")
		order(t, "weight", "100", "--socket", a.Socket())
		order(t, "move", "0", d.Name(), "--pool", "db", "--socket", a.Socket())
		c.active(d, "it is pinned there")
		order(t, "release", "0", "--node", d.Name(), "--pool", "db", "--socket", b.Socket())
		c.active(d, "it stays there, because preempt is off")
		c.spreadEven(a, b, d)
		release()
	})
}

// TestPriorityByReload: a node whose file gives it the highest priority takes the pool, from whom
// serves, with preempt only; without, the change shows when that one drains. No connection breaks by it.
func TestPriorityByReload(t *testing.T) {
	for _, preempt := range []bool{true, false} {
		t.Run(fmt.Sprintf("preempt %v", preempt), func(t *testing.T) {
			c := started(t, lab.Options{Nodes: 3, Pools: pools(preempt)})
			a, b, d := c.Node(0), c.Node(1), c.Node(2)
			c.active(b, "it has the highest priority")
			c.judged(func() {
				release := c.hold(c.Shared()[2], 30)
				edit(t, d, "spread: single\n", "spread: single\n    priority: 300\n")
				if said := reload(t, d); said != "pools[db].priority: 300, was not given\n" {
					t.Errorf("says %q", said)
				}
				if preempt {
					c.active(d, "it has the highest priority")
				} else {
					c.active(b, "it stays there, because preempt is off")
					order(t, "drain", "--socket", b.Socket())
					c.active(d, "it has the highest priority")
					c.spreadEven(a, d)
					order(t, "resume", "--socket", b.Socket())
					c.active(d, "it has the highest priority")
				}
				c.spreadEven(a, b, d)
				release()
			})
		})
	}
}

// active waits until a node has all of db, for this reason, by the word of these nodes or all; and
// expects that clients are answered by it alone.
func (c *cluster) active(n *lab.Node, because string, by ...*lab.Node) {
	c.t.Helper()
	if by == nil {
		by = c.Nodes()
	}
	for _, asked := range by {
		c.until(asked, n.Name()+" active in db", func(s *api.Status) bool {
			p := s.Pools[0]
			return s.View.Agreed && p.Name == "db" && p.Spread == "single" && p.Active == n.Name() && p.Because == because && p.Owners[n.Name()] == int(p.Buckets)
		})
	}
	text := order(c.t, "explain", "--socket", by[0].Socket(), "192.0.2.129:40000", c.Shared()[2].String()+":80")
	if unwrapped := strings.Join(strings.Fields(text), " "); !strings.Contains(unwrapped, "gives the whole pool to "+n.Name()+": "+because) {
		c.t.Errorf("rota explain says:\n%s", text)
	}
	for _, shared := range c.Shared()[2:] {
		expectAnsweredBy(c.t, c.Client(), shared, n)
	}
}

// spreadEven waits until these nodes share web evenly, and expects that clients see it.
func (c *cluster) spreadEven(nodes ...*lab.Node) {
	c.t.Helper()
	c.until(nodes[0], "web shared evenly", func(s *api.Status) bool {
		p := s.Pools[1]
		have := 0
		for _, n := range p.Owners {
			if n > 0 {
				have++
			}
		}
		missing := slices.ContainsFunc(nodes, func(n *lab.Node) bool { return p.Owners[n.Name()] < int(p.Buckets)/len(nodes) })
		return s.View.Agreed && p.Name == "web" && p.Spread == "even" && p.Active == "" && have == len(nodes) && !missing
	})
	for _, shared := range c.Shared()[:2] {
		expectAnsweredBy(c.t, c.Client(), shared, nodes...)
	}
}
