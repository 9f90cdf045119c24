package datapath

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// genericFilter loads the filter once more for generic XDP, upon the same maps.
//
// The filter for drivers declares that it copes with frames of several buffers.
// Given that, generic XDP copies a frame into a new socket buffer and leaves its
// mac_len 0 (skb_copy_header in skb_pp_cow_data, net/core/skbuff.c; seen on
// Linux 6.18), so that programs at tc ingress, ours and others', find the IP
// header where the Ethernet header should be: ping works and TCP is dead.
func (d *Datapath) genericFilter() (*ebpf.Program, error) {
	var filter struct {
		XDP *ebpf.Program `ebpf:"rota_xdp"`
	}
	err := d.loadAgain(&filter, func(spec *ebpf.CollectionSpec, _ map[string]*ebpf.Map) {
		spec.Programs[NameXDP].Flags &^= xdpHasFrags
	})
	return filter.XDP, err
}

// loadAgain loads some of the programs once more, upon the same maps, but for
// what adjust changes.
func (d *Datapath) loadAgain(into any, adjust func(*ebpf.CollectionSpec, map[string]*ebpf.Map)) error {
	info, err := d.programs.RotaXdp.Info()
	if err != nil {
		return fmt.Errorf("ask for the programs' maps: %w", err)
	}
	ids, _ := info.MapIDs()
	maps, err := openMaps(ids)
	defer closeMaps(maps)
	if err != nil {
		return err
	}
	k := describeKernel()
	spec, err := buildSpec(d.options(), d.maps.RotaTables.MaxEntries()/tableGenerations, k)
	if err != nil {
		return err
	}
	adjust(spec, maps)
	if err := spec.LoadAndAssign(into, &ebpf.CollectionOptions{MapReplacements: maps, Cache: k.types}); err != nil {
		return explainLoad(err)
	}
	return nil
}
