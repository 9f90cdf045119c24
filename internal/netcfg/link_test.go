package netcfg

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

func TestLinkTellsWhatTheKernelKnows(t *testing.T) {
	node, neighbour := segment(t)
	l := link(t, node, "node0")
	if l.Kind != "veth" || l.Driver != "veth" || l.MTU != 1500 || len(l.MAC) != 6 || !l.Up || !l.Running || !l.Ethernet || !l.ARP || l.Loopback {
		t.Errorf("node0: %+v", l)
	}
	if a, ok := l.LinkLocal(); !ok || !a.IsLinkLocalUnicast() {
		t.Errorf("link-local address: %v %v", a, ok)
	}
	node.Do(func() error {
		same, err := LinkByIndex(l.Index)
		if err == nil && same.Name != l.Name {
			t.Errorf("interface number %d is %s", l.Index, same.Name)
		}
		return err
	})

	neighbour.Down("peer0")
	if l := link(t, node, "node0"); !l.Up || l.Running {
		t.Errorf("the other end is down: up %v, running %v", l.Up, l.Running)
	}
	node.Down("node0")
	if l := link(t, node, "node0"); l.Up || l.Running {
		t.Errorf("down: up %v, running %v", l.Up, l.Running)
	}
	if l := link(t, node, "lo"); l.Ethernet && !l.Loopback {
		t.Errorf("lo: %+v", l)
	}
}

func TestLinkKnowsWhatItIsBuiltOn(t *testing.T) {
	node, neighbour := segment(t)
	node.Do(func() error { return addMacvlan("node0", "mv0") })
	below := link(t, node, "node0")
	if l := link(t, node, "mv0"); l.Parent != below.Index || l.Kind != "macvlan" {
		t.Errorf("mv0: parent %d, want %d", l.Parent, below.Index)
	}
	netnstest.Veth(node, "both0", node, "both1")
	for _, l := range []Link{below, link(t, node, "both0"), link(t, node, "both1"), link(t, neighbour, "peer0")} {
		if l.Parent != 0 || l.Master != 0 {
			t.Errorf("%s: parent %d, master %d", l.Name, l.Parent, l.Master)
		}
	}
}

func TestNoSuchInterfaceNamesThoseThatThereAre(t *testing.T) {
	node, _ := segment(t)
	err := node.Try(func() error {
		_, err := LinkByName("eth9")
		return err
	})
	if !errors.Is(err, ErrNoInterface) || !strings.Contains(err.Error(), "there are: lo, node0") {
		t.Errorf("LinkByName says: %v", err)
	}
	err = node.Try(func() error {
		_, err := LinkByIndex(4711)
		return err
	})
	if !errors.Is(err, ErrNoInterface) {
		t.Errorf("LinkByIndex says: %v", err)
	}
}

func TestRxFramesCountsWhatTheInterfaceReceives(t *testing.T) {
	node, neighbour := segment(t)
	index := link(t, node, "node0").Index
	count := func() (n uint64) {
		node.Do(func() (err error) {
			n, err = RxFrames(index)
			return err
		})
		return n
	}
	before := count()
	neighbour.Do(func() error {
		conn, err := net.Dial("udp", "192.0.2.1:9")
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte("one frame"))
		return err
	})
	netnstest.Until(t, "the counter rises", func() bool { return count() > before })
	n := count()
	if l := link(t, node, "node0"); l.RxFrames < n {
		t.Errorf("Link says %d frames after RxFrames said %d", l.RxFrames, n)
	}
	node.Do(func() error {
		counter, err := OpenFrameCounter(link(t, node, "node0"))
		if err != nil {
			return err
		}
		before := count()
		without, err := counter.Count()
		if err == nil && (without < before || without > count()) {
			t.Errorf("%d frames by /proc, and by netlink %d before and %d after", without, before, count())
		}
		return errors.Join(err, counter.Close())
	})
	if err := node.Try(func() error { _, err := RxFrames(4711); return err }); err == nil {
		t.Error("an interface that does not exist has a counter")
	}
}
