package test

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
)

// resetWithin is what a client may wait for a reset on a busy machine. TCP's own patience
// is a quarter of an hour; for the figure see BenchmarkReset.
const resetWithin = 2 * time.Second

// TestConnectionsOfTheDead: what was open with a node that died is reset when its client
// sends the next packet, by who has taken over. Connections with others go on.
func TestConnectionsOfTheDead(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3})
	lost := c.Node(1)
	conns := make(map[string][]*probe.Conn)
	for _, to := range c.Shared() {
		for range 40 {
			conn, err := c.Client().Dial(lines(to), patience)
			must(t, err)
			t.Cleanup(func() { _ = conn.Close() }) // it may be broken
			conns[conn.Node] = append(conns[conn.Node], conn)
		}
	}
	must(t, lost.Cut())
	c.even(c.Others(lost)...)
	if len(conns) != 3 {
		t.Fatalf("connections with %d nodes", len(conns))
	}
	for _, conn := range conns[lost.Name()] {
		began := time.Now()
		if err := conn.Ask(patience); !errors.Is(err, unix.ECONNRESET) {
			t.Fatalf("a connection with %s: %v; want a reset", lost.Name(), err)
		}
		if waited := time.Since(began); waited > resetWithin {
			t.Errorf("reset after %s, want %s at most", waited, resetWithin)
		}
	}
	for _, n := range c.Others(lost) {
		for _, conn := range conns[n.Name()] {
			if err := conn.Ask(patience); err != nil {
				t.Errorf("a connection with %s, which is well: %v", n.Name(), err)
			}
		}
	}
}
