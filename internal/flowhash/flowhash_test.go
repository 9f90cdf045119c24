package flowhash

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
)

func TestModeSpelling(t *testing.T) {
	for m := SourceNetwork; m <= SourceAddressPortDestinationPort; m++ {
		if got, err := ParseMode(m.String()); err != nil || got != m {
			t.Errorf("ParseMode(%q) = %v, %v", m.String(), got, err)
		}
	}
	for _, bad := range []string{"", "sourceip", "source-address ", "Source-Address", "source-network/24"} {
		_, err := ParseMode(bad)
		if err == nil || !strings.Contains(err.Error(), "source-address-port") {
			t.Errorf("ParseMode(%q): %v; want an error that lists the modes", bad, err)
		}
	}
	if got := Mode(99).String(); got != "unknown" {
		t.Errorf("Mode(99) = %q", got)
	}
}

func TestWhatCounts(t *testing.T) {
	type packet struct {
		src          string
		sport, dport uint16
	}
	base := Hasher{Prefix4: 24, Prefix6: 64, Seed: 7, Buckets: 65536}
	tests := []struct {
		sentence string
		mode     Mode
		a, b     packet
		same     bool
	}{
		{"hosts of one /24 share a bucket by network", SourceNetwork, packet{"192.0.2.1", 1, 2}, packet{"192.0.2.200", 3, 4}, true},
		{"hosts of two /24 do not", SourceNetwork, packet{"192.0.2.1", 1, 2}, packet{"192.0.3.1", 1, 2}, false},
		{"hosts of one /64 share a bucket by network", SourceNetwork, packet{"2001:db8::1", 1, 2}, packet{"2001:db8::ffff:1", 3, 4}, true},
		{"hosts of two /64 do not", SourceNetwork, packet{"2001:db8::1", 1, 2}, packet{"2001:db8:0:1::1", 1, 2}, false},
		{"ports do not count by address", SourceAddress, packet{"192.0.2.1", 1, 2}, packet{"192.0.2.1", 3, 4}, true},
		{"nor in IPv6", SourceAddress, packet{"2001:db8::1", 1, 2}, packet{"2001:db8::1", 3, 4}, true},
		{"the source port counts where named", SourceAddressPort, packet{"192.0.2.1", 1, 2}, packet{"192.0.2.1", 3, 2}, false},
		{"the destination port does not", SourceAddressPort, packet{"192.0.2.1", 1, 2}, packet{"192.0.2.1", 1, 4}, true},
		{"nor in IPv6", SourceAddressPort, packet{"2001:db8::1", 1, 2}, packet{"2001:db8::1", 1, 4}, true},
		{"the destination port counts where named", SourceAddressPortDestinationPort, packet{"192.0.2.1", 1, 2}, packet{"192.0.2.1", 1, 4}, false},
		{"also in IPv6", SourceAddressPortDestinationPort, packet{"2001:db8::1", 1, 2}, packet{"2001:db8::1", 1, 4}, false},
		{"a mapped address is the IPv4 address", SourceAddressPort, packet{"::ffff:192.0.2.1", 1, 2}, packet{"192.0.2.1", 1, 2}, true},
		{"a zone does not count", SourceAddressPort, packet{"fe80::1%eth0", 1, 2}, packet{"fe80::1", 1, 2}, true},
	}
	for _, tt := range tests {
		h := base
		h.Mode = tt.mode
		a := h.Bucket(netip.MustParseAddr(tt.a.src), tt.a.sport, tt.a.dport)
		b := h.Bucket(netip.MustParseAddr(tt.b.src), tt.b.sport, tt.b.dport)
		if (a == b) != tt.same {
			t.Errorf("%s: buckets %d and %d", tt.sentence, a, b)
		}
	}
}

