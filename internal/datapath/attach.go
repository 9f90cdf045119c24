package datapath

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/netcfg"
)

// Attachment is a Datapath on its service interface. It outlives the process:
// what another Attach finds, it replaces, and Remove takes it away.
type Attachment struct {
	service  netcfg.Link
	wish     config.Datapath
	datapath *Datapath
	programs Programs
	chosen   sync.Mutex // of mode and reason: Mend may change them while others ask
	mode     Mode
	reason   string
	xdp      ebpf.ProgramID // where the filter stands at XDP
	generic  *ebpf.Program  // nil until it is needed: to load it takes long
	tc       tc
	guards   guards
	behind   behind
	ids      map[*ebpf.Program]ebpf.ProgramID // of programs that were looked for
}

// Attach puts the programs on the service interface and the guards on all
// others of this network namespace, in the way that wish asks for, in place of
// whatever an earlier daemon left there.
//
// Call it before the first shared address is added, and after any that these
// programs do not know has been removed. It leaves no moment in which an
// address that was filtered and announced before is not: the new program
// replaces the old in one step, and where the filter moves from one place to
// another, it stands in both meanwhile.
//
// If it fails where nothing had been attached, nothing is.
func (d *Datapath) Attach(link netcfg.Link, wish config.Datapath) (*Attachment, error) {
	return d.attach(link, wish, newTC(link.Index))
}

func (d *Datapath) attach(link netcfg.Link, wish config.Datapath, by tc) (*Attachment, error) {
	all, err := surveyNamespace()
	if err != nil {
		return nil, fmt.Errorf("attach to %s: %w", link.Name, err)
	}
	before := ownedBy(link.Index, all)
	a := &Attachment{service: link, wish: wish, datapath: d, programs: d.Programs(), tc: by}
	if err := a.install(before, wish); err != nil {
		err = errors.Join(fmt.Errorf("attach to %s: %w", link.Name, err), a.Close())
		if len(before) == 0 {
			err = errors.Join(err, Remove(link))
		}
		return nil, err
	}
	return a, nil
}

// install begins with the filter at tc, whatever the mode: by it the others are
// known to belong here, and it stands there while XDP changes.
func (a *Attachment) install(before []standing, wish config.Datapath) error {
	index := a.service.Index
	if err := a.prepareBehind(); err != nil {
		return err
	}
	here := on(index, before)
	if err := a.tc.put(index, atIngress, a.programs.TC, named(here, atIngress, NameTC, NameAdopt)); err != nil {
		return err
	}
	if err := a.tc.put(index, atEgress, a.programs.Announce, named(here, atEgress, NameAnnounce)); err != nil {
		return err
	}
	if err := a.startGuards(before); err != nil {
		return err
	}
	_, foreign, err := surveyXDP(index)
	if err != nil {
		return err
	}
	if err := a.tryModes(choose(wish, a.service, foreign)); err != nil {
		return err
	}
	if err := a.standBehind(); err != nil {
		return err
	}
	return sweep(index, a.guards.set)
}

// tryModes takes the first mode that works.
func (a *Attachment) tryModes(choices []choice) error {
	var failed error
	for _, c := range choices {
		err := a.enter(c.mode)
		if err == nil {
			a.chosen.Lock()
			defer a.chosen.Unlock()
			a.mode, a.reason = c.mode, c.reason
			if failed != nil {
				a.reason += ": " + failed.Error()
			}
			return nil
		}
		failed = err
	}
	return failed
}

// enter changes to the mode; tc ingress has the filter.
func (a *Attachment) enter(mode Mode) error {
	at, foreign, err := surveyXDP(a.service.Index)
	if err != nil {
		return err
	}
	if mode == ModeTC {
		a.xdp = 0
		return detachAll(at)
	}
	if err := a.behind.leaveIngress(); err != nil { // the same program is to stand there for good
		return err
	}
	if foreign != "" {
		return fmt.Errorf("%s XDP: %s stands at XDP; take it off or use datapath: tc", mode, foreign)
	}
	var old *standing
	for _, s := range at {
		if s.mode == mode {
			old = &s
			continue
		}
		// Native and generic exclude each other.
		if err := detach(s); err != nil {
			return err
		}
	}
	filter := a.programs.XDP
	if mode == ModeGeneric {
		if a.generic == nil {
			if a.generic, err = a.datapath.genericFilter(); err != nil {
				return err
			}
		}
		filter = a.generic
	}
	if err := attachXDP(a.service, filter, mode, old); err != nil {
		return err
	}
	info, err := filter.Info()
	if err != nil {
		return err
	}
	a.xdp, _ = info.ID()
	now, err := surveyTC(a.service.Index, atIngress)
	if err != nil {
		return err
	}
	return a.tc.put(a.service.Index, atIngress, a.programs.Adopt, named(now, atIngress, NameTC, NameAdopt))
}

// Mode is where the filter stands.
func (a *Attachment) Mode() Mode {
	a.chosen.Lock()
	defer a.chosen.Unlock()
	return a.mode
}

// Reason says why the filter stands where it does, for people.
func (a *Attachment) Reason() string {
	a.chosen.Lock()
	defer a.chosen.Unlock()
	return a.reason
}

// Close lets go of what the attachment holds in this process. What is attached
// stays attached, but for what stands behind.
func (a *Attachment) Close() error {
	err := a.behind.close()
	if a.generic != nil {
		err = errors.Join(err, a.generic.Close())
		a.generic = nil
	}
	return err
}
