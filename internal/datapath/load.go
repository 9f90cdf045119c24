package datapath

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/rlimit"

	"github.com/rota-cluster/rota/internal/netcfg"
)

// xdpHasFrags is BPF_F_XDP_HAS_FRAGS of include/uapi/linux/bpf.h: the program
// copes with frames of several buffers (jumbo frames, and generic XDP without
// a copy of each frame).
const xdpHasFrags = 1 << 5

// fragmentsPerCPU is the least room for datagrams whose fragments are remembered.
const fragmentsPerCPU = 512

// Datapath is a loaded set of programs and the memory that it shares with
// them. Its methods may be called by several goroutines.
type Datapath struct {
	arranged atomic.Pointer[arranged]
	programs rotaPrograms
	maps     rotaMaps

	conntrack bool  // the programs ask it
	refused   error // why the kernel did not let them

	// Two locks, so that no table that waits holds up the end of a lease. Both
	// are held to change control, which is nil once closed, and memory.
	tableLock  sync.Mutex
	leaseLock  sync.Mutex
	control    *control      // .data.control
	live       *live         // .data.live; under tableLock
	retired    generations   // by version: when it was last in force; under tableLock
	memory     []mapping     // all to unmap
	tables     mapping       // rota_tables; under tableLock
	syns       []kernelSyns  // rota_syns, by CPU; under leaseLock
	marks      *marks        // .bss; under leaseLock
	generation []generations // by pool; under tableLock
	clock      clock         // under leaseLock
}

// Programs are the programs to attach. They belong to the Datapath: Close
// closes them, and what is attached goes on without it.
type Programs struct {
	XDP      *ebpf.Program // rota_xdp: the filter, XDP
	TC       *ebpf.Program // rota_tc: filter and adopter, tc ingress
	Adopt    *ebpf.Program // rota_adopt: the same again behind XDP, tc ingress
	Announce *ebpf.Program // rota_announce: tc egress of the service interface
	Guard    *ebpf.Program // rota_guard: tc egress of every other interface
	Replay   *ebpf.Program // rota_replay: attached nowhere
}

// Names of the programs in the kernel.
const (
	NameXDP      = rotaProgRotaXdp
	NameTC       = rotaProgRotaTc
	NameAdopt    = rotaProgRotaAdopt
	NameAnnounce = rotaProgRotaAnnounce
	NameGuard    = rotaProgRotaGuard
)

// Load brings new programs and maps into the kernel, attached nowhere, with
// no lease and every bucket foreign. It needs root (CAP_BPF, CAP_NET_ADMIN,
// CAP_PERFMON) and Linux 5.15.
func Load(o Options) (*Datapath, error) {
	return load(o, nil, describeKernel())
}

