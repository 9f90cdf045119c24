package config

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/rota-cluster/rota/internal/ownership"
)

// MACMode is how frames for the shared addresses reach every node.
type MACMode uint8

const (
	// MACMulticast: a locally administered multicast MAC, 03:…; switches flood it.
	MACMulticast MACMode = iota
	// MACIGMP: 01:00:5e:… of a group that the nodes join, so that snooping switches send it to them alone.
	MACIGMP
	// MACUnicast: a locally administered MAC, 02:…, that no frame carries as its source, so that switches flood it.
	MACUnicast
)

var macModeNames = []string{"multicast", "igmp", "unicast"}

// String is the spelling in the file.
func (m MACMode) String() string { return nameOf(macModeNames, uint8(m)) }

// MAC is the link-layer address of a pool: derived in one of three ways, or given.
type MAC struct {
	Mode  MACMode          // of a given one: MACMulticast or MACUnicast, by its group bit
	Given net.HardwareAddr // nil: derived from the cluster's name
}

// String is the spelling in the file.
func (m MAC) String() string {
	if m.Given != nil {
		return m.Given.String()
	}
	return m.Mode.String()
}

// ClusterMAC is the MAC that the pool's addresses are announced with. Derived
// ones are the same for all pools of a cluster: one address for the NIC to receive.
func (p Pool) ClusterMAC(cluster string) net.HardwareAddr {
	if p.MAC.Given != nil {
		return slices.Clone(p.MAC.Given)
	}
	sum := macDigest(cluster)
	switch p.MAC.Mode {
	case MACIGMP:
		group := groupOf(sum).As4()
		// RFC 1112 6.4: the low 23 bits of the group.
		return net.HardwareAddr{0x01, 0x00, 0x5e, group[1] & 0x7f, group[2], group[3]}
	case MACUnicast:
		return net.HardwareAddr{0x02, sum[0], sum[1], sum[2], sum[3], sum[4]}
	default:
		return net.HardwareAddr{0x03, sum[0], sum[1], sum[2], sum[3], sum[4]}
	}
}

// Group is the multicast group that the nodes join in MACIGMP; the zero Addr in
// the other modes. It is in 239.192.0.0/14, the organization-local scope of RFC
// 2365: none of it shares a MAC with 224.0.0.0/24, which snooping switches flood.
func (p Pool) Group(cluster string) netip.Addr {
	if p.MAC.Given != nil || p.MAC.Mode != MACIGMP {
		return netip.Addr{}
	}
	return groupOf(macDigest(cluster))
}

func groupOf(sum [sha256.Size]byte) netip.Addr {
	return netip.AddrFrom4([4]byte{239, 192 | sum[0]&3, sum[1], sum[2]})
}

func macDigest(cluster string) [sha256.Size]byte {
	return sha256.Sum256([]byte("rota mac" + cluster))
}

// Fingerprint covers what the nodes that have the pool must agree on to share it:
// hash, seed, buckets, MAC and spread. seed is SeedFrom's.
func (p Pool) Fingerprint(seed uint32) uint64 {
	spread := p.Spread.String()
	if p.Spread == ownership.SpreadSingle {
		spread = fmt.Sprintf("%s, preempt %v", p.Spread, p.Preempt)
	}
	return digest("rota pool 2\n%s\n%s\n%d\n%d\n%s\n%s\n", p.Name, p.HashText(), seed, p.Buckets, p.MAC, spread)
}

// AddressFingerprint covers the addresses, in any order. Nodes with different ones share
// the pool; each serves those that it has.
func (p Pool) AddressFingerprint() uint64 {
	return digest("rota addresses 1\n%v\n", slices.SortedFunc(slices.Values(p.Addresses), netip.Addr.Compare))
}

func digest(format string, args ...any) uint64 {
	sum := sha256.Sum256(fmt.Appendf(nil, format, args...))
	return binary.BigEndian.Uint64(sum[:])
}
