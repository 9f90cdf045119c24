package netcfg

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

// watching runs a watcher of the namespace and hands on what it hears.
func watching(t *testing.T, s *netnstest.Space) <-chan Change {
	t.Helper()
	w := watcher(t, s)
	changes := make(chan Change, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx, func(c Change) { changes <- c }) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run after cancel: %v", err)
			}
		case <-time.After(netnstest.Patience):
			t.Error("Run goes on after cancel")
		}
		_ = w.Close()
	})
	return changes
}

func watcher(t *testing.T, s *netnstest.Space) *Watcher {
	t.Helper()
	var w *Watcher
	s.Do(func() (err error) {
		w, err = NewWatcher()
		return err
	})
	return w
}

func expect(t *testing.T, changes <-chan Change, what string, accept func(Change) bool) {
	t.Helper()
	deadline := time.After(netnstest.Patience)
	for {
		select {
		case c := <-changes:
			if accept(c) {
				return
			}
		case <-deadline:
			t.Fatalf("never heard: %s", what)
		}
	}
}

func TestWatcherHearsOfInterfacesAndAddresses(t *testing.T) {
	node, neighbour := segment(t)
	index := link(t, node, "node0").Index
	changes := watching(t, node)

	netnstest.Veth(node, "later0", neighbour, "later1")
	expect(t, changes, "an interface appears", func(c Change) bool { return c.Kind == LinkChanged && c.Name == "later0" })
	expect(t, changes, "it runs", func(c Change) bool { return c.Kind == LinkChanged && c.Name == "later0" && c.Up && c.Running })
	node.Delete("later0")
	expect(t, changes, "it goes", func(c Change) bool { return c.Kind == LinkGone && c.Name == "later0" })

	for _, a := range []netip.Addr{shared4, shared6} {
		addShared(t, node, "node0", a)
		expect(t, changes, "a shared address comes", func(c Change) bool {
			return c.Kind == AddressAdded && c.Index == index && c.Address.Addr() == a && c.Shared
		})
		l := link(t, node, "node0")
		node.Do(func() error { return RemoveAddress(l, a) })
		expect(t, changes, "a shared address goes", func(c Change) bool { return c.Kind == AddressGone && c.Address.Addr() == a && c.Shared })
	}
	node.AddAddress("node0", "192.0.2.77/24")
	expect(t, changes, "an own address comes", func(c Change) bool {
		return c.Kind == AddressAdded && c.Address == netip.MustParsePrefix("192.0.2.77/24") && !c.Shared
	})
	neighbour.Down("peer0")
	expect(t, changes, "the carrier is lost", func(c Change) bool { return c.Kind == LinkChanged && c.Index == index && c.Up && !c.Running })
}

func TestWatcherHearsOfFiltersThatGo(t *testing.T) {
	node, _ := segment(t)
	index := link(t, node, "node0").Index
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
	node.Do(func() error { return netlink.QdiscAdd(qdisc) })
	changes := watching(t, node)
	node.Do(func() error { return netlink.QdiscDel(qdisc) })
	expect(t, changes, "a qdisc goes", func(c Change) bool { return c.Kind == FilterGone && c.Index == index })
}

func TestWatcherSaysWhenItMissedSomething(t *testing.T) {
	node, _ := segment(t)
	w := watcher(t, node)
	defer w.Close()
	raw, err := w.socket.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1) }); err != nil {
		t.Fatal(err)
	}
	for range 20 { // nobody reads meanwhile
		node.Down("node0")
		node.Up("node0")
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	missed := false
	if err := w.Run(ctx, func(c Change) {
		if c.Kind == Missed {
			missed = true
			cancel()
		}
	}); err != nil || !missed {
		t.Errorf("missed %v, %v", missed, err)
	}
}

func TestWatcherEndsWhenClosed(t *testing.T) {
	node, _ := segment(t)
	w := watcher(t, node)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(context.Background(), func(Change) {}) }()
	_ = w.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a closed watcher ends without an error")
		}
	case <-time.After(netnstest.Patience):
		t.Error("a closed watcher goes on")
	}
}
