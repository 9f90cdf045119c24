package datapath

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/rota-cluster/rota/internal/flowhash"
)

func TestOptionsRefused(t *testing.T) {
	rows := []struct {
		words  string
		change func(*Options)
		want   string
	}{
		{"no port", func(o *Options) { o.BeatPort = 0 }, "the beats need a UDP port from 1 to 65535"},
		{"no pool", func(o *Options) { o.Pools = nil }, "0 pools given; from 1 to 64 are possible"},
		{"too many pools", func(o *Options) { o.Pools = make([]Pool, 65) }, "65 pools given; from 1 to 64 are possible"},
		{"one bucket", func(o *Options) { o.Pools[1].Hasher.Buckets = 1 }, "pool mail: 1 buckets; from 2 to 65536 are possible"},
		{"too many buckets", func(o *Options) { o.Pools[1].Hasher.Buckets = 65537 }, "pool mail: 65537 buckets; from 2 to 65536 are possible"},
		{"an unknown mode", func(o *Options) { o.Pools[0].Hasher.Mode = 4 }, "pool web: hash mode 4 is not known"},
		{"no MAC", func(o *Options) { o.Pools[0].MAC = nil }, `pool web: MAC "" is not 6 bytes long`},
		{"no address", func(o *Options) { o.Pools[0].Addresses = nil }, "pool web: no shared address given"},
		{"a group", func(o *Options) { o.Pools[0].Addresses[0] = addr("224.0.0.1") }, "pool web: 224.0.0.1 cannot be shared"},
		{"a zone", func(o *Options) { o.Pools[0].Addresses[0] = addr("fe80::1%eth0") }, "pool web: fe80::1%eth0 cannot be shared"},
		{"an address in two pools", func(o *Options) { o.Pools[1].Addresses[0] = addr(web4) }, "pool mail: 192.0.2.10 is given twice, also in pool web"},
		{"too many addresses", func(o *Options) { o.Pools[0].Addresses = manyAddresses(127) }, "129 shared addresses given; at most 128 are possible"},
	}
	for _, r := range rows {
		t.Run(r.words, func(t *testing.T) {
			o := testOptions()
			r.change(&o)
			if _, err := Load(o); err == nil || !strings.Contains(err.Error(), r.want) {
				t.Errorf("error %v, want %q", err, r.want)
			}
		})
	}
}

func manyAddresses(n int) (all []netip.Addr) {
	for i := range n {
		all = append(all, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
	}
	return all
}

// TestTheMostThatFits also shows that every shared address finds its slot.
func TestTheMostThatFits(t *testing.T) {
	o := Options{BeatPort: 65535}
	addresses := manyAddresses(MaxAddresses)
	for i := range MaxPools {
		o.Pools = append(o.Pools, Pool{
			Name: fmt.Sprint(i), Addresses: addresses[2*i : 2*i+2], MAC: testMAC,
			Hasher: flowhash.Hasher{Mode: flowhash.SourceAddress, Buckets: MaxBuckets / MaxPools},
		})
	}
	o.Pools[MaxPools-1].Hasher.Buckets = MaxBuckets
	d := loadForTest(t, o)
	setAll(t, d, 1)
	for i, a := range addresses {
		expectVerdictAt(t, d, "xdp", frame(ip4(client4, a.String(), tcp(1, 2, tcpSYN))), PassMine)
		counts, err := d.Counters()
		if err != nil || counts[i/2][PassMine] != uint64(i%2)+1 {
			t.Fatalf("address %v: counted %v (%v) in pool %d", a, counts[i/2], err, i/2)
		}
	}
	expectVerdictAt(t, d, "xdp", frame(ip4(client4, "10.0.0.128", tcp(1, 2, tcpSYN))), PassUntouched)
}

func TestFingerprintTellsOptionsApart(t *testing.T) {
	before := testOptions().Fingerprint()
	if again := testOptions().Fingerprint(); again != before {
		t.Errorf("fingerprints of equal options: %x, %x", before, again)
	}
	changes := map[string]func(*Options){
		"port":    func(o *Options) { o.BeatPort++ },
		"name":    func(o *Options) { o.Pools[0].Name = "www" },
		"address": func(o *Options) { o.Pools[0].Addresses[0] = addr(other4) },
		"seed":    func(o *Options) { o.Pools[0].Hasher.Seed++ },
		"mode":    func(o *Options) { o.Pools[0].Hasher.Mode = flowhash.SourceNetwork },
		"prefix":  func(o *Options) { o.Pools[0].Hasher.Prefix4 = 8 },
		"buckets": func(o *Options) { o.Pools[0].Hasher.Buckets++ },
		"MAC":     func(o *Options) { o.Pools[0].MAC = net.HardwareAddr{1, 2, 3, 4, 5, 6} },
		"order":   func(o *Options) { o.Pools[0], o.Pools[1] = o.Pools[1], o.Pools[0] },
		"pools":   func(o *Options) { o.Pools = o.Pools[:1] },
	}
	for what, change := range changes {
		o := testOptions()
		if change(&o); o.Fingerprint() == before {
			t.Errorf("another %s has the same fingerprint", what)
		}
	}
}

// TestAddressesThatAreAlikeFindTheirSlots: however people number them.
func TestAddressesThatAreAlikeFindTheirSlots(t *testing.T) {
	rows := []struct {
		words   string
		address func(i byte) [16]byte
	}{
		{"hosts of one subnet", func(i byte) [16]byte { return [16]byte{0: 0x20, 1: 1, 15: i} }},
		{"one host of every subnet", func(i byte) [16]byte { return [16]byte{0: 0x20, 1: 1, 7: i, 15: 1} }},
		{"one host of every site", func(i byte) [16]byte { return [16]byte{0: 0x20, 1: i, 15: 1} }},
		{"subnets and hosts numbered alike", func(i byte) [16]byte { return [16]byte{0: 0x20, 1: 1, 7: i, 15: i} }},
		{"subnets and hosts that add up", func(i byte) [16]byte { return [16]byte{0: 0x20, 1: 1, 7: i, 15: 255 - i} }},
		{"IPv4 of many nets", func(i byte) [16]byte { return [16]byte{10: 0xff, 11: 0xff, 12: 10, 13: i, 15: 1} }},
	}
	for _, r := range rows {
		t.Run(r.words, func(t *testing.T) {
			p := testOptions().Pools[0]
			p.Addresses = nil
			for i := range byte(MaxAddresses) {
				p.Addresses = append(p.Addresses, netip.AddrFrom16(r.address(i)).Unmap())
			}
			if _, err := newKernelArrangement(Options{Pools: []Pool{p}}, make([]tableLayout, 1)); err != nil {
				t.Error(err)
			}
		})
	}
}
