package datapath

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// ABI numbers the layout of what programs and user space share: bpf/config.h,
// control.h, table.h, verdict.h and syn.h. Programs of another ABI are replaced, never
// adopted.
const ABI = 4

const (
	macLen       = 6
	addressSlots = 1024
	addressShift = 64 - 10
)

// kernelConfig is struct config of bpf/config.h. Its fields are in the host's
// byte order unless they say otherwise.
type kernelConfig struct {
	ABI         uint32
	Pools       uint32
	Fingerprint uint64
	Multiplier  uint64
	BeatPort    [2]byte // network order
	MultiBuffer uint8
	_           uint8
	RequestISN  uint16
	_           [2]byte
	Pool        [MaxPools]kernelPool
	Slot        [addressSlots]kernelSlot
}

type kernelPool struct {
	Mode    uint32
	Seed    uint32
	Buckets uint32
	First   uint32
	Mask6   [2]uint64
	Mask4   uint32
	MAC     [macLen]byte
	_       [6]byte
}

// kernelAddress is struct address: an IPv6 address, or an IPv4-mapped one.
type kernelAddress struct {
	High, Low uint64
}

type kernelSlot struct {
	Address kernelAddress
	Used    uint32
	Pool    uint32
}

// newKernelConfig writes the options, which have been checked, as the programs read them.
func newKernelConfig(o Options) (*kernelConfig, error) {
	c := &kernelConfig{
		ABI:         ABI,
		Pools:       uint32(len(o.Pools)),
		Fingerprint: o.Fingerprint(),
		BeatPort:    [2]byte{byte(o.BeatPort >> 8), byte(o.BeatPort)},
	}
	var first uint32
	for i, p := range o.Pools {
		mask6 := p.Hasher.Mask6()
		c.Pool[i] = kernelPool{
			Mode:    uint32(p.Hasher.Mode),
			Seed:    p.Hasher.Seed,
			Buckets: p.Hasher.Buckets,
			First:   first,
			Mask4:   p.Hasher.Mask4(),
			Mask6:   [2]uint64{uint64(mask6[0])<<32 | uint64(mask6[1]), uint64(mask6[2])<<32 | uint64(mask6[3])},
			MAC:     [macLen]byte(p.MAC),
		}
		first += p.Hasher.Buckets
	}
	return c, c.placeAddresses(o.Pools)
}

// placeAddresses finds a multiplier under which no two shared addresses meet
// in one slot, so that the programs look at one slot only. 128 addresses in
// 1024 slots need some 3000 tries.
func (c *kernelConfig) placeAddresses(pools []Pool) error {
	const tries = 1 << 20
	c.Multiplier = 0x9e3779b97f4a7c15 // 2^64 / golden ratio
	for range tries {
		if c.tryPlacing(pools) {
			return nil
		}
		c.Multiplier += 2 * 0x2545f4914f6cdd1d // stays odd
	}
	return errors.New("find a slot for every shared address: give fewer addresses")
}

func (c *kernelConfig) tryPlacing(pools []Pool) bool {
	clear(c.Slot[:])
	for i, p := range pools {
		for _, a := range p.Addresses {
			k := kernelAddressOf(a)
			s := &c.Slot[c.slotOf(k)]
			if s.Used != 0 {
				return false
			}
			*s = kernelSlot{Address: k, Used: 1, Pool: uint32(i)}
		}
	}
	return true
}

// slotOf is slot_of of bpf/address.h.
func (c *kernelConfig) slotOf(a kernelAddress) uint64 {
	return (a.High*0x9e3779b97f4a7c15 + a.Low) * c.Multiplier >> addressShift
}

func kernelAddressOf(a netip.Addr) kernelAddress {
	raw := a.As16()
	return kernelAddress{binary.BigEndian.Uint64(raw[:8]), binary.BigEndian.Uint64(raw[8:])}
}

// totalBuckets is the number of buckets of all pools.
func (o Options) totalBuckets() uint32 {
	var n uint32
	for _, p := range o.Pools {
		n += p.Hasher.Buckets
	}
	return n
}
