package datapath

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// errNoMmap tells what is wrong with a kernel that cannot share a map's memory.
var errNoMmap = errors.New("this kernel cannot map BPF maps into memory: rota needs Linux 5.15")

// control is struct control of bpf/control.h.
type control struct {
	lease atomic.Uint64 // jiffy
	until atomic.Uint64 // ns of CLOCK_MONOTONIC
	table [MaxPools]atomic.Uint32
}

// live is struct live of bpf/config.h.
type live struct {
	current atomic.Uint64
	version [versions]kernelArrangement
}

// mapping is a map's memory in ours.
type mapping []byte

// mapMap maps an array's values, which follow each other without a gap.
func mapMap(m *ebpf.Map) (mapping, error) {
	page := os.Getpagesize()
	size := int(m.ValueSize()+7) / 8 * 8 * int(m.MaxEntries())
	size = (size + page - 1) / page * page
	b, err := unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w (%w)", m, errNoMmap, err)
	}
	return b, nil
}

func (m mapping) unmap() error {
	return unix.Munmap(m)
}

// as looks at the start of the memory as a T.
func as[T any](m mapping) (*T, error) {
	var t T
	if uintptr(len(m)) < unsafe.Sizeof(t) {
		return nil, fmt.Errorf("a map of %d bytes is too small for %T", len(m), t)
	}
	return (*T)(unsafe.Pointer(unsafe.SliceData(m))), nil
}
