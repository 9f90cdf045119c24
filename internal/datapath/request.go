package datapath

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/features"
)

// requestISN is where the running kernel keeps the sequence number of the
// SYN-ACK that it answered a SYN with: the offset of snt_isn in struct
// tcp_request_sock (include/linux/tcp.h). 0 if the kernel has no description of
// its types (CONFIG_DEBUG_INFO_BTF) or lets programs read no memory of its own
// (lockdown for confidentiality). Then every packet matches a connection that is opening.
func requestISN(types *btf.Cache) uint16 {
	if features.HaveProgramHelper(ebpf.XDP, asm.FnProbeReadKernel) != nil {
		return 0
	}
	kernel, err := types.Kernel()
	if err != nil {
		return 0
	}
	var request *btf.Struct
	if err := kernel.TypeByName("tcp_request_sock", &request); err != nil {
		return 0
	}
	for _, m := range request.Members {
		if m.Name == "snt_isn" && m.BitfieldSize == 0 {
			return uint16(m.Offset.Bytes())
		}
	}
	return 0
}
