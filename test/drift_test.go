package test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
)

// TestALostAddressIsPutBack: whoever took it away, it is there again within a
// moment, the log says so, and clients are answered.
func TestALostAddressIsPutBack(t *testing.T) {
	m := newMachine(t)
	d := m.start(t, m.usual()).serving()
	complete := snap(t, m.host)
	for _, c := range []struct {
		what, said string
		ownStays   bool // the kernel drops the node's own IPv6 address with the link, too
		lose       func() error
	}{
		{"an IPv4 address is deleted", lab.Shared4.String(), true, func() error { return deleteAddress("eth0", lab.Shared4.String()+"/32") }},
		{"an IPv6 address is deleted", lab.Shared6.String(), true, func() error { return deleteAddress("eth0", lab.Shared6.String()+"/128") }},
		{"the link goes down and up", lab.Shared6.String(), false, func() error {
			if err := setLink("eth0", netlink.LinkSetDown); err != nil {
				return err
			}
			return setLink("eth0", netlink.LinkSetUp)
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			before := strings.Count(d.output(), "address="+c.said)
			m.do(t, c.lose)
			told := func() bool { return strings.Count(d.output(), "address="+c.said) > before }
			if waited, err := waitUntil(5*time.Second, told); err != nil {
				t.Fatalf("not put back after %s:\n%s", waited, d.output())
			}
			back := func() bool {
				for _, line := range snap(t, m.host).changes(complete) {
					if strings.Contains(line, "address "+c.said) {
						return false
					}
				}
				return true
			}
			if waited, err := waitUntil(5*time.Second, back); err != nil {
				t.Errorf("after %s the host has: %v", waited, snap(t, m.host).changes(complete))
			}
			if c.ownStays {
				m.expectAnswers(t)
			}
		})
	}
	d.stop()
}

// drifts counts what a daemon has told of changes to the host, with a word in it.
func drifts(t *testing.T, n *lab.Node, word string) (count int) {
	t.Helper()
	must(t, api.NewClient(n.Socket()).Events(soon(t), 0, false, func(e api.Event) error {
		if e.Kind == "drift" && strings.Contains(e.Text, word) {
			count++
		}
		return nil
	}))
	return count
}

