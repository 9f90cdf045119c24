package test

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
)

// TestDrainOfWhatIsPassedOn: the nodes pass on what comes to the shared addresses to
// others, as to containers, so that no connection has a socket at a shared one. Drains
// break none of them, and nobody lingers when they have ended.
func TestDrainOfWhatIsPassedOn(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3})
	for _, n := range c.Nodes() {
		passOn(t, n)
	}
	clients, err := c.StartClients(soon(t), lab.ClientOptions{Live: 60, Every: 50 * time.Millisecond, NewEvery: 20 * time.Millisecond})
	must(t, err)
	for _, change := range lab.PlannedChanges()[:4] { // drains, of one and of two
		must(t, change.Make(soon(t), c.Lab))
		must(t, clients.WaitNew(soon(t), 20))
		c.unbroken(change.Name, clients, 2*time.Second)
	}
	last, err := clients.Stop()
	must(t, err)
	must(t, last.Check())
	for _, n := range c.Nodes() {
		c.until(n, "buckets that are mine or foreign", func(s *api.Status) bool {
			return s.Pools[0].Lingering == "" && s.Pools[0].Contested == ""
		})
	}
}

// passOn has a node send what comes to the shared addresses to ones behind it (DNAT).
func passOn(t *testing.T, n *lab.Node) {
	t.Helper()
	inside4, inside6 := netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(`
		table inet containers {
			chain arrival {
				type nat hook prerouting priority dstnat;
				ip daddr %s meta l4proto tcp dnat ip to %s
				ip6 daddr %s meta l4proto tcp dnat ip6 to %s
			}
		}`, lab.Shared4, inside4, lab.Shared6, inside6))
	must(t, n.Host().AddAddress(netip.PrefixFrom(inside4, 32)))
	must(t, n.Host().AddAddress(netip.PrefixFrom(inside6, 128)))
	must(t, n.Host().Run(func() error {
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("nft (package nftables): %w: %s", err, out)
		}
		return nil
	}))
}
