package netcfg

import (
	"errors"
	"fmt"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

// The counter goes on under another name of the interface, and ends with it; another
// interface of the name is not the one.
func TestFrameCounterFollowsItsInterface(t *testing.T) {
	node, neighbour := segment(t)
	for i := range 60 { // more than fit in what is read at first
		node.Do(func() error {
			return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("br%d", i)}})
		})
	}
	netnstest.Veth(node, "far-away", neighbour, "peer1")
	l := link(t, node, "far-away")
	var counter *FrameCounter
	node.Do(func() (err error) { counter, err = OpenFrameCounter(l); return err })
	defer counter.Close()
	count := func() (n uint64, err error) {
		failed := node.Try(func() error { n, err = counter.Count(); return nil })
		return n, errors.Join(failed, err)
	}
	netnstest.Until(t, "frames", func() bool { n, err := count(); return err == nil && n > 0 })

	node.Do(func() error { return renamed("far-away", "elsewhere") })
	if n, err := count(); err != nil || n == 0 {
		t.Errorf("under another name: %d frames, %v", n, err)
	}
	node.Do(func() error {
		return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "far-away"}})
	})
	if n, err := count(); err != nil || n == 0 {
		t.Errorf("while another has its name: %d frames, %v", n, err)
	}
	node.Do(func() error {
		return netlink.LinkDel(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "elsewhere", Index: l.Index}})
	})
	if n, err := count(); !errors.Is(err, unix.ENODEV) {
		t.Errorf("when it has gone: %d frames, %v", n, err)
	}
}

func renamed(from, to string) error {
	l, err := netlink.LinkByName(from)
	if err == nil {
		err = netlink.LinkSetDown(l)
	}
	if err == nil {
		err = netlink.LinkSetName(l, to)
	}
	return err
}

// BenchmarkFrames: what a look costs, on the machine's own loopback.
func BenchmarkFrames(b *testing.B) {
	l, err := LinkByName("lo")
	if err != nil {
		b.Fatal(err)
	}
	counter, err := OpenFrameCounter(l)
	if err != nil {
		b.Fatal(err)
	}
	defer counter.Close()
	b.Run("proc", func(b *testing.B) {
		for b.Loop() {
			if _, err := counter.Count(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("netlink", func(b *testing.B) {
		for b.Loop() {
			if _, err := RxFrames(l.Index); err != nil {
				b.Fatal(err)
			}
		}
	})
}