// takeOffPrograms detaches every program from the places of the node's interface.
func takeOffPrograms(n *lab.Node, places ...ebpf.AttachType) error {
	return n.Host().Run(func() error {
		l, err := netlink.LinkByName(first)
		if err != nil {
			return err
		}
		for _, at := range places {
			found, err := link.QueryPrograms(link.QueryOptions{Target: l.Attrs().Index, Attach: at})
			if err != nil {
				return err
			}
			for _, q := range found.Programs {
				if _, byLink := q.LinkID(); byLink {
					continue // the kernel lets nobody take that off by its program
				}
				p, err := ebpf.NewProgramFromID(q.ID)
				if err != nil {
					return err
				}
				err = link.RawDetachProgram(link.RawDetachProgramOptions{Target: l.Attrs().Index, Program: p, Attach: at})
				if err := errors.Join(err, p.Close()); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// inside runs a command on the node.
func inside(n *lab.Node, name string, args ...string) error {
	return n.Host().Run(func() error {
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s %v: %w: %s", name, args, err, out)
		}
		return nil
	})
}

// mended waits until a node has told that it put something back, which must
// take no longer than a second, and what a busy machine adds.
func (c *cluster) mended(n *lab.Node, word string, lose func() error) {
	c.t.Helper()
	before := drifts(c.t, n, word)
	must(c.t, lose())
	if waited, err := waitUntil(2*time.Second, func() bool { return drifts(c.t, n, word) > before }); err != nil {
		c.t.Errorf("%s: not told of within %s", word, waited)
	} else {
		c.t.Logf("%s: put back and told after %s", word, waited.Round(time.Millisecond))
	}
}

// TestDrift: other tools undo on one node what rota needs there, while clients
// ask. It is put back within a second; no connection breaks, to whichever node;
// nothing is answered twice, and nothing binds a shared address to another MAC.
func TestDrift(t *testing.T) {
	for _, datapath := range []string{"tc", "xdp"} {
		t.Run(datapath, func(t *testing.T) {
			c := started(t, lab.Options{Nodes: 3, Datapath: datapath})
			n := c.Node(0)
			mac := c.agreed()[0].Pools[0].MAC
			c.judged(func() {
				release4, release6 := c.hold(c.Shared()[0], 60), c.hold(c.Shared()[1], 60)
				enough := c.asking(c.Client())
				c.mended(n, "tc ingress", func() error { return takeOffPrograms(n, ebpf.AttachTCXIngress) })
				c.mended(n, "tc egress", func() error { return takeOffPrograms(n, ebpf.AttachTCXEgress) })
				if datapath == "xdp" {
					c.mended(n, "XDP", func() error { return inside(n, "ip", "link", "set", "dev", first, "xdp", "off") })
				}
				c.mended(n, "reception of "+mac, func() error { return inside(n, "ip", "maddr", "del", mac, "dev", first) })
				// All addresses, its own too, which another tool puts back a moment later.
				c.mended(n, lab.Shared4.String(), func() error { return inside(n, "ip", "addr", "flush", "dev", first, "scope", "host") })
				c.mended(n, lab.Shared6.String(), func() error { return inside(n, "ip", "-6", "addr", "flush", "dev", first, "scope", "global") })
				restore(t, n)
				c.even()
				c.answeredBy(c.Client(), c.Nodes()...)
				enough()
				release4()
				release6()
			})
		})
	}
}

// TestWhatCannotBePutBack: the node hands over for as long as it cannot serve,
// says why, and is back when it can.
func TestWhatCannotBePutBack(t *testing.T) {
	c := started(t, lab.Options{Nodes: 2})
	n, other := c.Node(0), c.Node(1)
	own := n.Host().Addresses()
	const off = "/proc/sys/net/ipv6/conf/" + first + "/disable_ipv6"
	for _, loss := range []struct {
		what, why  string
		lose, back func() error
	}{
		{"its own address", "no route to the segment of " + lab.Shared4.String(),
			func() error { return n.Host().RemoveAddress(own[0]) },
			func() error { return n.Host().AddAddress(own[0]) }},
		{"its route", "no route to the segment of " + lab.Shared4.String(),
			func() error { return inside(n, "ip", "route", "del", own[0].Masked().String(), "dev", first) },
			func() error { return inside(n, "ip", "route", "add", own[0].Masked().String(), "dev", first) }},
		{"IPv6", "IPv6 is switched off there",
			func() error { return n.Host().Run(func() error { return os.WriteFile(off, []byte("1"), 0) }) },
			func() error {
				if err := n.Host().Run(func() error { return os.WriteFile(off, []byte("0"), 0) }); err != nil {
					return err
				}
				return n.Host().AddAddress(own[1])
			}},
		{"ARP", "resolves no neighbours",
			func() error { return inside(n, "ip", "link", "set", first, "arp", "off") },
			func() error { return inside(n, "ip", "link", "set", first, "arp", "on") }},
	} {
		t.Run(loss.what, func(t *testing.T) {
			c := c.in(t)
			must(t, loss.lose())
			c.until(n, "draining, and why", func(s *api.Status) bool {
				return s.State == api.Draining && !owning(s) && warns(s, api.WarnNotServing, loss.why)
			})
			c.sharedOnlyBy(other)
			c.answeredBy(c.Client(), other)
			if o := rota(t, "resume", "--socket", n.Socket()); o.code != 1 || !strings.Contains(o.stderr, loss.why) {
				t.Errorf("rota resume: exit %d, %q; want 1 and why it cannot", o.code, o.stderr)
			}
			must(t, loss.back())
			c.even()
			c.answeredBy(c.Client(), c.Nodes()...)
		})
	}
}

// TestAToolThatNeverStops: rota gives up the race, hands over, and says so in few
// words. It comes back when the tool has given up.
func TestAToolThatNeverStops(t *testing.T) {
	c := started(t, lab.Options{Nodes: 2})
	n, other := c.Node(0), c.Node(1)
	ctx, cancel := context.WithCancel(context.Background())
	tool := probe.Start(ctx, func(ctx context.Context) (struct{}, error) {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return struct{}{}, nil
			case <-tick.C:
				// That it is not there is no error.
				_ = n.Host().Run(func() error { return deleteAddress(first, lab.Shared4.String()+"/32") })
			}
		}
	})
	t.Cleanup(cancel)
	c.until(n, "draining, and why", func(s *api.Status) bool {
		return s.State == api.Draining && warns(s, api.WarnNotServing, "again and again")
	})
	c.sharedOnlyBy(other)
	c.answeredBy(c.Client(), other)
	cancel()
	_, err := tool.Stop()
	must(t, err)
	c.even()
	c.answeredBy(c.Client(), c.Nodes()...)
	if told := drifts(t, n, lab.Shared4.String()); told < 3 || told > 10 {
		t.Errorf("told %d times of the address", told)
	}
}

// TestADriverIsLoadedAnew: the interface goes, with all that stood on it, and one
// of its name comes. The others take over, and a second later everything is
// there again.
func TestADriverIsLoadedAnew(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3})
	n := c.Node(0)
	programs := func() (lines []string) {
		must(t, n.Host().Run(func() (err error) { lines, err = programs(); return err }))
		return lines
	}
	before := len(programs())
	c.judged(func() {
		enough := c.asking(c.Client())
		must(t, elsewhereAndBack(n))
		restore(t, n)
		back := time.Now()
		complete := func() bool {
			has := false
			must(t, n.Host().Run(func() error {
				all, err := addresses()
				has = strings.Contains(strings.Join(all, "\n"), "address "+lab.Shared4.String()+"/32")
				return err
			}))
			return has && len(programs()) == before
		}
		if waited, err := waitUntil(2*time.Second, complete); err != nil {
			t.Errorf("not complete %s after the interface was back: %q", waited, programs())
		} else {
			t.Logf("complete %s after the interface was back", time.Since(back).Round(time.Millisecond))
		}
		c.even()
		c.answeredBy(c.Client(), c.Nodes()...)
		enough()
	}, n.Name())
}

