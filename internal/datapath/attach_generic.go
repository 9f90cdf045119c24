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
	info, err := d.programs.RotaXdp.Info()
	if err != nil {
		return nil, fmt.Errorf("ask for the filter's maps: %w", err)
	}
	ids, _ := info.MapIDs()
	maps, err := openMaps(ids)
	defer closeMaps(maps)
	if err != nil {
		return nil, err
	}
	_, lines := layoutTables(d.options.Pools)
	spec, err := buildSpec(d.options, lines)
	if err != nil {
		return nil, err
	}
	spec.Programs[NameXDP].Flags &^= xdpHasFrags
	var filter struct {
		XDP *ebpf.Program `ebpf:"rota_xdp"`
	}
	if err := spec.LoadAndAssign(&filter, &ebpf.CollectionOptions{MapReplacements: maps}); err != nil {
		return nil, explainLoad(err)
	}
	return filter.XDP, nil
}
