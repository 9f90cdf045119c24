package datapath

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/rota-cluster/rota/internal/flowhash"
)

// Bounds of what one set of programs can hold.
const (
	MaxPools     = 64
	MaxAddresses = 128
	MinBuckets   = 2
	MaxBuckets   = 65536
)

// Options are what the programs are loaded with and keep until they are
// replaced.
type Options struct {
	Pools    []Pool // 1 … MaxPools; a pool's index here is its index everywhere
	BeatPort uint16 // UDP, 1 … 65535
}

// Pool is what the datapath needs to know of a pool.
type Pool struct {
	Name      string
	Addresses []netip.Addr // at least one; no address in two pools
	Retiring  []netip.Addr // those of them at which nothing new is accepted: they are about to go
	Hasher    flowhash.Hasher
	MAC       net.HardwareAddr // the cluster's, 6 bytes
}

// Fingerprint is the same for equal options only, also between daemons of
// different age, as long as ABI is the same.
func (o Options) Fingerprint() uint64 {
	var text bytes.Buffer
	fmt.Fprintf(&text, "%d %d\n", ABI, o.BeatPort)
	for _, p := range o.Pools {
		h := p.Hasher
		fmt.Fprintf(&text, "%q %v %v %d/%d/%d/%d/%d %v\n",
			p.Name, p.Addresses, p.Retiring, h.Mode, h.Prefix4, h.Prefix6, h.Seed, h.Buckets, p.MAC)
	}
	sum := sha256.Sum256(text.Bytes())
	return binary.BigEndian.Uint64(sum[:])
}

// check names the first option that the programs cannot be loaded with.
func (o Options) check() error {
	if o.BeatPort == 0 {
		return errors.New("the beats need a UDP port from 1 to 65535")
	}
	if len(o.Pools) == 0 || len(o.Pools) > MaxPools {
		return fmt.Errorf("%d pools given; from 1 to %d are possible", len(o.Pools), MaxPools)
	}
	owner := make(map[netip.Addr]string)
	for _, p := range o.Pools {
		if err := p.check(); err != nil {
			return fmt.Errorf("pool %s: %w", p.Name, err)
		}
		for _, a := range p.Addresses {
			if other, taken := owner[a.Unmap()]; taken {
				return fmt.Errorf("pool %s: %s is given twice, also in pool %s", p.Name, a, other)
			}
			owner[a.Unmap()] = p.Name
		}
		for _, a := range p.Retiring {
			if !slices.Contains(p.Addresses, a) {
				return fmt.Errorf("pool %s: %s is to go, but is not there", p.Name, a)
			}
		}
	}
	if len(owner) > MaxAddresses {
		return fmt.Errorf("%d shared addresses given; at most %d are possible", len(owner), MaxAddresses)
	}
	return nil
}

func (p Pool) check() error {
	if b := p.Hasher.Buckets; b < MinBuckets || b > MaxBuckets {
		return fmt.Errorf("%d buckets; from %d to %d are possible", b, MinBuckets, MaxBuckets)
	}
	if p.Hasher.Mode > flowhash.SourceAddressPortDestinationPort {
		return fmt.Errorf("hash mode %d is not known", p.Hasher.Mode)
	}
	if len(p.MAC) != macLen {
		return fmt.Errorf("MAC %q is not 6 bytes long", p.MAC)
	}
	if len(p.Addresses) == 0 {
		return errors.New("no shared address given")
	}
	for _, a := range p.Addresses {
		if !a.IsValid() || a.Zone() != "" || a.IsMulticast() || a.IsUnspecified() {
			return fmt.Errorf("%s cannot be shared; give a unicast address without a zone", a)
		}
	}
	return nil
}
