package flowhash

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Prefix lengths that SourceNetwork cuts to unless the configuration says otherwise.
const (
	DefaultPrefix4 = 24
	DefaultPrefix6 = 64
)

// Hasher holds what all nodes of a pool must agree on to agree on buckets.
type Hasher struct {
	Mode Mode
	// Prefix4 (0 … 32) and Prefix6 (0 … 128) are the bits of the source that
	// count in SourceNetwork; other modes ignore them. 0 is taken literally.
	Prefix4, Prefix6 uint8
	Seed             uint32 // CLUSTERIP's hash_initval
	Buckets          uint32 // 2 … 65536
}

// Bucket is the bucket (0 … Buckets-1) of a packet from src. Ports are plain
// numbers (80, not 0x5000) and are ignored by modes that do not use them;
// protocols without ports hash as ports 0, as in CLUSTERIP. An IPv4-mapped
// IPv6 address counts as the IPv4 address; a zone is ignored.
func (h Hasher) Bucket(src netip.Addr, sport, dport uint16) uint32 {
	return Scale(h.Hash(src, sport, dport), h.Buckets)
}

// Hash is the full 32-bit hash that Bucket scales.
func (h Hasher) Hash(src netip.Addr, sport, dport uint16) uint32 {
	if !h.Mode.UsesSourcePort() {
		sport = 0
	}
	if !h.Mode.UsesDestinationPort() {
		dport = 0
	}
	if src = src.Unmap(); src.Is4() {
		return h.hash4(src, sport, dport)
	}
	return h.hash6(src, sport, dport)
}

// hash4 is clusterip_hashfn. The kernel reads the ports from the packet
// without swapping them; little-endian hosts are the ones to agree with.
func (h Hasher) hash4(src netip.Addr, sport, dport uint16) uint32 {
	raw := src.As4()
	word := [3]uint32{
		binary.BigEndian.Uint32(raw[:]),
		uint32(bits.ReverseBytes16(sport)),
		uint32(bits.ReverseBytes16(dport)),
	}
	switch h.Mode {
	case SourceAddressPortDestinationPort:
		return jhash2(word[:3], h.Seed)
	case SourceAddressPort:
		return jhash2(word[:2], h.Seed)
	case SourceNetwork:
		word[0] &= h.Mask4()
	}
	return jhash2(word[:1], h.Seed)
}

func (h Hasher) hash6(src netip.Addr, sport, dport uint16) uint32 {
	raw := src.As16()
	var word [5]uint32
	for i := range 4 {
		word[i] = binary.BigEndian.Uint32(raw[4*i:])
	}
	if h.Mode.UsesSourcePort() {
		word[4] = uint32(sport)<<16 | uint32(dport)
		return jhash2(word[:5], h.Seed)
	}
	if h.Mode == SourceNetwork {
		for i, mask := range h.Mask6() {
			word[i] &= mask
		}
	}
	return jhash2(word[:4], h.Seed)
}

// Mask4 is Prefix4 as a mask on an address in host order.
func (h Hasher) Mask4() uint32 { return maskWord(int(h.Prefix4)) }

// Mask6 is Prefix6 as masks on the four words of an address in host order.
func (h Hasher) Mask6() [4]uint32 {
	var mask [4]uint32
	for i := range mask {
		mask[i] = maskWord(int(h.Prefix6) - 32*i)
	}
	return mask
}

// maskWord has the upper prefix bits set, none below 0 and all from 32 on.
func maskWord(prefix int) uint32 {
	return ^uint32(0) << (32 - min(max(prefix, 0), 32))
}

// Scale maps a hash evenly to 0 … n-1: reciprocal_scale of include/linux/math.h.
func Scale(hash, n uint32) uint32 {
	return uint32(uint64(hash) * uint64(n) >> 32)
}
