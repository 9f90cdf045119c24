package test

import (
	"runtime"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/segment"
)

// TestEightNodes start in the same moment, lose three at once and get them back,
// under clients that ask from before the first start.
func TestEightNodes(t *testing.T) {
	for _, quorum := range []string{"none", "majority"} {
		t.Run("quorum "+quorum, func(t *testing.T) {
			c := idle(t, lab.Options{Nodes: 8, Quorum: quorum})
			w := c.witness()
			c.startAtOnce()
			begin := time.Now()
			c.even()
			// Eight kernels' worth of programs are verified on what cores there are.
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("agree after %s, want 10 s at most", took.Round(time.Millisecond))
			}
			w.answered("at first", 1)

			killed, frozen, mute := c.Node(0), c.Node(3), c.Node(6)
			at := time.Now()
			must(t, killed.Kill())
			must(t, frozen.Freeze())
			must(t, mute.LoseOneWay(segment.FromHost, segment.Loss{Beats: segment.Certain}))
			c.even(c.Others(killed, frozen, mute)...)
			w.answered("after the loss", 1)
			must(t, killed.Start())
			must(t, frozen.Thaw())
			must(t, mute.Heal())
			c.even()
			w.answered("after the return", 1)
			w.judge(at, killed, frozen, mute)
		})
	}
}

// startAtOnce starts all daemons within a millisecond or so: making processes
// takes longer, so each is stopped as soon as it is there.
func (c *cluster) startAtOnce() {
	c.t.Helper()
	for _, n := range c.Nodes() {
		must(c.t, n.Start())
		must(c.t, n.Freeze())
	}
	for _, n := range c.Nodes() {
		must(c.t, n.Thaw())
	}
}

// TestEveryCoreIsBusy: nobody is taken for dead, and who dies is taken over.
func TestEveryCoreIsBusy(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3})
	view := c.view()
	stop, err := c.Load(2 * runtime.NumCPU())
	must(t, err)
	defer func() { must(t, stop()) }()
	w := c.witness()
	w.answered("at first", 1)
	at := time.Now()
	w.answered("under load", 80) // for two seconds or more
	if now := c.view(); now != view {
		t.Errorf("view %s became %s without a cause", view, now)
	}
	lost := c.Node(1)
	must(t, lost.Kill())
	c.even(c.Others(lost)...)
	w.answered("after the loss", 1)
	must(t, lost.Start())
	c.even()
	w.answered("after the return", 1)
	w.judge(at, lost)
}
