package datapath

import (
	"errors"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/rota-cluster/rota/internal/ownership"
)

func mapIDs(t *testing.T, p *ebpf.Program) []ebpf.MapID {
	t.Helper()
	info, err := p.Info()
	if err != nil {
		t.Fatal(err)
	}
	ids, ok := info.MapIDs()
	if !ok {
		t.Fatal("the kernel does not tell the maps of a program")
	}
	return ids
}

func TestReopen(t *testing.T) {
	old := loadForTest(t, testOptions())
	setAll(t, old, ownership.Mine)
	syn := frame(ip4(client4, web4, tcp(1234, 80, tcpSYN)))
	expectVerdictAt(t, old, "xdp", syn, PassMine)

	d, err := Reopen(testOptions(), mapIDs(t, old.programs.RotaXdp))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	// The lease is over for the old programs too.
	expectVerdict(t, old, syn, DropLease)
	expectVerdict(t, d, syn, DropLease)
	table, err := d.Table(0)
	if err != nil || !slices.Equal(table, slices.Repeat([]State{ownership.Mine}, 16)) {
		t.Errorf("the table became %v (%v)", table, err)
	}
	// What is set now, both see.
	setAll(t, d, ownership.Contested)
	expectVerdict(t, old, syn, PassContestedNew)
	expectVerdict(t, d, syn, PassContestedNew)
	counts, err := d.Counters()
	if err != nil || counts[0][PassMine] != 1 || counts[0][DropLease] != 4 || counts[0][PassContestedNew] != 4 {
		t.Errorf("the counters became %v (%v)", counts[0], err)
	}
	if o := d.Options(); o.Fingerprint() != testOptions().Fingerprint() {
		t.Errorf("options %+v", o)
	}
}

func TestReopenRefuses(t *testing.T) {
	old := loadForTest(t, testOptions())
	setAll(t, old, ownership.Mine)
	other := testOptions()
	other.Pools[0].Hasher.Seed++
	foreign, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = foreign.Close() })
	older := loadAs(t, testOptions(), func(c *kernelConfig) { c.ABI-- })
	info, err := foreign.Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := info.ID()
	rows := []struct {
		words   string
		options Options
		maps    []ebpf.MapID
	}{
		{"other options", other, mapIDs(t, old.programs.RotaXdp)},
		{"an older ABI", testOptions(), mapIDs(t, older.RotaXdp)},
		{"maps missing", testOptions(), mapIDs(t, old.programs.RotaGuard)},
		{"maps of somebody else's program", testOptions(), []ebpf.MapID{id}},
		{"no maps", testOptions(), nil},
	}
	for _, r := range rows {
		t.Run(r.words, func(t *testing.T) {
			if d, err := Reopen(r.options, r.maps); !errors.Is(err, ErrIncompatible) {
				t.Errorf("%v, %v; want %v", d, err, ErrIncompatible)
			}
		})
	}
	// Nothing happened to the old ones.
	expectVerdict(t, old, frame(ip4(client4, web4, tcp(1234, 80, tcpSYN))), PassMine)
}