// elsewhereAndBack takes the node's interface out of its namespace and back.
func elsewhereAndBack(n *lab.Node) error {
	return n.Host().Run(func() error {
		home, err := netns.Get()
		if err != nil {
			return err
		}
		defer home.Close()
		away, err := netns.New() // and this thread is in it
		if err != nil {
			return err
		}
		defer away.Close()
		if err := netns.Set(home); err != nil {
			return err
		}
		if err := setLink(first, func(l netlink.Link) error { return netlink.LinkSetNsFd(l, int(away)) }); err != nil {
			return err
		}
		if err := netns.Set(away); err != nil {
			return err
		}
		err = setLink(first, func(l netlink.Link) error { return netlink.LinkSetNsFd(l, int(home)) })
		if err := errors.Join(err, netns.Set(home)); err != nil {
			return err
		}
		return setLink(first, netlink.LinkSetUp)
	})
}

// TestAGroupIsJoinedAgain by whose MAC the switch brings the frames.
func TestAGroupIsJoinedAgain(t *testing.T) {
	m := newMachine(t)
	s := m.usual()
	s.mac = "igmp"
	d := m.start(t, s).serving()
	complete := snap(t, m.host)
	c, err := config.Load(m.configure(t, "rota.yaml", s))
	must(t, err)
	group, mac := c.Pools[0].Group(c.Cluster).String(), c.Pools[0].ClusterMAC(c.Cluster).String()
	for _, command := range [][]string{
		{"addr", "del", group + "/32", "dev", first},
		{"maddr", "del", mac, "dev", first},
		{"addr", "flush", "dev", first, "scope", "host"},
	} {
		m.do(t, func() error {
			if out, err := exec.Command("ip", command...).CombinedOutput(); err != nil {
				return fmt.Errorf("ip %v: %w: %s", command, err, out)
			}
			return nil
		})
		if waited, err := waitUntil(2*time.Second, func() bool { return len(snap(t, m.host).changes(complete)) == 0 }); err != nil {
			t.Errorf("%s after ip %v the host has: %v", waited, command, snap(t, m.host).changes(complete))
		}
	}
	m.expectAnswers(t)
	d.stop()
}

// TestAnAddressOfOursElsewhere is told of: rota does not touch what it has not added.
func TestAnAddressOfOursElsewhere(t *testing.T) {
	m := newMachine(t)
	d := m.start(t, m.usual()).serving()
	for _, at := range []string{first, second} {
		m.do(t, func() error { return addAddress(at, "192.0.2.10/24") })
		waitFor(t, "a word about the address on "+at, func() bool {
			return strings.Contains(d.output(), "ip addr del 192.0.2.10/24 dev "+at)
		})
		waitFor(t, "a warning of it", func() bool {
			s := d.status()
			return s != nil && warns(s, api.WarnForeignAddress, "ip addr del 192.0.2.10/24 dev "+at)
		})
	}
	m.expectAnswers(t)
	for _, at := range []string{first, second} {
		m.do(t, func() error { return deleteAddress(at, "192.0.2.10/24") })
	}
	waitFor(t, "no warning any more", func() bool {
		s := d.status()
		return s != nil && !warns(s, api.WarnForeignAddress, "")
	})
	d.stop()
}

// TestNoAddressToSendFrom: without an IPv6 address of its own the kernel has the node send from the
// shared one. The status says so, and how to mend it, for as long as that is so.
func TestNoAddressToSendFrom(t *testing.T) {
	m := newMachine(t)
	d := m.start(t, m.usual()).serving()
	own := m.host.Addresses()[1]
	told := func(word string) func() bool {
		return func() bool {
			s := d.status()
			return s != nil && warns(s, api.WarnSharedSource, word)
		}
	}
	if told("")() {
		t.Errorf("warns of %s beside its own address: %s", lab.Shared6, d.output())
	}
	must(t, m.host.RemoveAddress(own))
	if waited, err := waitUntil(5*time.Second, told("ip addr add ADDRESS/64 dev "+first)); err != nil {
		t.Fatalf("no warning after %s:\n%s", waited, d.output())
	}
	if !strings.Contains(d.output(), "has the shared address "+lab.Shared6.String()) {
		t.Errorf("the log says nothing:\n%s", d.output())
	}
	must(t, m.host.AddAddress(own))
	if waited, err := waitUntil(5*time.Second, func() bool { return !told("")() }); err != nil {
		t.Errorf("the warning is there %s after the address is back", waited)
	}
	d.stop()
}