// load uses the maps given in place of new ones.
func load(o Options, existing map[string]*ebpf.Map, k kernel) (*Datapath, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("raise the limit of locked memory: %w", err)
	}
	room := roomFor(o.Pools)
	if tables := existing[rotaMapRotaTables]; tables != nil {
		room = tables.MaxEntries() / tableGenerations
	}
	objects, err := assign(o, room, existing, k)
	if err != nil {
		return nil, err
	}
	d := &Datapath{
		programs:   objects.rotaPrograms,
		maps:       objects.rotaMaps,
		generation: make([]generations, len(o.Pools)),
		refused:    objects.refused,
	}
	err = d.prepare(objects)
	if err == nil {
		err = d.arrange(o, existing == nil, room)
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// assign loads the programs; if the kernel refuses them so, without what asks its
// connection tracking, which kernels have let programs do in different ways.
func assign(o Options, room uint32, existing map[string]*ebpf.Map, k kernel) (*loaded, error) {
	spec, err := buildSpec(o, room, k)
	if err != nil {
		return nil, err
	}
	objects := &loaded{refused: k.refused}
	err = spec.LoadAndAssign(objects, &ebpf.CollectionOptions{MapReplacements: existing, Cache: k.types})
	if err == nil {
		return objects, nil
	}
	if k.conntrack != (conntrackLayout{}) {
		k.conntrack, k.refused = conntrackLayout{}, err
		return assign(o, room, existing, k)
	}
	return nil, explainLoad(err)
}

// arrange finds the pools' places: new ones, or those that they have in the maps.
func (d *Datapath) arrange(o Options, fresh bool, room uint32) (err error) {
	now := &arranged{options: o}
	if !fresh {
		now.layout, err = d.adopted(o)
		for i := range d.generation {
			d.generation[i].retireAll(Now())
		}
		d.retired.retireAll(Now())
		d.arranged.Store(now)
		return err
	}
	if now.layout, err = layOut(o.Pools, room, nil); err != nil {
		return err
	}
	a, err := newKernelArrangement(o, now.layout)
	if err != nil {
		return err
	}
	for _, l := range now.layout {
		d.control.table[l.place].Store(l.offset(0))
	}
	d.switchTo(a)
	d.arranged.Store(now)
	return nil
}

// prepare gets hold of the memory and the clock.
func (d *Datapath) prepare(objects *loaded) error {
	defer objects.Control.Close()
	defer objects.Live.Close()
	defer objects.Config.Close()
	defer objects.Marks.Close()
	config, err := configOf(objects.Config)
	if err != nil {
		return err
	}
	d.conntrack = config.Conntrack != conntrackLayout{}
	memory, err := mapMap(objects.Control)
	if err != nil {
		return err
	}
	d.memory = append(d.memory, memory)
	if d.tables, err = mapMap(d.maps.RotaTables); err != nil {
		return err
	}
	d.memory = append(d.memory, d.tables)
	if d.control, err = as[control](memory); err != nil {
		return err
	}
	if memory, err = mapMap(objects.Live); err != nil {
		return err
	}
	d.memory = append(d.memory, memory)
	if d.live, err = as[live](memory); err != nil {
		return err
	}
	if memory, err = mapMap(d.maps.RotaSyns); err != nil {
		return err
	}
	d.memory = append(d.memory, memory)
	d.syns = synsIn(memory, d.maps.RotaSyns.MaxEntries())
	if memory, err = mapMap(objects.Marks); err != nil {
		return err
	}
	d.memory = append(d.memory, memory)
	if d.marks, err = as[marks](memory); err != nil {
		return err
	}
	d.clock, err = newClock(d.programs.RotaClock)
	return err
}

// loaded is what Load needs beyond what bpf2go collects.
type loaded struct {
	rotaObjects
	Control *ebpf.Map `ebpf:".data.control"`
	Live    *ebpf.Map `ebpf:".data.live"`
	Marks   *ebpf.Map `ebpf:".bss"`
	Config  *ebpf.Map `ebpf:".rodata.config"` // new, or of the programs whose maps these are
	refused error
}

// buildSpec fits the compiled programs to the options and to this kernel.
func buildSpec(o Options, room uint32, k kernel) (*ebpf.CollectionSpec, error) {
	spec, err := loadRota()
	if err != nil {
		return nil, fmt.Errorf("read the compiled programs: %w", err)
	}
	config := newKernelConfig(o)
	if multiBuffer() {
		config.MultiBuffer = 1
		spec.Programs[NameXDP].Flags |= xdpHasFrags
	}
	config.RequestISN, config.Conntrack = k.requestISN, k.conntrack
	if err := spec.Variables[rotaVarConfig].Set(config); err != nil {
		return nil, fmt.Errorf("write the programs' configuration: %w", err)
	}
	spec.Maps[rotaMapRotaTables].MaxEntries = room * tableGenerations
	spec.Maps[rotaMapRotaBuckets].MaxEntries = room * tableLine
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("count the CPUs: %w", err)
	}
	spec.Maps[rotaMapRotaSyns].MaxEntries = uint32(cpus)
	// Each CPU sets some aside (kernel/bpf/bpf_lru_list.c).
	fragments := spec.Maps[rotaMapRotaFragments]
	fragments.MaxEntries = max(fragments.MaxEntries, uint32(cpus)*fragmentsPerCPU)
	return spec, nil
}

// multiBuffer: the kernel has XDP frames of several buffers, reads from them and,
// which came with it, gives itself frames (all Linux 5.18).
func multiBuffer() bool { return features.HaveProgramHelper(ebpf.XDP, asm.FnXdpLoadBytes) == nil }

// explainLoad says why the kernel refuses the programs.
func explainLoad(err error) error { return explainRefusal(err, netcfg.KernelBefore(5, 15)) }

func explainRefusal(err error, old bool) error {
	var refused *ebpf.VerifierError
	switch {
	case old:
		return fmt.Errorf("load the BPF programs: this kernel is too old, rota needs Linux 5.15 or newer: %w", err)
	case errors.As(err, &refused):
		return fmt.Errorf("load the BPF programs: this kernel's verifier refuses them: %w", err)
	case errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("load the BPF programs: this kernel was built without what they need: %w", err)
	default:
		return fmt.Errorf("load the BPF programs: %w", err)
	}
}

// Programs are valid until Close.
func (d *Datapath) Programs() Programs {
	return Programs{
		XDP:      d.programs.RotaXdp,
		TC:       d.programs.RotaTc,
		Adopt:    d.programs.RotaAdopt,
		Announce: d.programs.RotaAnnounce,
		Guard:    d.programs.RotaGuard,
		Replay:   d.programs.RotaReplay,
	}
}

// Close lets go of programs and maps. What is attached stays attached and
// keeps its maps; its lease runs out. The Datapath is of no use afterwards.
func (d *Datapath) Close() error {
	d.tableLock.Lock()
	defer d.tableLock.Unlock()
	d.leaseLock.Lock()
	defer d.leaseLock.Unlock()
	var errs []error
	for _, m := range d.memory {
		errs = append(errs, m.unmap())
	}
	d.memory, d.control, d.syns, d.marks = nil, nil, nil, nil
	return errors.Join(append(errs, d.programs.Close(), d.maps.Close())...)
}
