package datapath

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"

	"github.com/rota-cluster/rota/internal/flowhash"
)

// ABI numbers the layout of what programs and user space share: bpf/config.h,
// control.h, table.h, verdict.h and syn.h. Programs of another ABI are replaced, never
// adopted.
const ABI = 9

const (
	macLen       = 6
	addressSlots = 1024
	addressShift = 64 - 10
	// arrangementSize, like those of its parts, is a power of two: to find a part is to shift.
	arrangementSize = 1 << 17
)

// kernelConfig is struct config of bpf/config.h. Its fields are in the host's
// byte order unless they say otherwise.
type kernelConfig struct {
	ABI         uint32
	_           uint32
	Fingerprint uint64
	BeatPort    [2]byte // network order
	MultiBuffer uint8
	_           uint8
	RequestISN  uint16
	Conntrack   conntrackLayout
	_           [6]byte
}

// versions is how many arrangements there is room for: so many changes within one
// grace period do not wait.
const versions = 4

// kernelLive is struct live of bpf/config.h, which may be changed while the programs run.
type kernelLive struct {
	Current uint64
	Version [versions]kernelArrangement
}

type kernelArrangement struct {
	Fingerprint uint64
	Multiplier  uint64
	Pool        [MaxPools]kernelPool
	Slot        [addressSlots]kernelSlot
	_           [arrangementSize - 16 - MaxPools*128 - addressSlots*64]byte
}

// kernelHashing is struct hashing: how packets of one family come to their buckets.
type kernelHashing struct {
	Source                kernelAddress
	RemotePort, LocalPort uint16
	Start                 uint32
	Buckets               uint32
	First                 uint32
}

type kernelPool struct {
	IPv4, IPv6 kernelHashing // no buckets: no pool has this place
	MAC        [macLen]byte
	_          uint16
	Order      uint32 // in Options.Pools
	_          [52]byte
}

// kernelAddress is struct address: an IPv6 address, or an IPv4-mapped one.
type kernelAddress struct {
	High, Low uint64
}

type kernelSlot struct {
	Address kernelAddress
	Hashing kernelHashing
	Pool    uint32 // its place, and retires; noPool in an empty slot
	_       [12]byte
}

// RETIRES of bpf/config.h and NO_POOL of bpf/address.h.
const (
	retires = MaxPools * versions
	noPool  = ^uint32(0)
)

// newKernelConfig writes what stays as it is, as the programs read it.
func newKernelConfig(o Options) *kernelConfig {
	return &kernelConfig{
		ABI: ABI, Fingerprint: o.Fingerprint(), BeatPort: [2]byte{byte(o.BeatPort >> 8), byte(o.BeatPort)},
	}
}

// newKernelArrangement writes the pools, which have been checked and have their places.
func newKernelArrangement(o Options, layout []tableLayout) (*kernelArrangement, error) {
	a := &kernelArrangement{Fingerprint: o.Fingerprint()}
	for i, p := range o.Pools {
		k := newKernelPool(p.Hasher, layout[i].firstBucket())
		k.MAC, k.Order = [macLen]byte(p.MAC), uint32(i)
		a.Pool[layout[i].place] = k
	}
	return a, a.placeAddresses(o.Pools, layout)
}

// newKernelPool writes the mode of a hash as where it begins and what it takes in.
func newKernelPool(h flowhash.Hasher, first uint32) kernelPool {
	both := kernelHashing{Source: kernelAddress{^uint64(0), ^uint64(0)}, Buckets: h.Buckets, First: first}
	words4, words6 := 1, 4
	if h.Mode.UsesSourcePort() {
		words4, words6 = 2, 5
		both.RemotePort = 0xffff
	}
	if h.Mode.UsesDestinationPort() {
		words4 = 3
		both.LocalPort = 0xffff
	}
	k := kernelPool{IPv4: both, IPv6: both}
	k.IPv4.Start, k.IPv6.Start = flowhash.Start(words4, h.Seed), flowhash.Start(words6, h.Seed)
	if h.Mode == flowhash.SourceNetwork {
		mask6 := h.Mask6()
		k.IPv4.Source.Low = uint64(h.Mask4())
		k.IPv6.Source = kernelAddress{uint64(mask6[0])<<32 | uint64(mask6[1]), uint64(mask6[2])<<32 | uint64(mask6[3])}
	}
	return k
}

// hashing is that of the address's family.
func (k *kernelPool) hashing(a netip.Addr) kernelHashing {
	if a.Is4() {
		return k.IPv4
	}
	return k.IPv6
}

// placeAddresses finds a multiplier under which no two shared addresses meet
// in one slot, so that the programs look at one slot only. 128 addresses in
// 1024 slots need some 3000 tries.
func (a *kernelArrangement) placeAddresses(pools []Pool, layout []tableLayout) error {
	const tries = 1 << 20
	a.Multiplier = 0x9e3779b97f4a7c15 | (versions - 1) // 2^64 / golden ratio
	for range tries {
		if a.tryPlacing(pools, layout) {
			return nil
		}
		a.Multiplier += versions * 0x2545f4914f6cdd1d // leaves the bits below versions
	}
	return errors.New("find a slot for every shared address: give fewer addresses")
}

func (a *kernelArrangement) tryPlacing(pools []Pool, layout []tableLayout) bool {
	for i := range a.Slot {
		a.Slot[i] = kernelSlot{Pool: noPool}
	}
	for i, p := range pools {
		for _, addr := range p.Addresses {
			k := kernelAddressOf(addr)
			s := &a.Slot[a.slotOf(k)]
			if s.Pool != noPool {
				return false
			}
			*s = kernelSlot{Address: k, Hashing: a.Pool[layout[i].place].hashing(addr), Pool: layout[i].place}
			if slices.Contains(p.Retiring, addr) {
				s.Pool |= retires
			}
		}
	}
	return true
}

// slotOf is slot_of of bpf/address.h.
func (a *kernelArrangement) slotOf(k kernelAddress) uint64 {
	return (k.Low*a.Multiplier + k.High*(a.Multiplier^0x9e3779b97f4a7c14)) >> addressShift
}

// current is what live.current is while a is in force as that version.
func (a *kernelArrangement) current(version uint64) uint64 {
	return a.Multiplier&^(versions-1) | version
}

func kernelAddressOf(a netip.Addr) kernelAddress {
	raw := a.As16()
	return kernelAddress{binary.BigEndian.Uint64(raw[:8]), binary.BigEndian.Uint64(raw[8:])}
}
