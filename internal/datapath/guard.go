package datapath

import (
	"context"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/rota-cluster/rota/internal/netcfg"
)

// guards keeps the other interfaces of the namespace silent about the shared
// addresses: Linux answers ARP for an address on every interface, not only on
// the one that has it.
type guards struct {
	watcher *netcfg.Watcher
	sets    map[ebpf.MapID]bool // guards of these are to be replaced
	on      map[int]bool        // interfaces with our guard, by index
}

func (g *guards) close() error {
	if g.watcher == nil {
		return nil
	}
	err := g.watcher.Close()
	g.watcher = nil
	return err
}

// startGuards puts a guard on every other interface there is. It listens for
// new ones before it looks, so that none falls in between; Run heeds them.
func (a *Attachment) startGuards(before []standing) error {
	a.guards = guards{sets: make(map[ebpf.MapID]bool), on: make(map[int]bool)}
	for _, s := range before {
		if s.name != NameGuard { // that is the guard of another interface's daemon
			a.guards.sets[s.set] = true
		}
	}
	set, err := setOf(a.programs.Guard)
	if err != nil {
		return err
	}
	a.guards.sets[set] = true
	if a.guards.watcher, err = netcfg.NewWatcher(); err != nil {
		return err
	}
	return a.guardAll()
}

func (a *Attachment) guardAll() error {
	links, err := netcfg.Links()
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range links {
		errs = append(errs, a.guard(l))
	}
	return errors.Join(errs...)
}

// guard puts the guard on one interface, if it needs one and has none. What
// loopback sends never leaves the host, and what has no Ethernet addresses
// binds nothing to one.
func (a *Attachment) guard(l netcfg.Link) error {
	if l.Index == a.service.Index || l.Loopback || !l.Ethernet || a.guards.on[l.Index] {
		return nil
	}
	present, err := surveyTC(l.Index, atEgress)
	if err == nil {
		var old []standing
		for _, s := range named(present, atEgress, NameGuard) {
			if a.guards.sets[s.set] {
				old = append(old, s)
			}
		}
		err = a.tc.put(l.Index, atEgress, a.programs.Guard, old)
	}
	if err != nil {
		if gone(l.Index) {
			return nil
		}
		return fmt.Errorf("guard %s: %w", l.Name, err)
	}
	a.guards.on[l.Index] = true
	return nil
}

// Run puts a guard on every interface that appears, until ctx is done. It
// reports what fails and goes on. Call it from one goroutine only, in the
// network namespace of the interface.
func (a *Attachment) Run(ctx context.Context, report func(error)) error {
	return a.guards.watcher.Run(ctx, func(c netcfg.Change) {
		if err := a.heed(c); err != nil {
			report(err)
		}
	})
}

func (a *Attachment) heed(c netcfg.Change) error {
	switch c.Kind {
	case netcfg.LinkGone:
		delete(a.guards.on, c.Index)
	case netcfg.LinkChanged:
		if a.guards.on[c.Index] || c.Index == a.service.Index {
			return nil
		}
		l, err := netcfg.LinkByIndex(c.Index)
		if errors.Is(err, netcfg.ErrNoInterface) {
			return nil
		}
		if err != nil {
			return err
		}
		return a.guard(l)
	case netcfg.Missed:
		clear(a.guards.on) // an interface may have gone and its number come again
		return a.guardAll()
	}
	return nil
}
