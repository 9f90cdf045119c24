package test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
)

// statusWords are the fields that programs may rely on.
var statusWords = map[string][]string{
	"":      {"cluster", "node", "state", "view", "lease_ms", "nodes", "pools"},
	"view":  {"id", "agreed", "members"},
	"nodes": {"name", "incarnation", "state", "address", "weight", "heard_ms_ago", "health"},
	"pools": {"name", "addresses", "mac", "buckets", "owners", "owned", "lingering", "datapath"},
}

// TestThreeNodes that are started together agree within 5 s, tell the same, and
// what they tell is what a client sees.
func TestThreeNodes(t *testing.T) {
	c := idle(t, lab.Options{Nodes: 3})
	begin := time.Now()
	must(t, c.StartDaemons())
	c.even()
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("agree after %s, want 5 s at most", took.Round(time.Millisecond))
	}
	c.judged(func() {
		c.answeredBy(c.Client(), c.Nodes()...)
		t.Run("status", func(t *testing.T) { testStatus(t, c) })
		t.Run("explain", func(t *testing.T) { testExplain(t, c) })
	})
}

func testStatus(t *testing.T, c *cluster) {
	owned := make(map[uint32]string)
	var view string
	for _, n := range c.Nodes() {
		text := order(t, "status", "--json", "--socket", n.Socket())
		expectWords(t, text)
		var s api.Status
		must(t, json.Unmarshal([]byte(text), &s))
		if s.Node != n.Name() || s.State != api.Serving || !s.View.Agreed || s.LeaseMS <= 0 || s.LeaseMS > c.Lease().Milliseconds() {
			t.Errorf("%s says: %s", n.Name(), text)
		}
		if view == "" {
			view = s.View.ID
		}
		if s.View.ID != view || view == "" {
			t.Errorf("%s has view %q, the first %q", n.Name(), s.View.ID, view)
		}
		if want := []string{"node-a", "node-b", "node-c"}; !slices.Equal(s.View.Members, want) || len(s.Nodes) != len(want) {
			t.Errorf("%s knows members %v, %d nodes", n.Name(), s.View.Members, len(s.Nodes))
		}
		mine, err := numbers(s.Pools[0].Owned)
		must(t, err)
		if len(mine) != s.Pools[0].Owners[n.Name()] {
			t.Errorf("%s owns %d buckets by its list, %d by its count", n.Name(), len(mine), s.Pools[0].Owners[n.Name()])
		}
		for _, b := range mine {
			if other := owned[b]; other != "" {
				t.Errorf("bucket %d is %s's and %s's", b, other, n.Name())
			}
			owned[b] = n.Name()
		}
		if text := order(t, "--socket", n.Socket(), "status"); !strings.Contains(text, "node-b") {
			t.Errorf("rota status of %s says:\n%s", n.Name(), text)
		}
	}
	if len(owned) != 4096 {
		t.Errorf("%d of 4096 buckets are owned", len(owned))
	}
}

// TestAFreshLabHasNothingToWarnOf: what `rota lab` shows first is a cluster that is well.
func TestAFreshLabHasNothingToWarnOf(t *testing.T) {
	// With a longer lease only: a machine that stands still for a moment is worth a warning.
	c := started(t, lab.Options{Nodes: 3, Ailing: true, Lease: longLease})
	for _, n := range c.Nodes() {
		c.until(n, "a status without a warning", func(s *api.Status) bool {
			return s.View.Agreed && !s.Degraded && len(s.Warnings) == 0 && len(s.Checks) == 1
		})
		if text := order(t, "status", "--socket", n.Socket()); strings.Contains(text, "\n!") {
			t.Errorf("rota status of %s warns:\n%s", n.Name(), text)
		}
	}
}

func expectWords(t *testing.T, text string) {
	t.Helper()
	var whole map[string]any
	must(t, json.Unmarshal([]byte(text), &whole))
	for part, words := range statusWords {
		var objects []any
		switch at := whole[part].(type) {
		case nil:
			objects = []any{whole}
		case []any:
			objects = at
		default:
			objects = []any{at}
		}
		for _, o := range objects {
			for _, w := range words {
				if v, there := o.(map[string]any)[w]; !there || v == nil {
					t.Errorf("status has no %s in %q", w, part)
				}
			}
		}
	}
}

// testExplain asks the nodes in turn where a client will be answered, and then
// becomes that client.
func testExplain(t *testing.T, c *cluster) {
	const ports = 50
	for _, to := range c.Shared() {
		from := ownAddress(c, to.Is6())
		for i := range ports {
			port := uint16(20_000 + rand.IntN(12_000))
			src, dst := netip.AddrPortFrom(from, port), lines(to)
			asked := c.Node(i % len(c.Nodes()))
			e, err := asked.API().Explain(soon(t), api.ExplainQuery{
				Src: api.Endpoint{Addr: from, Port: port, HasPort: true}, Dst: api.Endpoint{Addr: to, Port: dst.Port(), HasPort: true},
			})
			must(t, err)
			if i == 0 {
				text := order(t, "explain", "--json", "--socket", asked.Socket(), src.String(), dst.String())
				var told api.Explanation
				must(t, json.Unmarshal([]byte(text), &told))
				if told.Pool != "web" || told.Hash == "" || told.Bucket != e.Bucket || told.Owner != e.Owner {
					t.Errorf("the command says %s; the daemon %+v", text, *e)
				}
			}
			got, err := whoAnswers(c, src, dst)
			if err != nil || got != e.Owner || !e.Agreed {
				t.Errorf("%s says that %s answers %s (agreed: %v); it was %q, %v", asked.Name(), e.Owner, src, e.Agreed, got, err)
			}
		}
	}
}

// ownAddress of the client.
func ownAddress(c *cluster, is6 bool) netip.Addr {
	for _, p := range c.Client().Host().Addresses() {
		if p.Addr().Is6() == is6 {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// whoAnswers a connection from this very source.
func whoAnswers(c *cluster, from, to netip.AddrPort) (name string, err error) {
	err = c.Client().Host().Run(func() error {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(from), Timeout: 5 * time.Second}
		conn, err := d.DialContext(context.Background(), "tcp", to.String())
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.(*net.TCPConn).SetLinger(0); err != nil { // the port shall be free at once
			return err
		}
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(conn, "who"); err != nil {
			return err
		}
		answer, err := bufio.NewReader(conn).ReadString('\n')
		name, _, _ = strings.Cut(answer, " ")
		return err
	})
	return name, err
}
