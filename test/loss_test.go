package test

import (
	"fmt"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
	"github.com/rota-cluster/rota/internal/lab/segment"
)

// TestBeatsAreLostInOneDirection, while the clients' frames are not: whoever goes
// on, only one answers, and nobody waits.
func TestBeatsAreLostInOneDirection(t *testing.T) {
	lost := segment.Loss{Beats: segment.Certain}
	hearsNone := func(c *cluster) error { return c.Node(1).LoseOneWay(segment.ToHost, lost) }
	isNotHeard := func(c *cluster) error { return c.Node(1).LoseOneWay(segment.FromHost, lost) }
	missesOne := func(c *cluster) error { return c.LosePair(c.Node(0), c.Node(1), lost) }
	const nobody = -1
	for _, f := range []struct {
		what   string
		nodes  int
		quorum string
		fault  func(*cluster) error
		yields int // the node that must let go
	}{
		{"one of two hears none: the other cannot tell it anything", 2, "none", hearsNone, 0},
		{"one of two is not heard", 2, "none", isNotHeard, 1},
		{"one of three is not heard", 3, "none", isNotHeard, 1},
		{"one of three does not hear one other", 3, "none", missesOne, nobody},
		{"one of three hears none, with a quorum", 3, "majority", hearsNone, 1},
		{"one of three is not heard, with a quorum", 3, "majority", isNotHeard, 1},
		{"one of three does not hear one other, with a quorum", 3, "majority", missesOne, nobody},
	} {
		t.Run(f.what, func(t *testing.T) {
			t.Parallel() // most of it is waiting for leases
			c := started(t, lab.Options{Nodes: f.nodes, Quorum: f.quorum})
			w := c.witness()
			w.answered("at first", 1)
			at := time.Now()
			must(t, f.fault(c))
			var yield []*lab.Node
			if f.yields == nobody {
				c.until(c.Node(1), "the silence of one", func(s *api.Status) bool { return warns(s, api.WarnPeerSilent, c.Node(0).Name()) })
			} else {
				yield = append(yield, c.Node(f.yields))
				c.even(c.Others(yield...)...)
			}
			w.answered("under the fault", 40) // for a second or more
			must(t, c.HealPartition())
			must(t, c.Node(1).Heal())
			c.even()
			w.answered("after it", 1)
			w.judge(at, yield...)
		})
	}
}

// TestFramesAreLost at random on their way to the nodes, beats and clients'
// frames alike: no two nodes answer one SYN, and a client gets its answer if it
// has the patience that its own lost frames ask for. A SYN that was sent again makes
// its TCP take the round trip for a second or more, and wait 3 s and then 6 and 12
// before it sends a lost request again.
func TestFramesAreLost(t *testing.T) {
	for _, quorum := range []string{"none", "majority"} {
		for percent, least := range map[uint32]int{5: 1500, 30: 1485} {
			t.Run(fmt.Sprintf("%d %%, quorum %s", percent, quorum), func(t *testing.T) {
				t.Parallel() // it counts, and measures no time
				c := started(t, lab.Options{Nodes: 3, Quorum: quorum})
				c.judged(func() {
					for _, n := range c.Nodes() {
						must(t, n.LoseOneWay(segment.ToHost, segment.Loss{Frames: percent * segment.Certain / 100}))
					}
					r, err := c.Client().Burst(soon(t), probe.Burst{
						To: web(c.Shared()[0]), Connections: 1500, Parallel: 300, Patience: 25 * time.Second,
					})
					must(t, err)
					t.Log(r)
					if r.Outcomes[probe.Answered] < least {
						t.Errorf("%s; want at least %d answered", r, least)
					}
					for _, n := range c.Nodes() {
						must(t, n.Heal())
					}
					c.even()
					c.answeredBy(c.Client(), c.Nodes()...)
				})
			})
		}
	}
}
