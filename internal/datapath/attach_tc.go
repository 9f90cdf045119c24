package datapath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// tc is how programs are attached at tc ingress and egress.
type tc struct {
	clsact bool // not by TCX, also where the kernel has it
}

// newTC finds out which of the two ways this kernel has: TCX since Linux 6.6,
// the clsact qdisc before.
func newTC(index int) tc {
	_, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: ebpf.AttachTCXIngress})
	return tc{clsact: err != nil}
}

// put makes the program stand at a place, in front of everybody else's:
// another's verdict could end the run before it. old are rota's own programs in
// the role there; one is replaced in one step, and when put returns the others
// are gone.
func (t tc) put(index int, at place, p *ebpf.Program, old []standing) error {
	info, err := p.Info()
	if err != nil {
		return err
	}
	id, _ := info.ID()
	done := false
	var surplus []standing
	for _, s := range old {
		switch {
		case s.program == id && (s.filter != nil) == t.clsact && !done:
			done = true
		case (s.filter != nil) != t.clsact || done || s.program == id:
			surplus = append(surplus, s)
		default:
			err := t.replace(s, p, info.Name)
			if err != nil && !errors.Is(err, unix.ENOENT) { // detached by somebody meanwhile
				return err
			}
			done = err == nil
		}
	}
	if !done {
		if err := t.add(index, at, p, info.Name); err != nil {
			return err
		}
	}
	for _, s := range surplus {
		if err := detach(s); err != nil {
			return err
		}
	}
	return nil
}

func (t tc) add(index int, at place, p *ebpf.Program, name string) error {
	if t.clsact {
		return addClsact(index, at, p, name)
	}
	err := link.RawAttachProgram(link.RawAttachProgramOptions{
		Target: index, Program: p, Attach: tcxType(at), Anchor: link.Head(),
	})
	if err != nil {
		return fmt.Errorf("attach %s at %s: %w", name, at, err)
	}
	return nil
}

func (t tc) replace(s standing, p *ebpf.Program, name string) error {
	if s.filter != nil {
		return replaceClsact(s, p, name)
	}
	old, err := s.open()
	if err != nil {
		return err
	}
	defer old.Close()
	err = link.RawAttachProgram(link.RawAttachProgramOptions{
		Target: s.index, Program: p, Attach: tcxType(s.place), Anchor: link.ReplaceProgram(old),
	})
	if err != nil {
		return fmt.Errorf("replace %s at %s: %w", s.name, s.place, err)
	}
	return nil
}

// detach takes one of rota's programs away, wherever it stands. One that is
// gone already is no error.
func detach(s standing) error {
	err := detachFrom(s)
	if err != nil && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV)) {
		return nil
	}
	return err
}

func detachFrom(s standing) error {
	switch {
	case s.place == atXDP:
		return detachXDP(s)
	case s.filter != nil:
		return detachClsact(s)
	}
	p, err := s.open()
	if err != nil {
		return err
	}
	defer p.Close()
	err = link.RawDetachProgram(link.RawDetachProgramOptions{Target: s.index, Program: p, Attach: tcxType(s.place)})
	if err != nil {
		return fmt.Errorf("detach %s from %s: %w", s.name, s.place, err)
	}
	return nil
}

func tcxType(at place) ebpf.AttachType {
	if at == atEgress {
		return ebpf.AttachTCXEgress
	}
	return ebpf.AttachTCXIngress
}

// surveyTCX finds rota's programs that were attached by program. One that
// somebody attached by a link is not rota's doing.
func surveyTCX(index int, at place) ([]standing, error) {
	result, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: tcxType(at)})
	if errors.Is(err, unix.EINVAL) || errors.Is(err, ebpf.ErrNotSupported) {
		return nil, nil // a kernel without TCX
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the programs at %s (needs root): %w", at, err)
	}
	var found []standing
	for _, a := range result.Programs {
		if _, byLink := a.LinkID(); byLink {
			continue
		}
		s, ok, err := recognise(a.ID)
		if err != nil {
			return nil, err
		}
		if ok {
			s.index, s.place = index, at
			found = append(found, s)
		}
	}
	return found, nil
}
