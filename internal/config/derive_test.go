package config

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/rota-cluster/rota/internal/flowhash"
	"github.com/rota-cluster/rota/internal/ownership"
)

func examplePool(t *testing.T) Pool {
	return mustParse(t, minimal).Pools[0]
}

// The MACs are what nodes of different versions must agree on: these values never change.
func TestClusterMAC(t *testing.T) {
	for _, row := range []struct{ name, mac, want, group string }{
		{"multicast", "multicast", "03:e9:c4:17:26:3a", ""},
		{"igmp", "igmp", "01:00:5e:41:c4:17", "239.193.196.23"},
		{"unicast", "unicast", "02:e9:c4:17:26:3a", ""},
		{"given", "03:00:5e:00:01:0a", "03:00:5e:00:01:0a", ""},
		{"given unicast", "02:00:5e:00:01:0a", "02:00:5e:00:01:0a", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := mustParse(t, minimal+"    mac: "+row.mac+"\n").Pools[0]
			if got := p.ClusterMAC("web").String(); got != row.want {
				t.Errorf("MAC %s, want %s", got, row.want)
			}
			group := ""
			if g := p.Group("web"); g.IsValid() {
				group = g.String()
			}
			if group != row.group {
				t.Errorf("group %q, want %q", group, row.group)
			}
			if p.MAC.String() != row.mac {
				t.Errorf("is written %s", p.MAC)
			}
			if unicast := p.MAC.Mode == MACUnicast; unicast != (p.ClusterMAC("web")[0]&1 == 0) {
				t.Errorf("mode %v", p.MAC.Mode)
			}
		})
	}
}

// RFC 1112 6.4, and no group that shares its MAC with 224.0.0.0/24.
func TestGroupsAreNotTheOnesThatSwitchesFlood(t *testing.T) {
	p := Pool{MAC: MAC{Mode: MACIGMP}}
	for i := range 1000 {
		cluster := fmt.Sprint("c", i)
		group, mac := p.Group(cluster).As4(), p.ClusterMAC(cluster)
		want := []byte{1, 0, 0x5e, group[1] & 0x7f, group[2], group[3]}
		if !bytes.Equal(mac, want) || bytes.HasPrefix(mac[3:], []byte{0, 0}) {
			t.Fatalf("group %v, MAC %s", group, mac)
		}
	}
}

func TestFingerprint(t *testing.T) {
	const seed = 7
	base := examplePool(t)
	base.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("192.0.2.11")}
	want := base.Fingerprint(seed)

	same := map[string]func(*Pool){
		"addresses in another order": func(p *Pool) { p.Addresses = []netip.Addr{p.Addresses[1], p.Addresses[0]} },
		"drain timeout":              func(p *Pool) { p.DrainTimeout = 0 },
		"priority":                   func(p *Pool) { p.Priority = new(uint16) },
		"preempt of an even pool":    func(p *Pool) { p.Preempt = !p.Preempt },
		"checks":                     func(p *Pool) { p.Checks = []Check{{Name: "a"}} },
		"a prefix that does not count": func(p *Pool) {
			p.Prefix4 = 8
		},
	}
	for name, change := range same {
		p := base
		if change(&p); p.Fingerprint(seed) != want {
			t.Errorf("%s: nodes would not share", name)
		}
	}
	seen := map[uint64]string{want: "the base"}
	other := []struct {
		name   string
		change func(*Pool)
	}{
		{"name", func(p *Pool) { p.Name = "app" }},
		{"hash", func(p *Pool) { p.Hash = flowhash.SourceAddress }},
		{"network", func(p *Pool) { p.Hash = flowhash.SourceNetwork }},
		{"prefix4", func(p *Pool) { p.Hash, p.Prefix4 = flowhash.SourceNetwork, 8 }},
		{"prefix6", func(p *Pool) { p.Hash, p.Prefix6 = flowhash.SourceNetwork, 8 }},
		{"buckets", func(p *Pool) { p.Buckets = 2 }},
		{"MAC", func(p *Pool) { p.MAC.Mode = MACIGMP }},
		{"spread", func(p *Pool) { p.Spread, p.Preempt = ownership.SpreadSingle, true }},
		{"preempt", func(p *Pool) { p.Spread, p.Preempt = ownership.SpreadSingle, false }},
		{"given MAC", func(p *Pool) { p.MAC.Given = []byte{3, 0, 0, 0, 0, 1} }},
	}
	for _, o := range other {
		p := base
		o.change(&p)
		f := p.Fingerprint(seed)
		if who, ok := seen[f]; ok {
			t.Errorf("%s is not told from %s", o.name, who)
		}
		seen[f] = o.name
	}
	if base.Fingerprint(seed+1) == want {
		t.Error("another seed is not noticed")
	}
	less := base
	less.Addresses = base.Addresses[:1]
	if less.Fingerprint(seed) != want || less.AddressFingerprint() == base.AddressFingerprint() {
		t.Error("an address less is to be told by the fingerprint of the addresses alone")
	}
}

func TestSeedFrom(t *testing.T) {
	p := examplePool(t)
	key := bytes.Repeat([]byte{1}, KeySize)
	if got := p.SeedFrom(key); got != flowhash.Seed(key, "web") {
		t.Errorf("seed %d is not the key's", got)
	}
	zero := uint32(0)
	p.Seed = &zero
	if got := p.SeedFrom(key); got != 0 {
		t.Errorf("seed: 0 means %d", got)
	}
	h := p.Hasher(0)
	if want := (flowhash.Hasher{Mode: flowhash.SourceAddressPort, Prefix4: 24, Prefix6: 64, Buckets: 4096}); h != want {
		t.Errorf("hasher %+v, want %+v", h, want)
	}
}
