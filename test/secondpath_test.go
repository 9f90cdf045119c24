package test

import (
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
)

// TestTheSwitchNoLongerFloodsToANode: it still gets what is for its own MAC. It owns
// nothing, says so, the others answer everybody, and it comes back.
func TestTheSwitchNoLongerFloodsToANode(t *testing.T) {
	for _, c := range []struct {
		what   string
		nodes  int
		second bool
		path   string
	}{
		{"three nodes with a second network", 3, true, ""},
		{"three nodes with nothing but unicast", 3, false, "unicast"},
		{"two nodes with a second network", 2, true, ""},
		{"two nodes with nothing but unicast", 2, false, "unicast"},
	} {
		t.Run(c.what, func(t *testing.T) {
			c2 := started(t, lab.Options{Nodes: c.nodes, SecondPath: c.second})
			lost := c2.Node(0) // with the lowest name, which decides where nothing else does
			others := c2.Others(lost)
			enough := c2.asking(c2.Client())
			c2.judged(func() {
				began := time.Now()
				must(t, lost.Unflood())
				c2.cutOff(lost, c.path)
				if took := time.Since(began); took > takeover {
					t.Errorf("owned for %s", took.Round(time.Millisecond))
				}
				c2.until(others[0], "the node is deaf", func(s *api.Status) bool { return stateOf(s, lost) == api.Deaf })
				c2.even(others...)
				c2.answeredBy(c2.Client(), others...)
				c2.cutOff(lost, c.path) // and stays so
				must(t, lost.Heal())
				c2.even(c2.Nodes()...)
				enough()
				c2.answeredBy(c2.Client(), c2.Nodes()...)
			})
		})
	}
}

// cutOff waits until a node owns nothing because the network leaves it out, and hears
// its peers by a path.
func (c *cluster) cutOff(n *lab.Node, path string) {
	c.t.Helper()
	c.until(n, "nothing owned, and why", func(s *api.Status) bool {
		heard := true
		for _, peer := range s.Nodes {
			heard = heard && (peer.Self || peer.Path != "" && peer.Path != "service" && (path == "" || peer.Path == path))
		}
		return heard && s.State == api.Fenced && !owning(s) && warns(s, api.WarnNotServing, "the network does not bring this node the service's traffic")
	})
}

// stateOf a node, in the words of another.
func stateOf(s *api.Status, n *lab.Node) api.State {
	for _, peer := range s.Nodes {
		if peer.Name == n.Name() {
			return peer.State
		}
	}
	return ""
}

// TestTheServiceNetworkPartsTwoNodes while a second one joins them: one serves, never
// two, and never for long nobody.
func TestTheServiceNetworkPartsTwoNodes(t *testing.T) {
	c := started(t, lab.Options{Nodes: 2, SecondPath: true})
	a, b := c.Node(0), c.Node(1)
	enough := c.asking(c.Client())
	c.judged(func() {
		w := c.witness()
		w.answered("at first", 1)
		at := time.Now()
		must(t, c.Partition([]*lab.Node{a}, []*lab.Node{b}))
		c.cutOff(b, "second")
		w.answered("after the break", 3)
		w.judge(at, b)
		c.even(a)
		c.answeredBy(c.Client(), a)
		must(t, c.HealPartition())
		c.even(a, b)
		enough()
		c.answeredBy(c.Client(), a, b)
	})
}

// TestClientsAreOnOneSideOfABrokenNetwork: the node that they reach serves, whatever
// its name.
func TestClientsAreOnOneSideOfABrokenNetwork(t *testing.T) {
	c := started(t, lab.Options{Nodes: 2, SecondPath: true})
	a, b := c.Node(0), c.Node(1)
	other, err := c.AddClient("client-2") // which wants something else of the first node
	must(t, err)
	enough, enoughElse := c.asking(c.Client()), c.askingAt(other, a.Host().Addresses()[0].Addr())
	defer enoughElse()
	c.judged(func() {
		must(t, c.Split(hosts(c.Client(), b), hosts(other, a)))
		c.cutOff(a, "second")
		c.even(b)
		c.answeredBy(c.Client(), b)
		must(t, c.HealPartition())
		c.even(a, b)
		enough()
		c.answeredBy(c.Client(), a, b)
	})
}

// TestTheSecondNetworkFails: nothing happens, but that the status tells of it.
func TestTheSecondNetworkFails(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3, SecondPath: true})
	view := c.agreed()[0].View.ID
	release := c.hold(c.Shared()[0], 60)
	enough := c.asking(c.Client())
	c.judged(func() {
		must(t, c.Node(1).UnplugSecond())
		c.until(c.Node(1), "no carrier on its second interface", func(s *api.Status) bool { return warns(s, api.WarnSecondPath, "no carrier") })
		for _, n := range c.Others(c.Node(1)) {
			c.until(n, "who does not come by the second path", func(s *api.Status) bool { return warns(s, api.WarnSecondPath, c.Node(1).Name()+" (not for") })
		}
		for _, n := range c.Nodes() {
			must(t, n.UnplugSecond())
		}
		must(t, c.Node(0).Host().RemoveSecond())
		c.until(c.Node(0), "a warning that the second network is gone", func(s *api.Status) bool { return warns(s, api.WarnSecondPath, "eth1") })
		for _, s := range c.agreed() {
			if s.View.ID != view {
				t.Errorf("%s: view %s, want %s still", s.Node, s.View.ID, view)
			}
			for _, n := range s.Nodes {
				if !n.Self && n.Path != "service" {
					t.Errorf("%s hears %s by %q", s.Node, n.Name, n.Path)
				}
			}
		}
		c.answeredBy(c.Client(), c.Nodes()...)
	})
	enough()
	release()
}

// TestNoUnicastWhileAllIsWell, nor any other traffic that nobody needs.
func TestNoUnicastWhileAllIsWell(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3})
	for _, n := range c.Nodes() {
		count := func(s *api.Status) (uint64, uint64) {
			unicast := s.Heartbeat.Paths[len(s.Heartbeat.Paths)-1]
			return unicast.Sent + unicast.Unsent, s.Heartbeat.Sent
		}
		before, beats := count(c.until(n, "a status", func(*api.Status) bool { return true }))
		after, _ := count(c.until(n, "some beats later", func(s *api.Status) bool { return s.Heartbeat.Sent > beats+40 }))
		if after != before {
			t.Errorf("%s has sent %d beats by unicast", n.Name(), after-before)
		}
	}
}
