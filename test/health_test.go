package test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
)

// levers are files, one for each node, that a check looks at.
type levers struct {
	t   *testing.T
	dir string
}

func newLevers(t *testing.T) levers { return levers{t, t.TempDir()} }

// check of them, as the configuration has it.
func (l levers) check() string {
	return fmt.Sprintf("{name: lever, file: %q, interval: 100ms, rise: 2, fall: 2}", l.dir+"/{node}")
}

func (l levers) file(n *lab.Node) string { return filepath.Join(l.dir, n.Name()) }

func (l levers) up(nodes ...*lab.Node) {
	l.t.Helper()
	for _, n := range nodes {
		must(l.t, os.WriteFile(l.file(n), nil, 0o600))
	}
}

func (l levers) down(nodes ...*lab.Node) {
	l.t.Helper()
	for _, n := range nodes {
		must(l.t, os.Remove(l.file(n)))
	}
}

var otherPool = netip.MustParseAddr("192.0.2.20")

// idle makes a cluster with a pool that the levers bear on, and one that they do not.
func (l levers) idle() *cluster {
	l.t.Helper()
	return idle(l.t, lab.Options{Nodes: 3, Pools: []lab.Pool{
		{Name: "other", Addresses: []netip.Addr{otherPool}},
		{Name: "web", Addresses: []netip.Addr{lab.Shared4, lab.Shared6}, Checks: []string{l.check()}},
	}})
}

func poolNamed(s *api.Status, name string) api.Pool {
	return s.Pools[slices.IndexFunc(s.Pools, func(p api.Pool) bool { return p.Name == name })]
}

// TestACheckFails: the node leaves that pool alone, nothing breaks, and it comes back.
func TestACheckFails(t *testing.T) {
	l := newLevers(t)
	c := l.idle()
	l.up(c.Nodes()...)
	must(t, c.StartDaemons())
	c.even()
	clients := c.clients(lab.ClientOptions{Live: 60, Every: 50 * time.Millisecond, NewEvery: 20 * time.Millisecond})
	ill := c.Node(1)
	other := poolNamed(statuses(t, ill)[0], "other").Owned

	began := time.Now()
	l.down(ill)
	s := c.until(ill, "to own nothing of web", func(s *api.Status) bool { return poolNamed(s, "web").Owned == "" && s.View.Agreed })
	t.Logf("left %s after the lever", time.Since(began).Round(time.Millisecond))
	c.unbroken("left", clients, 2*time.Second)
	if got := poolNamed(s, "other").Owned; got != other {
		t.Errorf("of the other pool it owns %q, before it was %q", got, other)
	}
	if f := s.Checks[0]; f.Name != "lever" || f.Pool != "web" || f.Level != "leave" || !strings.HasSuffix(f.Text, "is not there") || f.LastErrorAt.IsZero() {
		t.Errorf("says %+v", f)
	}
	c.tellsOthers(ill, "pool web: lever: "+l.file(ill)+" is not there")
	c.until(ill, "the story", func(*api.Status) bool {
		return told(t, ill, "pool web: lever: leave, was ok") > 0
	})

	l.up(ill)
	c.even()
	c.unbroken("came back", clients, 2*time.Second)
	if s := statuses(t, ill)[0]; s.Checks[0].Level != "ok" || len(s.Nodes[1].Health) != 0 {
		t.Errorf("well again, it says %+v, %v", s.Checks[0], s.Nodes[1].Health)
	}
}

// tellsOthers waits until every node says of one what ails it.
func (c *cluster) tellsOthers(ill *lab.Node, text string) {
	c.t.Helper()
	for _, n := range c.Nodes() {
		c.until(n, text, func(s *api.Status) bool {
			return slices.ContainsFunc(s.Nodes, func(x api.Node) bool {
				return x.Name == ill.Name() && slices.ContainsFunc(x.Health, func(line string) bool { return strings.Contains(text, line) || strings.Contains(line, text) })
			})
		})
	}
}

// TestAnIllNodeStarts: it joins without a share, whatever it can know of the others at first.
func TestAnIllNodeStarts(t *testing.T) {
	l := newLevers(t)
	c := idle(t, lab.Options{Nodes: 3, Pools: []lab.Pool{{Name: "web", Checks: []string{l.check()}}}})
	l.up(c.Nodes()...)
	must(t, c.StartDaemons())
	c.even()
	ill := c.Node(1)
	must(t, ill.Leave(soon(t)))
	l.down(ill)
	must(t, ill.Start())
	c.until(ill, "a place among the others, and no share", func(s *api.Status) bool {
		return s.State == api.Serving && s.View.Agreed && len(s.View.Members) == 3 && !owning(s)
	})
	gained := 0
	must(t, ill.API().Events(soon(t), 0, false, func(e api.Event) error { gained += max(0, e.Moved); return nil }))
	if gained > 0 || told(t, ill, leastIll) > 0 {
		t.Errorf("gained %d buckets, or called itself the least ill:\n%s", gained, order(t, "events", "--socket", ill.Socket()))
	}
}

