package test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
)

// testPins: buckets that are pinned belong to their node while it serves, and no
// connection notices.
func testPins(c *cluster) {
	release4, release6 := c.hold(c.Shared()[0], 60), c.hold(c.Shared()[1], 60)
	taker, other := c.Node(0), c.Node(1)

	if out := order(c.t, "take", "0-63,80", "--socket", taker.Socket()); out != "pinned 65 buckets of pool web to node-a\n" {
		c.t.Errorf("take says %q", out)
	}
	c.pinned(map[string]string{"node-a": "0-63,80"}, taker)
	if out := order(c.t, "move", "--clusterip", "1-16", other.Name(), "--socket", c.Node(2).Socket()); out != "pinned 16 buckets of pool web to node-b\n" {
		c.t.Errorf("move says %q", out)
	}
	c.pinned(map[string]string{"node-a": "16-63,80", "node-b": "0-15"}, taker, other)
	order(c.t, "take", "--node", "node-b", "4095", "--socket", taker.Socket())
	c.pinned(map[string]string{"node-a": "16-63,80", "node-b": "0-15,4095"}, taker, other)
	c.answeredBy(c.Client(), c.Nodes()...)

	for _, refused := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"release", "0-20"}, 1, "rota: 16 of these 21 buckets of pool web, 0 first, are not pinned to node-a; nothing was released"},
		{[]string{"release", "100"}, 1, "rota: bucket 100 of pool web is not pinned; nothing was released"},
		{[]string{"release", "3"}, 1, "rota: bucket 3 of pool web is pinned to node-b, not to node-a; nothing was released"},
		{[]string{"take", "4096"}, 1, "rota: pool web has the buckets 0 to 4095, and no 4096"},
		{[]string{"take", "0-x"}, 2, `rota: "0-x" is not a bucket or a range of them; write e.g. 0-63,80`},
		{[]string{"take", "--clusterip", "0"}, 2, "rota: with --clusterip buckets count from 1"},
		{[]string{"take", "--pool", "mail", "0"}, 1, `rota: there is no pool "mail"; there are web`},
		{[]string{"move", "0", "node-x"}, 1, `rota: no node "node-x" has been heard since this one started; heard are node-a, node-b, node-c (--force pins to it all the same)`},
		{[]string{"take", "--node", "node-x", "0"}, 1, `rota: no node "node-x" has been heard since this one started; heard are node-a, node-b, node-c`},
	} {
		o := rota(c.t, append(refused.args, "--socket", taker.Socket())...)
		if o.code != refused.code || o.stderr != refused.want+"\n" || o.stdout != "" {
			c.t.Errorf("rota %s: exit %d, %s%s", strings.Join(refused.args, " "), o.code, o.stdout, o.stderr)
		}
	}

	// While it drains others own them; then it does again.
	order(c.t, "drain", "--socket", other.Socket())
	c.sharedOnlyBy(c.Others(other)...)
	order(c.t, "resume", "--socket", other.Socket())
	c.even()
	c.pinned(map[string]string{"node-a": "16-63,80", "node-b": "0-15,4095"}, taker, other)

	order(c.t, "release", "16-63,80", "--socket", taker.Socket())
	order(c.t, "release", "--node", "node-b", "0-15,4095", "--socket", taker.Socket())
	c.pinned(map[string]string{}, taker)
	c.even()
	release4()
	release6()
}

// pinned waits until all nodes tell of exactly these pins, and these nodes own what is
// pinned to them.
func (c *cluster) pinned(pins map[string]string, owners ...*lab.Node) {
	c.t.Helper()
	for _, n := range c.Nodes() {
		c.until(n, fmt.Sprintf("the pins %v", pins), func(s *api.Status) bool {
			return s.View.Agreed && len(s.Pools[0].Pins) == len(pins) && fmt.Sprint(s.Pools[0].Pins) == fmt.Sprint(pins)
		})
	}
	for _, n := range owners {
		want, err := numbers(pins[n.Name()])
		must(c.t, err)
		c.until(n, "its pinned buckets", func(s *api.Status) bool {
			owned, err := numbers(s.Pools[0].Owned)
			return err == nil && s.View.Agreed && !slices.ContainsFunc(want, func(b uint32) bool { return !slices.Contains(owned, b) })
		})
	}
}

// TestPinsOutliveTheDaemons: what was pinned, and what was released, is so after
// all have been stopped, whoever starts first.
func TestPinsOutliveTheDaemons(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3})
	order(t, "take", "0-9", "--socket", c.Node(0).Socket())
	order(t, "move", "10-19", "node-b", "--socket", c.Node(0).Socket())
	order(t, "release", "3", "--socket", c.Node(0).Socket())
	want := map[string]string{"node-a": "0-2,4-9", "node-b": "10-19"}
	c.pinned(want, c.Node(0), c.Node(1))

	// What a node did not hear while it was away does not come back with it.
	must(t, c.Node(2).Stop())
	order(t, "release", "19", "--node", "node-b", "--socket", c.Node(0).Socket())
	want["node-b"] = "10-18"
	for _, n := range c.Nodes()[:2] {
		must(t, n.Stop())
	}
	must(t, c.Node(2).Start())
	c.agreed(c.Node(2))
	s := c.until(c.Node(2), "its memory of pins", func(s *api.Status) bool { return len(s.Pools[0].Pins) == 2 })
	if s.Pools[0].Pins["node-b"] != "10-19" {
		t.Errorf("the one that was away tells of %v", s.Pools[0].Pins)
	}
	must(t, c.Node(0).Start())
	c.agreed(c.Node(0), c.Node(2))
	must(t, c.Node(1).Start())
	c.agreed()
	c.pinned(want, c.Node(0), c.Node(1))

	out := order(t, "status", "--socket", c.Node(2).Socket())
	if !strings.Contains(strings.Join(strings.Fields(out), " "), "pinned: to node-a 9 buckets: 0-2,4-9; to node-b 9 buckets: 10-18") {
		t.Errorf("status says\n%s", out)
	}
}

// TestPinsOfTwoSides: two operators pin one bucket, neither side hearing the
// other. One holds on all nodes, and all tell of the other.
func TestPinsOfTwoSides(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3})
	a, b := c.Node(0), c.Node(1)
	must(t, c.Partition([]*lab.Node{a, c.Node(2)}, []*lab.Node{b}))
	c.agreed(b)
	order(t, "take", "7", "--socket", a.Socket())
	order(t, "take", "8", "--socket", b.Socket())
	order(t, "take", "7", "--socket", b.Socket())
	must(t, c.HealPartition())
	c.agreed()
	c.pinned(map[string]string{"node-b": "7-8"}, b)
	for _, n := range c.Nodes() {
		s := c.until(n, "word of the pin that was lost", func(s *api.Status) bool { return len(s.Pools[0].PinsLost) == 1 })
		l := s.Pools[0].PinsLost[0]
		if l.Buckets != "7" || l.Node != "node-a" || l.By != "node-a" || l.HoldsNode != "node-b" || l.HoldsBy != "node-b" {
			t.Errorf("%s tells of %+v", n.Name(), l)
		}
		if !warns(s, api.WarnPinsLost, "neither knowing of the other") {
			t.Errorf("%s warns of %v", n.Name(), s.Warnings)
		}
	}
	order(t, "release", "7", "--socket", b.Socket())
	for _, n := range c.Nodes() {
		c.until(n, "the matter settled", func(s *api.Status) bool { return len(s.Pools[0].PinsLost) == 0 })
	}
}
