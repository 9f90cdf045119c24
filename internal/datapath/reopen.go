package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
)

// ErrIncompatible: what was found is not rota's, is of another ABI, or was
// loaded with other options. It is to be replaced.
var ErrIncompatible = errors.New("cannot be taken over")

// identity tells what programs that were found attached were loaded with.
type identity struct {
	ABI         uint32
	Fingerprint uint64 // of Options
}

// mapsOf are the maps that a set of programs shares, by their names in the kernel.
var mapsOf = []string{configMap, ".data.control", liveMap, rotaMapRotaTables, rotaMapRotaVerdicts, rotaMapRotaBuckets, rotaMapRotaSyns, marksMap}

// Reopen loads the programs anew upon the maps that programs found attached
// use, so that old and new share tables, lease and counters while the old are
// replaced. maps are those of one or several of them. The tables are left as they
// are; the lease is over when it returns. ErrIncompatible if the
// options differ from those that the maps were made for, or maps are missing.
func Reopen(o Options, maps []ebpf.MapID) (*Datapath, error) {
	d, err := reopen(o, maps)
	if err == nil {
		d.Expire()
	}
	return d, err
}

// reopen leaves the lease as it is, too.
func reopen(o Options, maps []ebpf.MapID) (*Datapath, error) {
	found, err := openMaps(maps)
	defer closeMaps(found)
	if err != nil {
		return nil, err
	}
	id, err := identify(found)
	if err != nil {
		return nil, err
	}
	if want := (identity{ABI: ABI, Fingerprint: o.Fingerprint()}); id != want {
		return nil, fmt.Errorf("programs of ABI %d, options %016x: %w by ABI %d, options %016x",
			id.ABI, id.Fingerprint, ErrIncompatible, want.ABI, want.Fingerprint)
	}
	for _, name := range mapsOf {
		if found[name] == nil {
			return nil, fmt.Errorf("map %s is missing: %w", name, ErrIncompatible)
		}
	}
	d, err := load(o, found, describeKernel())
	if errors.Is(err, ebpf.ErrMapIncompatible) {
		return nil, fmt.Errorf("%w: %w", ErrIncompatible, err)
	}
	return d, err
}

// openMaps opens those of the maps that rota uses. What it returns is to be
// closed also when it fails.
func openMaps(ids []ebpf.MapID) (map[string]*ebpf.Map, error) {
	found := make(map[string]*ebpf.Map)
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			return found, fmt.Errorf("open map %d: %w", id, err)
		}
		info, err := m.Info()
		if err != nil {
			return found, errors.Join(fmt.Errorf("ask for the name of map %d: %w", id, err), m.Close())
		}
		if found[info.Name] != nil {
			m.Close()
			continue
		}
		found[info.Name] = m
	}
	return found, nil
}

func closeMaps(maps map[string]*ebpf.Map) {
	for _, m := range maps {
		m.Close()
	}
}

// identify reads the start of the programs' configuration, whose layout is
// the same in every ABI, and for what options of ours they are arranged now.
func identify(found map[string]*ebpf.Map) (identity, error) {
	m := found[configMap]
	if m == nil {
		return identity{}, fmt.Errorf("programs without rota's configuration: %w", ErrIncompatible)
	}
	raw, err := m.LookupBytes(uint32(0))
	if err != nil || len(raw) < 16 {
		return identity{}, fmt.Errorf("read the configuration of programs: %w (%w)", ErrIncompatible, err)
	}
	id := decodeIdentity(raw)
	if id.ABI != ABI {
		return id, nil
	}
	a, err := arrangementOf(found[liveMap])
	if err != nil {
		return id, err
	}
	id.Fingerprint = a.Fingerprint
	return id, nil
}

// configOf reads what programs of our ABI were loaded with.
func configOf(m *ebpf.Map) (*kernelConfig, error) {
	raw, err := m.LookupBytes(uint32(0))
	config := new(kernelConfig)
	if err == nil {
		_, err = binary.Decode(raw, binary.NativeEndian, config)
	}
	if err != nil {
		return nil, fmt.Errorf("read the configuration of programs: %w", err)
	}
	return config, nil
}

const (
	liveMap  = ".data.live"
	marksMap = ".bss"
)

// arrangementOf reads the arrangement in force from the programs' map.
func arrangementOf(m *ebpf.Map) (*kernelArrangement, error) {
	var l kernelLive
	if m == nil {
		return nil, fmt.Errorf("programs without rota's pools: %w", ErrIncompatible)
	}
	raw, err := m.LookupBytes(uint32(0))
	if err != nil || len(raw) != int(unsafe.Sizeof(l)) {
		return nil, fmt.Errorf("read the pools of programs: %w (%w)", ErrIncompatible, err)
	}
	if _, err := binary.Decode(raw, binary.NativeEndian, &l); err != nil {
		return nil, fmt.Errorf("read the pools of programs: %w", err)
	}
	return &l.Version[l.Current%versions], nil
}

func decodeIdentity(raw []byte) identity {
	return identity{
		ABI:         binary.NativeEndian.Uint32(raw),
		Fingerprint: binary.NativeEndian.Uint64(raw[8:]),
	}
}