const leastIll = "no node is well and none is less ill"

// TestAllAreIll: they all serve, loudly; and the first that is well serves alone.
func TestAllAreIll(t *testing.T) {
	l := newLevers(t)
	c := l.idle()
	l.up(c.Nodes()...)
	must(t, c.StartDaemons())
	c.even()
	clients := c.clients(lab.ClientOptions{Live: 30, Every: 50 * time.Millisecond, NewEvery: 20 * time.Millisecond})
	l.down(c.Nodes()...)
	for _, n := range c.Nodes() {
		c.until(n, "to serve although it is ill", func(s *api.Status) bool {
			return s.State == api.Serving && s.Degraded && s.View.Agreed && poolNamed(s, "web").Owned != "" &&
				warns(s, api.WarnNobodyWell, "no node is well")
		})
	}
	c.answeredBy(c.Client(), c.Nodes()...)
	c.unbroken("all ill", clients, 2*time.Second)

	// A daemon that restarts knows since when, and is no better for the others.
	again, view := c.Node(0), c.view()
	before := nobodyWell(statuses(t, again)[0])
	must(t, again.Upgrade(soon(t)))
	c.until(again, "to serve on as ill as before: "+before, func(s *api.Status) bool { return nobodyWell(s) == before })
	c.answeredBy(c.Client(), c.Nodes()...)
	if is := c.view(); is != view {
		t.Errorf("view %s, was %s: the restart of one that is ill moved something", is, view)
	}
	c.unbroken("restarted", clients, 2*time.Second)

	well := c.Node(2)
	l.up(well)
	c.until(well, "to have all of web", func(s *api.Status) bool {
		return s.View.Agreed && poolNamed(s, "web").Owners[well.Name()] == 4096 && !warns(s, api.WarnNobodyWell, "")
	})
	c.unbroken("one well", clients, 2*time.Second)
	l.up(c.Others(well)...)
	c.even()
	c.unbroken("all well", clients, 2*time.Second)
}

// nobodyWell is the warning of one that serves although it is ill.
func nobodyWell(s *api.Status) string {
	for _, w := range s.Warnings {
		if w.Code == api.WarnNobodyWell {
			return w.Text
		}
	}
	return ""
}

// TestNoVerdictNoShare: a node whose checks fail from the beginning takes no part in the pool.
func TestNoVerdictNoShare(t *testing.T) {
	l := newLevers(t)
	c := l.idle()
	late := c.Node(2)
	l.up(c.Others(late)...)
	for _, n := range c.Others(late) {
		must(t, n.Start())
	}
	c.even(c.Others(late)...)
	must(t, late.Start())
	c.agreed()
	c.until(late, "its share of the other pool, and none of web", func(s *api.Status) bool {
		return s.View.Agreed && poolNamed(s, "other").Owned != "" && poolNamed(s, "web").Owned == ""
	})
	l.up(late)
	c.even()
}

// TestAServiceIsKilled: after fall × interval + 100 ms no new connection goes
// to the node where nobody listens any more.
func TestAServiceIsKilled(t *testing.T) {
	const interval, fall = 100 * time.Millisecond, 2
	c := started(t, lab.Options{Nodes: 3, Pools: []lab.Pool{{Name: "web", Checks: []string{
		fmt.Sprintf(`{name: http, http: "http://127.0.0.1/", interval: %s, rise: 2, fall: %d}`, interval, fall),
	}}}})
	c.even()
	ill := c.Node(0)
	must(t, ill.BreakService())
	<-time.After(fall*interval + 100*time.Millisecond)
	c.answeredBy(c.Client(), c.Others(ill)...)
	must(t, ill.MendService(soon(t)))
	c.even()
	c.answeredBy(c.Client(), c.Nodes()...)
}

