package test

import (
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/lab"
)

// TestPlannedChanges under live connections and new ones: nothing breaks, nothing
// fails, nothing is answered twice. How fast it goes is for BenchmarkPlanned; here
// a new connection may need a second SYN, on a busy machine.
func TestPlannedChanges(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3})
	clients := c.clients(lab.ClientOptions{Live: 60, Every: 50 * time.Millisecond, NewEvery: 20 * time.Millisecond})
	for _, change := range lab.PlannedChanges() {
		must(t, change.Make(soon(t), c.Lab))
		must(t, clients.WaitNew(soon(t), 20))
		c.unbroken(change.Name, clients, 2*time.Second)
	}
}

// clients of the cluster, until the test ends.
func (c *cluster) clients(o lab.ClientOptions) *lab.Clients {
	c.t.Helper()
	clients, err := c.StartClients(soon(c.t), o)
	must(c.t, err)
	c.t.Cleanup(func() {
		last, err := clients.Stop()
		must(c.t, err)
		must(c.t, last.Check())
	})
	return clients
}

// unbroken expects that all is well with the clients since the last time, and
// that none waited longer than a limit, beyond what the probe itself was held up.
func (c *cluster) unbroken(when string, clients *lab.Clients, limit time.Duration) {
	c.t.Helper()
	r, err := clients.Lap()
	must(c.t, err)
	c.t.Logf("%s: %s", when, r)
	if err := r.Check(); err != nil {
		c.t.Errorf("%s: %v", when, err)
	}
	if limit += 2 * r.Stalled; max(r.Slowest, r.Longest) > limit {
		c.t.Errorf("%s: a client waited %s for an answer, a live connection %s; want at most %s", when, r.Slowest, r.Longest, limit)
	}
}
