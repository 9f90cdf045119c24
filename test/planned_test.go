package test

import (
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
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

// TestHandoversOfHandovers: the shares of three nodes go round, twenty times in ten
// seconds, so that buckets go from A to B to C and to A again while all three have
// connections in them. When those have ended nobody lingers, and nobody asks the
// kernel for a socket any more.
func TestHandoversOfHandovers(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3, Pools: []lab.Pool{{Name: "web", Buckets: 64}}})
	weights := []int{1000, 100, 10}
	shares := make(map[*lab.Node]int)
	var crowds []*lab.Clients
	pace := time.NewTicker(500 * time.Millisecond)
	defer pace.Stop()
	for turn := range 20 {
		if turn%4 == 0 && len(crowds) < 3 { // each opens its connections with whom has most buckets by then
			clients, err := c.StartClients(soon(t), lab.ClientOptions{Live: 60, Every: 50 * time.Millisecond, NewEvery: 50 * time.Millisecond})
			must(t, err)
			crowds = append(crowds, clients)
		}
		for i, n := range c.Nodes() {
			shares[n] = weights[(turn+i)%len(weights)]
			must(t, n.API().SetWeight(soon(t), uint16(shares[n])))
		}
		must(t, c.WaitShares(soon(t), shares))
		<-pace.C
	}
	c.deep()
	for _, clients := range crowds {
		c.unbroken("twenty turns", clients, 2*time.Second)
		last, err := clients.Stop()
		must(t, err)
		must(t, last.Check())
	}
	for _, n := range c.Nodes() {
		c.until(n, "buckets that are mine or foreign", func(s *api.Status) bool {
			return s.Pools[0].Lingering == "" && s.Pools[0].Contested == ""
		})
	}
}

// deep expects that there are buckets in which two nodes linger while the third owns them.
func (c *cluster) deep() {
	c.t.Helper()
	claims := make(map[uint32]int)
	for _, s := range statuses(c.t, c.Nodes()...) {
		for _, list := range []string{s.Pools[0].Lingering, s.Pools[0].Contested} {
			buckets, err := numbers(list)
			must(c.t, err)
			for _, b := range buckets {
				claims[b]++
			}
		}
	}
	three := 0
	for _, n := range claims {
		if n == 3 {
			three++
		}
	}
	if three == 0 {
		c.t.Errorf("no bucket has connections on all nodes: %v", claims)
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
		must(c.t, c.forgiving(last).Check())
	})
	return clients
}

// unbroken expects that all is well with the clients since the last time, and
// that none waited longer than a limit, beyond what the probe itself was held up.
func (c *cluster) unbroken(when string, clients *lab.Clients, limit time.Duration) {
	c.t.Helper()
	r, err := clients.Lap()
	must(c.t, err)
	c.judgeClients(when, r, limit)
}

// unbrokenByLoss is unbroken where frames were lost: a node repeats the answer that was lost, for some seconds,
// when another has answered the client, who asked again.
func (c *cluster) unbrokenByLoss(when string, clients *lab.Clients, limit time.Duration) {
	c.t.Helper()
	r, err := clients.Lap()
	must(c.t, err)
	c.lossy = true
	c.judgeClients(when, c.forgiving(r), limit)
}

// forgiving takes no notice of answers that were repeated because they had been lost.
func (c *cluster) forgiving(r lab.ClientReport) lab.ClientReport {
	if c.lossy {
		r.Tapped.Twice, r.Tapped.Stories = 0, nil
	}
	return r
}

func (c *cluster) judgeClients(when string, r lab.ClientReport, limit time.Duration) {
	c.t.Helper()
	c.t.Logf("%s: %s", when, r)
	if err := r.Check(); err != nil {
		c.t.Errorf("%s: %v", when, err)
	}
	if limit += 2 * r.Stalled; max(r.Slowest, r.Longest) > limit {
		c.t.Errorf("%s: a client waited %s for an answer, a live connection %s; want at most %s", when, r.Slowest, r.Longest, limit)
	}
}
