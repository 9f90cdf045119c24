// Package netnstest gives tests network namespaces with veth pairs between
// them, and looks at the frames on the wire. It is for tests alone.
//
// Its one invariant: a namespace has no name and lives no longer than the test
// process, so a crash of a test leaves nothing behind.
package netnstest

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Space is one network namespace.
type Space struct {
	t      testing.TB
	handle netns.NsHandle
}

// New makes a namespace with its loopback up.
func New(t testing.TB) *Space {
	t.Helper()
	s := &Space{t: t}
	made := make(chan error, 1)
	go func() {
		// The thread ends with the goroutine: it is never unlocked.
		runtime.LockOSThread()
		var err error
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			s.handle, err = netns.Get()
		}
		made <- err
	}()
	if err := <-made; err != nil {
		t.Fatalf("this test makes network namespaces and needs root: %v", err)
	}
	t.Cleanup(func() { _ = s.handle.Close() })
	// Without probes an address is usable at once; tests of detection set them.
	s.Sysctl("net/ipv6/conf/default/dad_transmits", "0")
	s.Up("lo")
	return s
}

// Current is the namespace that the process is in: for one that Start started.
func Current(t testing.TB) *Space {
	t.Helper()
	s := &Space{t: t}
	var err error
	if s.handle, err = netns.Get(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.handle.Close() })
	return s
}

// Do runs f on a thread inside the namespace and waits for it. Sockets that f
// opens stay in the namespace; goroutines that f starts are not in it.
func (s *Space) Do(f func() error) {
	s.t.Helper()
	if err := s.Try(f); err != nil {
		s.t.Fatal(err)
	}
}

// Try is Do that returns the error.
func (s *Space) Try(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(s.handle); err != nil {
			done <- fmt.Errorf("enter namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// Go runs f on a thread inside the namespace and does not wait. The test ends
// only when f has: make it end in a cleanup registered later than this call.
func (s *Space) Go(f func() error) {
	done := make(chan error, 1)
	go func() { done <- s.Try(f) }()
	s.t.Cleanup(func() {
		select {
		case err := <-done:
			if err != nil {
				s.t.Error(err)
			}
		case <-time.After(Patience):
			s.t.Error("what was started in a namespace did not end")
		}
	})
}

// Start starts a process inside the namespace and kills it when the test ends.
func (s *Space) Start(cmd *exec.Cmd) {
	s.t.Helper()
	s.Do(cmd.Start)
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// Veth joins two namespaces (or one with itself) by a pair of interfaces, both up.
func Veth(a *Space, nameA string, b *Space, nameB string) {
	a.t.Helper()
	a.Do(func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: nameA}, PeerName: nameB, PeerNamespace: netlink.NsFd(b.handle),
		})
	})
	a.Up(nameA)
	b.Up(nameB)
}

// Up sets the interface up.
func (s *Space) Up(name string) {
	s.t.Helper()
	s.link(name, netlink.LinkSetUp)
}

// Down sets the interface down.
func (s *Space) Down(name string) {
	s.t.Helper()
	s.link(name, netlink.LinkSetDown)
}

// Delete removes the interface.
func (s *Space) Delete(name string) {
	s.t.Helper()
	s.link(name, netlink.LinkDel)
}

func (s *Space) link(name string, f func(netlink.Link) error) {
	s.t.Helper()
	s.Do(func() error {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return f(l)
	})
}

// AddAddress gives the interface an ordinary address, "192.0.2.1/24", at once
// usable: without duplicate address detection.
func (s *Space) AddAddress(name, prefix string) {
	s.t.Helper()
	s.link(name, func(l netlink.Link) error {
		a, err := netlink.ParseAddr(prefix)
		if err != nil {
			return err
		}
		if a.IP.To4() == nil {
			a.Flags = unix.IFA_F_NODAD
		}
		return netlink.AddrAdd(l, a)
	})
}

// DeleteAddress takes such an address away.
func (s *Space) DeleteAddress(name, prefix string) {
	s.t.Helper()
	s.link(name, func(l netlink.Link) error {
		a, err := netlink.ParseAddr(prefix)
		if err != nil {
			return err
		}
		return netlink.AddrDel(l, a)
	})
}

// Route adds a route; via may be the zero Addr for one that is on the link.
func (s *Space) Route(name, to string, via netip.Addr) {
	s.t.Helper()
	s.link(name, func(l netlink.Link) error {
		dst, err := netlink.ParseIPNet(to)
		if err != nil {
			return err
		}
		r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: dst}
		if via.IsValid() {
			r.Gw = via.AsSlice()
		}
		return netlink.RouteAdd(r)
	})
}

// Neighbour pins the link-layer address of a neighbour.
func (s *Space) Neighbour(name string, a netip.Addr, mac net.HardwareAddr) {
	s.t.Helper()
	s.link(name, func(l netlink.Link) error {
		return netlink.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, IP: a.AsSlice(), HardwareAddr: mac, State: netlink.NUD_PERMANENT})
	})
}

// ForgetNeighbours empties the neighbour table of the interface.
func (s *Space) ForgetNeighbours(name string) {
	s.t.Helper()
	s.link(name, func(l netlink.Link) error {
		all, err := netlink.NeighList(l.Attrs().Index, netlink.FAMILY_ALL)
		if err != nil {
			return err
		}
		for _, n := range all {
			if n.State != netlink.NUD_NOARP && (n.Family == unix.AF_INET || n.Family == unix.AF_INET6) {
				_ = netlink.NeighDel(&n) // it may have gone by itself
			}
		}
		return nil
	})
}

// Sysctl sets a value under /proc/sys, which shows the thread's own namespace.
func (s *Space) Sysctl(path, value string) {
	s.t.Helper()
	s.Do(func() error { return os.WriteFile("/proc/sys/"+path, []byte(value), 0) })
}

// Firewall loads nft rules.
func (s *Space) Firewall(rules string) {
	s.t.Helper()
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	s.Do(func() error {
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("nft (package nftables): %w: %s", err, out)
		}
		return nil
	})
}

// Patience is how long the helpers here wait for what must come.
const Patience = 10 * time.Second

// Until waits until the condition holds.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain until %s", Patience, what)
		}
		time.Sleep(2 * time.Millisecond) // between two looks at the condition
	}
}
