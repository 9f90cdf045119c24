package datapath

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"

	"github.com/rota-cluster/rota/internal/netcfg"
)

// place is one of the three places on an interface where rota's programs stand.
type place uint8

const (
	atXDP place = iota
	atIngress
	atEgress
)

func (p place) String() string { return [...]string{"XDP", "tc ingress", "tc egress"}[p] }

// standing is one of rota's programs on an interface, whoever attached it.
type standing struct {
	index   int // of the interface
	place   place
	name    string // one of Name…
	program ebpf.ProgramID
	set     ebpf.MapID         // the configuration that it shares with the others of its Load
	maps    []ebpf.MapID       // all that it uses
	mode    Mode               // at XDP: ModeNative or ModeGeneric
	filter  *netlink.BpfFilter // by clsact; nil: by TCX, or at XDP
}

// open gets hold of the program, to replace or detach it.
func (s standing) open() (*ebpf.Program, error) {
	p, err := ebpf.NewProgramFromID(s.program)
	if err != nil {
		return nil, fmt.Errorf("open program %s (%d): %w", s.name, s.program, err)
	}
	return p, nil
}

// survey finds rota's programs on one interface. foreign describes an XDP
// program that is not rota's; what else stands at tc is nobody's concern here.
func survey(index int) (found []standing, foreign string, err error) {
	at, foreign, err := surveyXDP(index)
	if err != nil {
		return nil, "", err
	}
	found = append(found, at...)
	for _, p := range []place{atIngress, atEgress} {
		at, err := surveyTC(index, p)
		if err != nil {
			return nil, "", err
		}
		found = append(found, at...)
	}
	return found, foreign, nil
}

// surveyNamespace finds rota's programs on all interfaces of this network namespace.
func surveyNamespace() ([]standing, error) {
	links, err := netcfg.Links()
	if err != nil {
		return nil, err
	}
	var all []standing
	for _, l := range links {
		found, _, err := survey(l.Index)
		if gone(l.Index) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for programs on %s: %w", l.Name, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

// gone: interfaces go at any moment, and then every question about them fails.
func gone(index int) bool {
	_, err := netcfg.LinkByIndex(index)
	return errors.Is(err, netcfg.ErrNoInterface)
}

// recognise tells whether a program is rota's: by its name, and by the
// configuration that only rota's have. ok is false also if it is gone by now.
func recognise(id ebpf.ProgramID) (s standing, ok bool, err error) {
	p, err := ebpf.NewProgramFromID(id)
	if errors.Is(err, os.ErrNotExist) {
		return s, false, nil
	}
	if err != nil {
		return s, false, fmt.Errorf("open program %d (needs root): %w", id, err)
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return s, false, fmt.Errorf("ask about program %d: %w", id, err)
	}
	s = standing{name: info.Name, program: id}
	if !slices.Contains([]string{NameXDP, NameTC, NameAdopt, NameAnnounce, NameGuard}, info.Name) {
		return s, false, nil
	}
	s.maps, _ = info.MapIDs()
	s.set, err = configurationOf(s.maps)
	return s, s.set != 0 && err == nil, err
}

// configurationOf finds the map that all programs of one Load share, and no others: that of
// their pools; that of what is fixed, for programs of an ABI that knew no other.
func configurationOf(maps []ebpf.MapID) (ebpf.MapID, error) {
	var fixed ebpf.MapID
	for _, id := range maps {
		m, err := ebpf.NewMapFromID(id)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("open map %d: %w", id, err)
		}
		info, err := m.Info()
		_ = m.Close()
		switch {
		case err != nil:
			return 0, fmt.Errorf("ask about map %d: %w", id, err)
		case info.Name == liveMap:
			return id, nil
		case info.Name == configMap:
			fixed = id
		}
	}
	return fixed, nil
}

const configMap = ".rodata.config"

// describeProgram is for messages about a program that is not rota's.
func describeProgram(id ebpf.ProgramID) string {
	name := ""
	if p, err := ebpf.NewProgramFromID(id); err == nil {
		if info, err := p.Info(); err == nil && info.Name != "" {
			name = fmt.Sprintf(" %q", info.Name)
		}
		_ = p.Close()
	}
	return fmt.Sprintf("a program%s (number %d) that is not rota's", name, id)
}

// surveyTC finds rota's programs at one of the two tc places.
func surveyTC(index int, at place) ([]standing, error) {
	found, err := surveyTCX(index, at)
	if err != nil {
		return nil, err
	}
	more, err := surveyClsact(index, at)
	return append(found, more...), err
}
