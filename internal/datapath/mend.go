package datapath

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/netcfg"
)

// Missing names the programs that somebody has taken off the service interface
// and the others, or nothing if all stand. It costs a few system calls an
// interface: the kernel tells nobody when a TCX program is detached. It does not
// look for interfaces that appeared; Mend does.
func (a *Attachment) Missing() ([]string, error) {
	var missing []string
	want := []struct {
		at place
		p  *ebpf.Program
	}{{atIngress, a.programs.Adopt}, {atEgress, a.programs.Announce}}
	if a.mode == ModeTC {
		want[0].p = a.programs.TC
	}
	for _, w := range want {
		ok, err := a.stands(a.service.Index, w.at, w.p)
		if err != nil {
			return nil, err
		}
		if !ok {
			missing = append(missing, fmt.Sprintf("the program at %s of %s", w.at, a.service.Name))
		}
	}
	if a.mode != ModeTC {
		ok, err := a.standsAtXDP()
		if err != nil {
			return nil, err
		}
		if !ok {
			missing = append(missing, fmt.Sprintf("the program at XDP of %s", a.service.Name))
		}
	}
	for index, p := range a.guards.on {
		ok, err := a.stands(index, atEgress, p)
		ok = ok && (a.tc.clsact || a.behind.egress[index].stands())
		switch {
		case ok:
		case gone(index): // Mend forgets it
		case err != nil:
			return nil, err
		default:
			missing = append(missing, fmt.Sprintf("the guard of %s", nameOf(index)))
		}
	}
	if !a.tc.clsact && !a.behind.egress[a.service.Index].stands() {
		missing = append(missing, fmt.Sprintf("the second program at %s of %s", atEgress, a.service.Name))
	}
	if !a.tc.clsact && a.mode == ModeTC && !a.behind.ingress.stands() {
		missing = append(missing, fmt.Sprintf("the second program at %s of %s", atIngress, a.service.Name))
	}
	slices.Sort(missing)
	return missing, nil
}

// Mend puts back what is missing, in the order of Attach, and guards interfaces
// that appeared. It is Attach once more, upon what still stands.
func (a *Attachment) Mend() error {
	missing, err := a.Missing()
	if err != nil {
		return err
	}
	if len(missing) == 0 {
		return a.guardAll()
	}
	all, err := surveyNamespace()
	if err != nil {
		return err
	}
	// Whose they are cannot be told by the filter here: that may be what is missing.
	ours := slices.DeleteFunc(all, func(s standing) bool { return s.set != a.guards.set })
	return a.install(ours, a.wish)
}

// Covered tells whether every packet for a shared address is still judged, and
// every message about one rewritten, whatever may be missing.
func (a *Attachment) Covered() bool {
	xdp, _ := a.standsAtXDP()
	return (xdp || a.judged()) && a.rewritten()
}

func (a *Attachment) judged() bool {
	if a.behind.ingress.stands() {
		return true
	}
	for _, p := range []*ebpf.Program{a.programs.TC, a.programs.Adopt} {
		if ok, err := a.stands(a.service.Index, atIngress, p); ok && err == nil {
			return true
		}
	}
	return false
}

func (a *Attachment) rewritten() bool {
	if a.behind.egress[a.service.Index].stands() {
		return true
	}
	ok, err := a.stands(a.service.Index, atEgress, a.programs.Announce)
	return ok && err == nil
}

// stands tells whether the program is attached at a place by whoever.
func (a *Attachment) stands(index int, at place, p *ebpf.Program) (bool, error) {
	id, err := a.idOf(p)
	if err != nil {
		return false, err
	}
	if a.tc.clsact {
		all, err := filters(index, at)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			return false, nil // the qdisc is gone
		}
		return slices.ContainsFunc(all, func(f netlink.Filter) bool {
			bpf, ok := f.(*netlink.BpfFilter)
			return ok && ebpf.ProgramID(bpf.Id) == id
		}), err
	}
	result, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: tcxType(at)})
	if err != nil {
		return false, fmt.Errorf("ask for the programs at %s: %w", at, err)
	}
	return slices.ContainsFunc(result.Programs, func(q link.AttachedProgram) bool { return q.ID == id }), nil
}

// idOf asks the kernel once for each program.
func (a *Attachment) idOf(p *ebpf.Program) (ebpf.ProgramID, error) {
	if id, known := a.ids[p]; known {
		return id, nil
	}
	info, err := p.Info()
	if err != nil {
		return 0, err
	}
	id, _ := info.ID()
	if a.ids == nil {
		a.ids = make(map[*ebpf.Program]ebpf.ProgramID)
	}
	a.ids[p] = id
	return id, nil
}

func (a *Attachment) standsAtXDP() (bool, error) {
	found, err := netlink.LinkByIndex(a.service.Index)
	if err != nil {
		return false, fmt.Errorf("ask for the XDP program of %s: %w", a.service.Name, err)
	}
	x := found.Attrs().Xdp
	return a.xdp != 0 && x != nil && x.Attached && ebpf.ProgramID(x.ProgId) == a.xdp, nil
}

func nameOf(index int) string {
	l, err := netcfg.LinkByIndex(index)
	if err != nil {
		return fmt.Sprintf("interface number %d", index)
	}
	return l.Name
}
