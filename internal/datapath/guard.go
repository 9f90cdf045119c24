package datapath

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/rota-cluster/rota/internal/netcfg"
)

// guards keeps the other interfaces of the namespace from binding a shared
// address to their own MAC: Linux answers ARP for an address on every
// interface, not only on the one that has it.
//
// An interface that moves to another network namespace takes a guard by TCX
// with it (one by clsact stays behind, seen on Linux 6.18). Nobody here can reach
// it there; an Attach in that namespace sweeps it away.
type guards struct {
	set ebpf.MapID            // of the programs to attach
	old map[ebpf.MapID]bool   // programs of these sets are to be replaced, ours among them
	on  map[int]*ebpf.Program // what stands on the other interfaces, by index
}

// startGuards puts a guard on every other interface there is. Those that come
// later get theirs by Mend.
func (a *Attachment) startGuards(before []standing) error {
	set, err := setOf(a.programs.Guard)
	if err != nil {
		return err
	}
	a.guards = guards{set: set, old: map[ebpf.MapID]bool{set: true}, on: make(map[int]*ebpf.Program)}
	for _, s := range before {
		a.guards.old[s.set] = true
	}
	return a.guardAll()
}

// guardAll sees to all interfaces. What loopback sends never leaves the host,
// and what has no Ethernet addresses binds nothing to one.
func (a *Attachment) guardAll() error {
	links, err := netcfg.Links()
	if err != nil {
		return err
	}
	there := func(index int) bool {
		return slices.ContainsFunc(links, func(l netcfg.Link) bool { return l.Index == index })
	}
	maps.DeleteFunc(a.guards.on, func(index int, _ *ebpf.Program) bool { return !there(index) })
	a.behind.forget(there)
	var errs []error
	for _, l := range links {
		if l.Index == a.service.Index || l.Loopback || !l.Ethernet {
			continue
		}
		p, second := a.programs.Guard, a.behind.programs.Guard
		if below(a.service, l, links) {
			p, second = a.programs.Announce, a.behind.programs.Announce
		}
		if err := errors.Join(a.guard(l, p), a.standBehindAt(l.Index, second)); err != nil && !gone(l.Index) {
			errs = append(errs, fmt.Errorf("guard %s: %w", l.Name, err))
		}
	}
	return errors.Join(errs...)
}

// below: the service interface sends through l (it is a vlan or macvlan of l, or
// a bridge or bond that l is a port of), at whatever depth. There the service
// interface's own announcements must pass, and what l itself says of a shared
// address must be the same: it gets the announcer, not the guard.
func below(service, l netcfg.Link, links []netcfg.Link) bool {
	if l.Index == service.Index {
		return true
	}
	for _, upper := range links {
		carries := upper.Parent == l.Index || l.Master == upper.Index && upper.Kind != "vrf"
		if carries && upper.Index != l.Index && below(service, upper, links) {
			return true
		}
	}
	return false
}

// guard makes the program stand on another interface, in place of what an
// earlier daemon or another order of interfaces put there.
func (a *Attachment) guard(l netcfg.Link, p *ebpf.Program) error {
	if a.guards.on[l.Index] == p {
		return nil
	}
	present, err := surveyTC(l.Index, atEgress)
	if err != nil {
		return err
	}
	old := slices.DeleteFunc(present, func(s standing) bool { return !a.guards.old[s.set] })
	if err := a.tc.put(l.Index, atEgress, p, old); err != nil {
		return err
	}
	a.guards.on[l.Index] = p
	return nil
}
