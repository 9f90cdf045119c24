package datapath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// behind are programs that stand behind the attached ones and judge again what
// these have passed, by TCX links: the kernel lets nobody take one off by its place or program, as others may do with those
// that outlive this process (bpf_mprog_pos_exact, kernel/bpf/mprog.c). So no
// packet is accepted unfiltered, and no message announces another MAC, while
// somebody has taken the first ones off and Mend has not yet put them back.
//
// They end with this process. A kernel without TCX has none.
type behind struct {
	programs second
	ingress  stand         // of the service interface, where no XDP program stands in front of the one at tc
	egress   map[int]stand // of all interfaces, by index
}

// second are the programs at egress once more, counting for themselves: what
// both see is counted once.
type second struct {
	Announce *ebpf.Program `ebpf:"rota_announce"`
	Guard    *ebpf.Program `ebpf:"rota_guard"`
}

// stand is a program that stands by a link.
type stand struct {
	link.Link
	program *ebpf.Program
}

// prepareBehind loads them.
func (a *Attachment) prepareBehind() error {
	if a.tc.clsact || a.behind.programs.Guard != nil {
		return nil
	}
	a.behind.egress = make(map[int]stand)
	return a.datapath.loadAgain(&a.behind.programs, func(spec *ebpf.CollectionSpec, maps map[string]*ebpf.Map) {
		if m := maps[rotaMapRotaVerdicts]; m != nil {
			delete(maps, rotaMapRotaVerdicts)
			_ = m.Close() // a reference of its own
		}
	})
}

// standBehind puts those of the service interface there, as the mode wants them.
func (a *Attachment) standBehind() error {
	if a.tc.clsact {
		return nil
	}
	if err := a.standBehindAt(a.service.Index, a.behind.programs.Announce); err != nil {
		return err
	}
	if a.mode != ModeTC {
		return a.behind.leaveIngress()
	}
	var err error
	a.behind.ingress, err = a.behind.ingress.keep(a.service.Index, atIngress, a.programs.Adopt)
	return err
}

// standBehindAt puts one behind what stands at egress of any interface.
func (a *Attachment) standBehindAt(index int, p *ebpf.Program) error {
	if a.tc.clsact {
		return nil
	}
	s, err := a.behind.egress[index].keep(index, atEgress, p)
	if a.behind.egress[index] = s; err != nil || s.Link == nil {
		delete(a.behind.egress, index)
	}
	return err
}

// keep makes the program stand last at a place by a link, if it does not yet.
func (s stand) keep(index int, at place, p *ebpf.Program) (stand, error) {
	if s.stands() && s.program == p {
		return s, nil
	}
	// Another one is to stand there, or somebody has detached it: there is nothing left to lose.
	_ = s.leave()
	l, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: p, Attach: tcxType(at), Anchor: link.Tail()})
	if err != nil {
		return stand{}, fmt.Errorf("attach a second program at %s: %w", at, err)
	}
	return stand{l, p}, nil
}

// stands tells whether the link is attached still: one that was detached is of no interface.
func (s stand) stands() bool {
	if s.Link == nil {
		return false
	}
	info, err := s.Info()
	if err != nil {
		return false
	}
	tcx := info.TCX()
	return tcx != nil && tcx.Ifindex != 0
}

func (s stand) leave() error {
	if s.Link == nil {
		return nil
	}
	return s.Close()
}

func (b *behind) leaveIngress() error {
	err := b.ingress.leave()
	b.ingress = stand{}
	return err
}

// forget lets go of those on interfaces that have gone.
func (b *behind) forget(there func(index int) bool) {
	for index, s := range b.egress {
		if !there(index) {
			_ = s.leave() // it stands nowhere
			delete(b.egress, index)
		}
	}
}

func (b *behind) close() error {
	errs := []error{b.leaveIngress()}
	for _, s := range b.egress {
		errs = append(errs, s.leave())
	}
	for _, p := range []*ebpf.Program{b.programs.Announce, b.programs.Guard} {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	*b = behind{}
	return errors.Join(errs...)
}
