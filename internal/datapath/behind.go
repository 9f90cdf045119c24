package datapath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// behind are programs that stand behind the attached ones on the service
// interface and judge again what these have passed, by TCX links: the kernel
// lets nobody take one off by its place or program, as others may do with those
// that outlive this process (bpf_mprog_pos_exact, kernel/bpf/mprog.c). So no
// packet is accepted unfiltered, and no message announces another MAC, while
// somebody has taken the first ones off and Mend has not yet put them back.
//
// They end with this process. A kernel without TCX has none.
type behind struct {
	announce *ebpf.Program // the announcer once more, counting for itself
	egress   link.Link
	ingress  link.Link // only where no XDP program stands in front of the one at tc
}

// standBehind puts them there, as the mode wants them.
func (a *Attachment) standBehind() error {
	if a.tc.clsact {
		return nil
	}
	var err error
	if a.behind.announce == nil {
		if a.behind.announce, err = a.datapath.secondAnnouncer(); err != nil {
			return err
		}
	}
	if err := keepLink(&a.behind.egress, a.service.Index, atEgress, a.behind.announce); err != nil {
		return err
	}
	if a.mode != ModeTC {
		return a.behind.leaveIngress()
	}
	return keepLink(&a.behind.ingress, a.service.Index, atIngress, a.programs.Adopt)
}

// keepLink makes the program stand last at a place by a link, if it does not yet.
func keepLink(l *link.Link, index int, at place, p *ebpf.Program) error {
	if *l != nil && linked(*l) {
		return nil
	}
	if *l != nil {
		_ = (*l).Close() // somebody has detached it: there is nothing left to lose
		*l = nil
	}
	made, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: p, Attach: tcxType(at), Anchor: link.Tail()})
	if err != nil {
		return fmt.Errorf("attach a second program at %s: %w", at, err)
	}
	*l = made
	return nil
}

// linked tells whether the link is attached still: one that was detached is of no interface.
func linked(l link.Link) bool {
	info, err := l.Info()
	if err != nil {
		return false
	}
	tcx := info.TCX()
	return tcx != nil && tcx.Ifindex != 0
}

func (b *behind) leaveIngress() error {
	if b.ingress == nil {
		return nil
	}
	err := b.ingress.Close()
	b.ingress = nil
	return err
}

func (b *behind) close() error {
	errs := []error{b.leaveIngress()}
	if b.egress != nil {
		errs = append(errs, b.egress.Close())
	}
	if b.announce != nil {
		errs = append(errs, b.announce.Close())
	}
	*b = behind{}
	return errors.Join(errs...)
}

// secondAnnouncer loads the announcer once more, upon the same maps but for
// the counters: what both see is counted once.
func (d *Datapath) secondAnnouncer() (*ebpf.Program, error) {
	var second struct {
		Announce *ebpf.Program `ebpf:"rota_announce"`
	}
	err := d.loadAgain(&second, func(spec *ebpf.CollectionSpec, maps map[string]*ebpf.Map) {
		if m := maps[rotaMapRotaVerdicts]; m != nil {
			delete(maps, rotaMapRotaVerdicts)
			_ = m.Close() // a reference of its own
		}
	})
	return second.Announce, err
}
