package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/rota-cluster/rota/internal/netcfg"
)

// Found is what an earlier daemon left on the service interface.
type Found struct {
	Filters int  // how many of rota's stand at XDP and tc ingress
	Reused  bool // made for the same options by the same ABI: its counters go on
	// Addresses and MACs are those that the programs were loaded for, as far as
	// their ABI is ours. Those that are no longer wanted are to be removed
	// (package netcfg) before Attach replaces the programs.
	Addresses []netip.Addr
	MACs      []net.HardwareAddr
}

// Adopt is Load on an interface that an earlier daemon may have left in any
// state. Before it returns it ends the lease of whatever stands there, so that
// nothing is accepted that this daemon has not agreed to; not sooner, because to load
// programs takes long, and the peers may hold for the dead what its lease still covers. It takes
// over the maps if they are fit, with every bucket foreign, or makes new ones.
// Attach then replaces the programs.
func Adopt(o Options, link netcfg.Link) (*Datapath, Found, error) {
	present, _, err := survey(link.Index)
	if err != nil {
		return nil, Found{}, fmt.Errorf("look for programs on %s: %w", link.Name, err)
	}
	// Another interface's daemon may have its guard or announcer here: a set is ours by its filter.
	present = slices.DeleteFunc(present, func(s standing) bool { return !s.filters() })
	found := Found{Filters: len(present)}
	d, failed := found.reuse(o, sets(present))
	if d == nil && failed == nil {
		d, failed = Load(o)
	}
	for _, maps := range sets(present) {
		if err := found.expire(maps); err != nil {
			failed = errors.Join(failed, fmt.Errorf("end the lease of what stands on %s: %w", link.Name, err))
		}
	}
	if failed == nil && found.Reused {
		failed = d.disown()
	}
	if failed != nil && d != nil {
		failed, d = errors.Join(failed, d.Close()), nil
	}
	return d, found, failed
}

// reuse takes over the maps of the first set that is fit, if there is one.
func (f *Found) reuse(o Options, present map[ebpf.MapID][]ebpf.MapID) (*Datapath, error) {
	for _, maps := range present {
		d, err := reopen(o, maps)
		if errors.Is(err, ErrIncompatible) {
			continue
		}
		f.Reused = err == nil
		return d, err
	}
	return nil, nil
}

// CarryOn is Adopt for a daemon that knows all that the one before it knew: lease
// and tables stay in force. ErrIncompatible if what stands on the interface is not
// one set of programs made for the same options; it is untouched then.
func CarryOn(o Options, link netcfg.Link) (*Datapath, error) {
	present, _, err := survey(link.Index)
	if err != nil {
		return nil, fmt.Errorf("look for programs on %s: %w", link.Name, err)
	}
	found := sets(slices.DeleteFunc(present, func(s standing) bool { return !s.filters() }))
	if len(found) != 1 {
		return nil, fmt.Errorf("%d sets of programs on %s: %w", len(found), link.Name, ErrIncompatible)
	}
	for _, maps := range found {
		return reopen(o, maps)
	}
	return nil, ErrIncompatible
}

// disown makes every bucket foreign.
func (d *Datapath) disown() error {
	for i, p := range d.options().Pools {
		if err := d.SetTable(i, make([]State, p.Hasher.Buckets)); err != nil {
			return err
		}
	}
	return nil
}

// expire ends the lease of one set of programs and notes what it was loaded
// for. Programs of another ABI cannot be told so; their lease runs out by itself.
func (f *Found) expire(ids []ebpf.MapID) error {
	maps, err := openMaps(ids)
	defer closeMaps(maps)
	if err != nil {
		return err
	}
	id, err := identify(maps)
	if err != nil || id.ABI != ABI {
		return nil //nolint:nilerr // what cannot be read is replaced
	}
	if m := maps[".data.control"]; m != nil {
		memory, err := mapMap(m)
		if err != nil {
			return err
		}
		c, err := as[control](memory)
		if err == nil {
			c.grant(fuse{})
		}
		if err := errors.Join(err, memory.unmap()); err != nil {
			return err
		}
	}
	return f.note(maps[liveMap])
}

// note reads addresses and MACs from the programs' pools.
func (f *Found) note(m *ebpf.Map) error {
	v, err := arrangementOf(m)
	if err != nil {
		return nil //nolint:nilerr // what cannot be read is replaced
	}
	for _, s := range v.Slot {
		if a := s.Address.addr(); s.Pool != noPool && !slices.Contains(f.Addresses, a) {
			f.Addresses = append(f.Addresses, a)
		}
	}
	for _, p := range v.Pool {
		mac := net.HardwareAddr(slices.Clone(p.MAC[:]))
		if p.IPv4.Buckets != 0 && !slices.ContainsFunc(f.MACs, func(m net.HardwareAddr) bool { return slices.Equal(m, mac) }) {
			f.MACs = append(f.MACs, mac)
		}
	}
	slices.SortFunc(f.Addresses, netip.Addr.Compare)
	return nil
}

// addr is the reverse of kernelAddressOf.
func (a kernelAddress) addr() netip.Addr {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], a.High)
	binary.BigEndian.PutUint64(raw[8:], a.Low)
	return netip.AddrFrom16(raw).Unmap()
}

// Abandoned lists the other interfaces of this network namespace on which
// rota's filter or a shared address stands though no daemon runs for them: one
// crashed, and its configuration then named another interface. The caller
// removes the addresses (package netcfg), then calls Remove.
func Abandoned(except netcfg.Link) ([]netcfg.Link, error) {
	links, err := netcfg.Links()
	if err != nil {
		return nil, err
	}
	all, err := surveyNamespace()
	if err != nil {
		return nil, err
	}
	var abandoned []netcfg.Link
	for _, l := range links {
		served := len(l.Shared) > 0 || slices.ContainsFunc(on(l.Index, all), standing.filters)
		if l.Index == except.Index || !served {
			continue
		}
		lock, err := netcfg.TakeLock(l)
		if errors.Is(err, netcfg.ErrLocked) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := lock.Release(); err != nil {
			return nil, err
		}
		abandoned = append(abandoned, l)
	}
	return abandoned, nil
}
