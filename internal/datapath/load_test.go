package datapath

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/rota-cluster/rota/internal/flowhash"
	"github.com/rota-cluster/rota/internal/ownership"
)

func testOptions() Options {
	return Options{
		BeatPort: 7479,
		Pools: []Pool{{
			Name:      "web",
			Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")},
			Hasher:    flowhash.Hasher{Mode: flowhash.SourceAddressPort, Seed: 7, Buckets: 16},
			MAC:       net.HardwareAddr{3, 1, 2, 3, 4, 5},
		}},
	}
}

func TestLoad(t *testing.T) {
	d, err := Load(testOptions())
	if err != nil {
		t.Fatalf("this test needs root: %v", err)
	}
	defer d.Close()
	states := make([]State, 16)
	states[3] = ownership.Mine
	if err := d.SetTable(0, states); err != nil {
		t.Fatal(err)
	}
	got, err := d.Table(0)
	if err != nil || got[3] != ownership.Mine {
		t.Fatal(got, err)
	}
	if err := d.SetLease(Now() + 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Counters(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.LiveBuckets(); err != nil {
		t.Fatal(err)
	}
	var ids []ebpf.MapID
	for _, p := range []*ebpf.Program{d.Programs().XDP, d.Programs().TC, d.Programs().Adopt} {
		info, err := p.Info()
		if err != nil {
			t.Fatal(err)
		}
		of, _ := info.MapIDs()
		ids = append(ids, of...)
	}
	again, err := Reopen(testOptions(), ids)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	got, err = again.Table(0)
	if err != nil || got[3] != ownership.Mine {
		t.Fatal(got, err)
	}
}
