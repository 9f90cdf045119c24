package datapath

import "github.com/cilium/ebpf/btf"

// kernel is what the running one's description of its types tells
// (CONFIG_DEBUG_INFO_BTF). To read that takes long: once for each time that programs are loaded.
type kernel struct {
	types      *btf.Cache
	requestISN uint16
	conntrack  conntrackLayout
	refused    error // of programs that ask conntrack
}

func describeKernel() kernel {
	types := btf.NewCache()
	return kernel{types: types, requestISN: requestISN(types), conntrack: kernelConntrack(types)}
}