// TestADiskFillsUp and a file system that is remounted read-only: the node leaves before anything breaks.
func TestADiskFillsUp(t *testing.T) {
	dir := t.TempDir()
	c := idle(t, lab.Options{Nodes: 3, Signs: map[string]string{
		"disk_space": fmt.Sprintf("{warn: 50%%, leave: 90%%, stay: 1s, warn_weight: 50%%, paths: [%q]}", dir+"/{node}"),
		"read_only":  fmt.Sprintf("{stay: 1s, paths: [%q]}", dir+"/{node}"),
	}})
	for _, n := range c.Nodes() {
		at := filepath.Join(dir, n.Name())
		must(t, os.Mkdir(at, 0o755))
		must(t, unix.Mount("tmpfs", at, "tmpfs", 0, "size=1m"))
		t.Cleanup(func() { must(t, unix.Unmount(at, 0)) })
	}
	must(t, c.StartDaemons())
	c.even()
	clients := c.clients(lab.ClientOptions{Live: 60, Every: 50 * time.Millisecond, NewEvery: 20 * time.Millisecond})
	full, ro := c.Node(0), c.Node(1)
	file := filepath.Join(dir, full.Name(), "log")

	must(t, os.WriteFile(file, make([]byte, 600<<10), 0o600))
	must(t, c.WaitShares(soon(t), map[*lab.Node]int{full: 50, ro: 100, c.Node(2): 100}))
	c.unbroken("half full", clients, 2*time.Second)

	must(t, os.WriteFile(file, make([]byte, 1<<20), 0o600))
	c.until(full, "to own nothing", func(s *api.Status) bool { return s.View.Agreed && !owning(s) })
	c.tellsOthers(full, "disk_space: "+filepath.Dir(file)+": 100.0 % of the space in use")
	c.unbroken("full", clients, 2*time.Second)

	at := filepath.Join(dir, ro.Name())
	must(t, unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	c.until(ro, "to own nothing", func(s *api.Status) bool { return s.View.Agreed && !owning(s) })
	c.answeredBy(c.Client(), c.Node(2))
	c.unbroken("read-only", clients, 2*time.Second)

	must(t, os.Remove(file))
	must(t, unix.Mount("", at, "", unix.MS_REMOUNT, ""))
	c.even()
	c.unbroken("mended", clients, 2*time.Second)
}

// longLease is for what takes its time while the machine may stand still for a moment:
// it is about health, not about who is late.
const longLease = time.Second

// TestACheckFlaps ten times a second: buckets move a few times, and no more than
// ten times a minute.
func TestACheckFlaps(t *testing.T) {
	const flapping, most = 12 * time.Second, 10
	l := newLevers(t)
	c := idle(t, lab.Options{Nodes: 3, Lease: longLease, Pools: []lab.Pool{{Name: "web", Checks: []string{
		fmt.Sprintf("{name: lever, file: %q, interval: 10ms, timeout: 10ms, rise: 1, fall: 1}", l.dir+"/{node}"),
	}}}})
	l.up(c.Nodes()...)
	must(t, c.StartDaemons())
	c.even()
	clients := c.clients(lab.ClientOptions{Live: 60, Every: 50 * time.Millisecond, NewEvery: 20 * time.Millisecond})
	ill := c.Node(1)
	tick, flaps := time.NewTicker(50*time.Millisecond), 0
	defer tick.Stop()
	for end := time.Now().Add(flapping); time.Now().Before(end); flaps++ {
		l.down(ill)
		<-tick.C
		l.up(ill)
		<-tick.C
	}
	moves := 0
	must(t, ill.API().Events(soon(t), 0, false, func(e api.Event) error {
		if e.Kind == "health" {
			moves++
			t.Log(e.Time.Format(time.StampMilli), e.Text)
		}
		return nil
	}))
	t.Logf("%d flaps in %s changed the weight %d times", flaps, flapping, moves)
	if flaps < 80 || moves < 2 || moves > most {
		t.Errorf("%d flaps in %s changed the weight %d times; want 80 or more, and 2 to %d changes", flaps, flapping, moves, most)
	}
	c.unbroken("flapping", clients, 2*time.Second)
}

// tellsStory expects that a node's events have these words, one after the other.
func tellsStory(t *testing.T, n *lab.Node, words ...string) {
	t.Helper()
	story := order(t, "events", "--socket", n.Socket())
	rest := story
	for _, w := range words {
		_, after, ok := strings.Cut(rest, w)
		if !ok {
			t.Fatalf("%s does not tell %q after what comes before it:\n%s", n.Name(), w, story)
		}
		rest = after
	}
}

// TestANodeFallsIll in every way that the lab knows: it leaves before anything
// breaks, and the others say why.
func TestANodeFallsIll(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3, Ailing: true, Lease: longLease})
	c.even()
	clients := c.clients(lab.ClientOptions{Live: 30, Every: 50 * time.Millisecond, NewEvery: 20 * time.Millisecond})
	ill, flaps := c.Node(1), c.Node(2)
	hooks, hooksOfOther := hookOn(t, ill, "cat >> OUT"), hookOn(t, c.Node(0), "cat >> OUT")
	for _, row := range []struct {
		ailment, says string
		node          *lab.Node
		remembered    bool // for ten minutes
	}{
		{"memory", "memory_pressure: every task waited for memory 80.0 %", ill, false},
		{"stress", "memory_pressure: every task waited for memory ", ill, false},
		{"disk", "disk_space: ", ill, false},
		{"readonly", "read_only: ", ill, false},
		{"shutdown", "shutdown: the host is going down", ill, false},
		{"records", "io_errors: 3 in the kernel's log in 10m0s, last: I/O error, dev sda", ill, true},
		{"link", "link_flaps: carrier of eth0 came or went ", flaps, true},
	} {
		must(t, row.node.Ail(row.ailment))
		began := time.Now()
		c.until(row.node, "to leave for "+row.ailment, func(s *api.Status) bool { return s.View.Agreed && !owning(s) })
		t.Logf("left %s after %s", time.Since(began).Round(time.Millisecond), row.ailment)
		if row.ailment == "shutdown" {
			// All was handed over while it held the host back, and it lets it go on.
			waitFor(t, "the host to be let go", func() bool { return !row.node.Inhibited() })
		}
		c.tellsOthers(row.node, row.says)
		if row.node == flaps {
			c.unbrokenByLoss(row.ailment, clients, 2*time.Second)
		} else {
			c.unbroken(row.ailment, clients, 2*time.Second)
		}
		tellsStory(t, row.node, " sign: "+strings.SplitN(row.says, ":", 2)[0], " health: pool web: weight 0, was 100: ", " view-cleared: ")
		tellsStory(t, c.Node(0), " "+row.node.Name()+" peer-health: pool web: weight 0, was 100: ", row.node.Name()+" weighs 0")
		must(t, row.node.Cure(soon(t)))
		if !row.remembered {
			c.even()
		}
	}
	c.answeredBy(c.Client(), c.Node(0))
	for kind, read := range map[string]func() []hookDocument{"sign": hooks, "health": hooks, "peer-health": hooksOfOther} {
		waitFor(t, "a hook that is told of "+kind, func() bool {
			return slices.ContainsFunc(read(), func(e hookDocument) bool {
				return e.Event == "health" && e.Kind == kind && strings.Contains(e.Reason, "io_errors: ") && (kind == "peer-health") == (e.Peer == ill.Name())
			})
		})
	}
}

