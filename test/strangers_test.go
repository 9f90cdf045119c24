package test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
	"github.com/rota-cluster/rota/internal/lab/segment"
)

// TestTwoNodesOfOneName: the second says nothing and serves nobody until the
// first has gone, whose clock, and so its incarnation, is a year ahead.
func TestTwoNodesOfOneName(t *testing.T) {
	c := idle(t, lab.Options{Nodes: 3})
	a, b, twin := c.Node(0), c.Node(1), c.Node(2)
	edit(t, twin, `name: "node-c"`, `name: "node-a"`)
	ahead := strconv.FormatInt(time.Now().AddDate(1, 0, 0).UnixMicro(), 10)
	must(t, os.WriteFile(filepath.Join(filepath.Dir(a.ConfigFile()), "state", "incarnation"), []byte(ahead+"\n"), 0o600))
	must(t, a.Start())
	must(t, b.Start())
	view := c.agreed(a, b)[0].View.ID
	c.judged(func() {
		must(t, twin.Start())
		c.until(twin, "standby, and a reason", func(s *api.Status) bool {
			return s.State == api.Standby && !owning(s) && warns(s, api.WarnNotServing, "name")
		})
		c.answeredBy(c.Client(), a, b)
		if now := c.agreed(a, b)[0].View.ID; now != view {
			t.Errorf("the others' view changed from %s to %s", view, now)
		}
		toldOnce(t, twin, "event=duplicate-name")
		must(t, a.Stop())
		for _, n := range []*lab.Node{b, twin} {
			c.until(n, "the twin in its place", func(s *api.Status) bool {
				p := s.Pools[0]
				return s.State == api.Serving && s.View.Agreed && p.Owners["node-a"] == p.Owners["node-b"] && sum(p.Owners) == int(p.Buckets)
			})
		}
		c.answeredBy(c.Client(), b, twin)
	})
}

// TestPoolsThatDiffer: what cannot be shared is not, and both sides say why.
func TestPoolsThatDiffer(t *testing.T) {
	c := idle(t, lab.Options{Nodes: 3})
	a, b, odd := c.Node(0), c.Node(1), c.Node(2)
	text, err := os.ReadFile(odd.ConfigFile())
	must(t, err)
	must(t, os.WriteFile(odd.ConfigFile(), append(text, "    buckets: 1024\n"...), 0o600))
	must(t, a.Start())
	must(t, b.Start())
	view := c.agreed(a, b)[0].View.ID
	c.judged(func() {
		must(t, odd.Start())
		for _, n := range []*lab.Node{a, b} {
			c.until(n, "word of the one that differs", func(s *api.Status) bool { return names(s, odd.Name()) })
		}
		s := c.until(odd, "word of the others", func(s *api.Status) bool { return names(s, a.Name()) && names(s, b.Name()) })
		if owning(s) || s.State == api.Serving {
			t.Errorf("%s is %s and owns %q", odd.Name(), s.State, s.Pools[0].Owned)
		}
		c.answeredBy(c.Client(), a, b)
		if now := c.agreed(a, b)[0].View.ID; now != view {
			t.Errorf("the others' view changed from %s to %s", view, now)
		}
		edit(t, odd, "    buckets: 1024\n", "")
		must(t, odd.Restart())
		c.even()
	})
}

// names tells whether a status says that a node is incompatible, and why.
func names(s *api.Status, node string) bool {
	for _, n := range s.Nodes {
		if n.Name == node && n.State == api.Incompatible && strings.Contains(strings.Join(n.Health, " "), "web") {
			return true
		}
	}
	return false
}

// TestTwoClustersOnOneSegment do not disturb each other: of one name by mistake,
// which is told, with nodes of one name too, or of two names.
func TestTwoClustersOnOneSegment(t *testing.T) {
	c := idle(t, lab.Options{Nodes: 4})
	one, two := c.Nodes()[:2], c.Nodes()[2:]
	shared4, shared6 := otherShared, netip.MustParseAddr("2001:db8::99")
	key := filepath.Join(c.Dir(), "other-key")
	must(t, os.WriteFile(key, []byte(order(t, "key", "generate")), 0o600))
	for i, n := range two {
		edit(t, n, filepath.Join(c.Dir(), "key"), key, lab.Shared4.String(), shared4.String(), lab.Shared6.String(), shared6.String(),
			`name: "`+n.Name()+`"`, `name: "`+one[i].Name()+`"`)
	}
	must(t, c.StartDaemons())
	c.judged(func() {
		view := c.agreed(one...)[0].View.ID
		for _, name := range []string{c.Name(), "somebody"} {
			for _, n := range two {
				if n.Running() {
					must(t, n.Stop())
				}
				edit(t, n, `cluster: "`+c.Name()+`"`, `cluster: "`+name+`"`)
				must(t, n.Start())
			}
			for _, n := range two {
				c.until(n, "a cluster of two", func(s *api.Status) bool {
					return s.Cluster == name && s.State == api.Serving && s.View.Agreed && len(s.View.Members) == 2 && lab.Even(s.Pools[0], 2) == nil
				})
			}
			for _, a := range []netip.Addr{shared4, shared6} {
				expectAnsweredBy(t, c.Client(), a, two...)
			}
			c.answeredBy(c.Client(), one...)
			if now := c.agreed(one...)[0].View.ID; now != view {
				t.Errorf("the first cluster's view changed from %s to %s", view, now)
			}
		}
		s := c.agreed(one...)[0]
		if len(s.Nodes) != 2 || len(s.Warnings) != 1 || !warns(s, "wrong-key", "name") {
			t.Errorf("the first cluster knows %d nodes and warns of %v; want 2, and that another has its name", len(s.Nodes), s.Warnings)
		}
		for _, n := range one {
			toldOnce(t, n, "code=wrong-key")
		}
	})
}

// hosts of a client and nodes.
func hosts(client *probe.Client, nodes ...*lab.Node) []*segment.Host {
	all := []*segment.Host{client.Host()}
	for _, n := range nodes {
		all = append(all, n.Host())
	}
	return all
}