func TestMasks(t *testing.T) {
	tests := []struct {
		prefix4, prefix6 uint8
		mask4            uint32
		mask6            [4]uint32
	}{
		{0, 0, 0, [4]uint32{}},
		{24, 64, 0xffffff00, [4]uint32{0xffffffff, 0xffffffff, 0, 0}},
		{31, 97, 0xfffffffe, [4]uint32{0xffffffff, 0xffffffff, 0xffffffff, 0x80000000}},
		{32, 128, 0xffffffff, [4]uint32{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
		{255, 255, 0xffffffff, [4]uint32{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
	}
	for _, tt := range tests {
		h := Hasher{Prefix4: tt.prefix4, Prefix6: tt.prefix6}
		if got := h.Mask4(); got != tt.mask4 {
			t.Errorf("/%d: %#x, want %#x", tt.prefix4, got, tt.mask4)
		}
		if got := h.Mask6(); got != tt.mask6 {
			t.Errorf("/%d: %#x, want %#x", tt.prefix6, got, tt.mask6)
		}
	}
}

func TestNothingPanics(t *testing.T) {
	for mode := range Mode(8) {
		for _, buckets := range []uint32{0, 1, 65536} {
			h := Hasher{Mode: mode, Prefix4: 200, Prefix6: 200, Buckets: buckets}
			if b := h.Bucket(netip.Addr{}, 1, 2); b != 0 && b >= buckets {
				t.Errorf("%v: bucket %d of %d", mode, b, buckets)
			}
		}
	}
}

func TestScaleReachesBothEnds(t *testing.T) {
	for _, n := range []uint32{1, 2, 3, 16, 4093, 4096, 65536} {
		if first, last := Scale(0, n), Scale(0xffffffff, n); first != 0 || last != n-1 {
			t.Errorf("%d buckets: from %d to %d", n, first, last)
		}
	}
}

func TestSeedIsHKDF(t *testing.T) {
	for _, secret := range [][]byte{nil, []byte("k"), bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{9}, 100)} {
		for _, pool := range []string{"", "web", "mail"} {
			want, err := hkdf.Key(sha256.New, secret, nil, seedInfo+pool, 4)
			if err != nil {
				t.Fatal(err)
			}
			if got := Seed(secret, pool); got != binary.BigEndian.Uint32(want) {
				t.Errorf("Seed(%x, %q) = %#x, want %#x", secret, pool, got, want)
			}
		}
	}
	key := bytes.Repeat([]byte{1}, 32)
	if Seed(key, "web") == Seed(key, "mail") {
		t.Error("two pools of one key share a seed")
	}
}

// Clients come with consecutive addresses and ports; that must not show.
func TestUniform(t *testing.T) {
	const buckets, perBucket = 4096, 64
	four := func(i uint32) netip.Addr {
		return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	six := func(i uint32) netip.Addr {
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
	}
	tests := []struct {
		sentence string
		mode     Mode
		bucket   func(h Hasher, i uint32) uint32
	}{
		{"IPv4 addresses in a row", SourceAddress, func(h Hasher, i uint32) uint32 { return h.Bucket(four(i), 0, 0) }},
		{"IPv6 addresses in a row", SourceAddress, func(h Hasher, i uint32) uint32 { return h.Bucket(six(i), 0, 0) }},
		{"ports in a row from few IPv4 addresses", SourceAddressPort, func(h Hasher, i uint32) uint32 { return h.Bucket(four(i>>14), uint16(i&0x3fff), 443) }},
		{"ports in a row from few IPv6 addresses", SourceAddressPort, func(h Hasher, i uint32) uint32 { return h.Bucket(six(i>>14), uint16(i&0x3fff), 443) }},
	}
	for _, tt := range tests {
		for _, seed := range []uint32{0, 7, 0xdeadbeef} {
			h := Hasher{Mode: tt.mode, Seed: seed, Buckets: buckets}
			var count [buckets]int
			for i := range uint32(buckets * perBucket) {
				count[tt.bucket(h, i)]++
			}
			// Chi-square with 4095 degrees of freedom: mean 4095, deviation 90.5.
			chi := 0
			for _, n := range count {
				chi += (n - perBucket) * (n - perBucket)
			}
			if chi /= perBucket; chi > 4095+5*91 {
				t.Errorf("%s, seed %d: chi-square %d, want about 4095", tt.sentence, seed, chi)
			}
		}
	}
}

func BenchmarkBucket(b *testing.B) {
	for _, address := range []string{"192.0.2.1", "2001:db8::1"} {
		src := netip.MustParseAddr(address)
		b.Run(address, func(b *testing.B) {
			h := Hasher{Mode: SourceAddressPort, Seed: 7, Buckets: 4096}
			b.ReportAllocs()
			sum := uint32(0)
			for i := 0; b.Loop(); i++ {
				sum += h.Bucket(src, uint16(i), 80)
			}
			_ = sum
		})
	}
}