// TestATargetIsLost: the node that alone cannot reach a named host leaves; when none
// reaches it, the host is to blame and nobody leaves, but who then loses another one leaves for that.
func TestATargetIsLost(t *testing.T) {
	target, other := netip.MustParsePrefix("192.0.2.250/24"), netip.MustParsePrefix("192.0.2.251/24")
	c := idle(t, lab.Options{Nodes: 3, Lease: longLease, Signs: map[string]string{
		"hosts": fmt.Sprintf("{warn: 0.5s, leave: 3s, stay: 1s, hosts: [%s, %s]}", target.Addr(), other.Addr()),
	}})
	must(t, c.Client().Host().AddAddress(target))
	must(t, c.Client().Host().AddAddress(other))
	must(t, c.StartDaemons())
	c.even()
	clients := c.clients(lab.ClientOptions{Live: 30, Every: 50 * time.Millisecond, NewEvery: 20 * time.Millisecond})

	ill := c.Node(1)
	nowhere := blackhole(target.Addr())
	must(t, ill.Host().Run(func() error { return netlink.RouteAdd(nowhere) }))
	c.until(ill, "to leave", func(s *api.Status) bool { return s.View.Agreed && !owning(s) })
	c.tellsOthers(ill, "hosts: "+target.Addr().String()+": no answer for ")
	must(t, ill.Host().Run(func() error { return netlink.RouteDel(nowhere) }))
	c.even()
	c.unbroken("lost by one", clients, 2*time.Second)

	must(t, c.Client().Host().RemoveAddress(target))
	for _, n := range c.Nodes() {
		c.until(n, "to blame the host", func(s *api.Status) bool {
			i := slices.IndexFunc(s.Signs, func(f api.Finding) bool { return f.Name == "hosts" })
			return s.Signs[i].Level == "leave" && slices.ContainsFunc(s.Nodes, func(x api.Node) bool {
				return x.Self && slices.ContainsFunc(x.Health, func(line string) bool { return strings.HasSuffix(line, "this node is not to blame") })
			})
		})
	}
	for _, s := range statuses(t, c.Nodes()...) {
		if !owning(s) || s.Degraded {
			t.Errorf("%s: serves %v, degraded %v", s.Node, owning(s), s.Degraded)
		}
	}
	c.unbroken("lost by all", clients, 2*time.Second)

	must(t, ill.Host().Run(func() error { return netlink.RouteAdd(blackhole(other.Addr())) }))
	c.until(ill, "to leave for the other", func(s *api.Status) bool { return s.View.Agreed && !owning(s) })
	c.tellsOthers(ill, "hosts: "+other.Addr().String()+": no answer for ")
	c.unbroken("one lost by all, another by one", clients, 2*time.Second)
}

// blackhole is a route of a host that nothing goes by.
func blackhole(host netip.Addr) *netlink.Route {
	return &netlink.Route{Dst: &net.IPNet{IP: host.AsSlice(), Mask: net.CIDRMask(32, 32)}, Type: unix.RTN_BLACKHOLE}
}
