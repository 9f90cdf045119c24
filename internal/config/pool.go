package config

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/rota-cluster/rota/internal/flowhash"
	"github.com/rota-cluster/rota/internal/ownership"
)

func defaultPool() Pool {
	return Pool{
		Hash:         DefaultHash,
		Prefix4:      flowhash.DefaultPrefix4,
		Prefix6:      flowhash.DefaultPrefix6,
		Buckets:      DefaultBuckets,
		DrainTimeout: DefaultDrainTimeout,
		Preempt:      true,
	}
}

// places remember where a name or an address stood first.
type places[K comparable] map[K]string

// taken tells whether the key is in use already, and complains if it is.
func (p places[K]) taken(key K, v value) bool {
	if first, ok := p[key]; ok {
		v.fail("%v is given already, in %s; remove one of the two", key, first)
		return true
	}
	p[key] = v.field
	return false
}

func (c *Config) readPools(v value) {
	items := v.items("- name: web")
	if n := len(items); n == 0 && (v.empty() || v.kind() == "a list") {
		v.fail("empty; write at least one pool, e.g. [{name: web, addresses: [192.0.2.10]}]")
	} else if n > MaxPools {
		v.fail("has %d pools; at most %d", n, MaxPools)
		return
	}
	names, addrs := places[string]{}, places[netip.Addr]{}
	for _, item := range items {
		c.Pools = append(c.Pools, c.readPool(item, names, addrs))
	}
	if len(addrs) > MaxAddresses {
		v.fail("hold %d addresses together; at most %d", len(addrs), MaxAddresses)
	}
	var buckets uint64
	for _, p := range c.Pools {
		buckets += uint64(p.Buckets)
	}
	if buckets > MaxAllBuckets {
		v.fail("have %d buckets together; at most %d", buckets, MaxAllBuckets)
	}
}

func (c *Config) readPool(v value, names places[string], addrs places[netip.Addr]) Pool {
	p := defaultPool()
	seen := v.mapping(keys{
		"name": func(v value) {
			if v.name(&p.Name); p.Name != "" {
				names.taken(p.Name, v)
			}
		},
		"addresses": func(v value) { p.readAddresses(v, addrs) },
		"hash": func(v value) {
			if word, ok := v.text(DefaultHash.String()); ok {
				if err := p.setHash(word); err != nil {
					v.fail("%v", err)
				}
			}
		},
		"buckets": func(v value) { set(&p.Buckets)(v.number(MinBuckets, MaxBuckets)) },
		"seed": func(v value) {
			if n, ok := v.number(0, 1<<32-1); ok {
				seed := uint32(n)
				p.Seed = &seed
			}
		},
		"spread":  func(v value) { choose(v, spreadNames, &p.Spread) },
		"preempt": func(v value) { v.truth(&p.Preempt) },
		"priority": func(v value) {
			if n, ok := v.number(0, MaxPriority); ok {
				priority := uint16(n)
				p.Priority = &priority
			}
		},
		"mac":           func(v value) { p.readMAC(v) },
		"drain_timeout": func(v value) { setTime(&p.DrainTimeout)(v.duration(0, MaxDrainTimeout, "5m")) },
		"checks":        func(v value) { p.Checks = c.readChecks(v) },
	})
	v.need(seen, "name: web", "addresses: [192.0.2.10]")
	for _, key := range []string{"preempt", "priority"} {
		if only, given := seen[key]; given && p.Spread == ownership.SpreadEven && !(key == "preempt" && p.Preempt) {
			only.warn("has no effect without spread: single")
		}
	}
	return p
}

var spreadNames = []string{ownership.SpreadEven.String(), ownership.SpreadSingle.String()}

func (p *Pool) readAddresses(v value, taken places[netip.Addr]) {
	items := v.items("[192.0.2.10]")
	if len(items) == 0 && (v.empty() || v.kind() == "a list") {
		v.fail("empty; write at least one address, e.g. [192.0.2.10]")
	}
	for _, item := range items {
		word, ok := item.text("e.g. 192.0.2.10")
		if !ok {
			continue
		}
		addr, err := parseAddress(word)
		if err != nil {
			item.fail("%v", err)
		} else if !taken.taken(addr, item) {
			p.Addresses = append(p.Addresses, addr)
		}
	}
}

// parseAddress reads an address that hosts on a segment can share.
func parseAddress(s string) (netip.Addr, error) {
	if bare, bits, ok := strings.Cut(s, "/"); ok {
		if a, err := netip.ParseAddr(bare); err == nil {
			return a, fmt.Errorf("%q has a prefix length; write %s without /%s", clip(s), bare, clip(bits))
		}
	}
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		return a, fmt.Errorf("%q is not an IP address; write e.g. 192.0.2.10", clip(s))
	case a.Is4In6():
		return a, fmt.Errorf("%q is an IPv4 address in disguise; write %s", s, a.Unmap())
	case a.Zone() != "" || a.Is6() && a.IsLinkLocalUnicast():
		return a, fmt.Errorf("%q is link-local and cannot be shared; write a global or unique local address, e.g. 2001:db8::10", clip(s))
	case a.IsMulticast() || a.IsLoopback() || a.IsUnspecified() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return a, fmt.Errorf("%q cannot be the address of a host; write e.g. 192.0.2.10", s)
	}
	return a, nil
}

func (p *Pool) readMAC(v value) {
	const hint = "multicast, igmp, unicast or a MAC such as 03:00:5e:00:01:0a"
	word, ok := v.text(hint)
	if !ok {
		return
	}
	if i := slices.Index(macModeNames, word); i >= 0 {
		p.MAC = MAC{Mode: MACMode(i)}
		return
	}
	mac, err := net.ParseMAC(word)
	switch {
	case err != nil || len(mac) != 6:
		v.fail("%q is unknown; write %s", clip(word), hint)
	case bytes.Equal(mac, make([]byte, 6)) || bytes.Equal(mac, bytes.Repeat([]byte{0xff}, 6)):
		v.fail("%s is nobody's or everybody's; write %s", mac, hint)
	case bytes.HasPrefix(mac, []byte{0x01, 0x80, 0xc2, 0, 0}) && mac[5] < 0x10:
		// IEEE 802.1Q 8.6.3: reserved addresses end at the bridge.
		v.fail("%s is reserved and never forwarded by a switch; write %s", mac, hint)
	default:
		p.MAC = MAC{Given: mac}
		if mac[0]&1 == 0 {
			p.MAC.Mode = MACUnicast
		}
	}
}
