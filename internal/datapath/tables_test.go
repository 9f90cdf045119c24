package datapath

import (
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/rota-cluster/rota/internal/flowhash"
	"github.com/rota-cluster/rota/internal/ownership"
)

func TestTablesAreReadBackAsSet(t *testing.T) {
	d := loadForTest(t, testOptions())
	for round := range 3 * tableGenerations {
		for pool, p := range d.options().Pools {
			want := make([]State, p.Hasher.Buckets)
			for b := range want {
				want[b] = State((b + round + pool) % 4)
			}
			if err := d.SetTable(pool, want); err != nil {
				t.Fatal(err)
			}
			if got, err := d.Table(pool); err != nil || !slices.Equal(got, want) {
				t.Fatalf("round %d, pool %d: table %v (%v), want %v", round, pool, got, err, want)
			}
		}
	}
}

func TestSetTableRefuses(t *testing.T) {
	d := loadForTest(t, testOptions())
	rows := []struct {
		words  string
		pool   int
		states []State
		want   string
	}{
		{"a pool that is not there", 2, make([]State, 16), "set a table: there is no pool 2"},
		{"no pool", -1, make([]State, 16), "set a table: there is no pool -1"},
		{"too few states", 0, make([]State, 15), "set the table of pool web: 15 states for 16 buckets"},
		{"an unknown state", 1, append(make([]State, 99), 4), "set the table of pool mail: bucket 99 has the unknown state 4"},
	}
	for _, r := range rows {
		t.Run(r.words, func(t *testing.T) {
			if err := d.SetTable(r.pool, r.states); err == nil || err.Error() != r.want {
				t.Errorf("error %v, want %q", err, r.want)
			}
		})
	}
}

// TestNoPacketIsLostInASwitch judges packets of a bucket that is mine in every
// table while the tables are switched as fast as they can be.
func TestNoPacketIsLostInASwitch(t *testing.T) {
	o := testOptions()
	o.Pools[0].Hasher.Buckets = MaxBuckets
	d := loadForTest(t, o)
	setAll(t, d, ownership.Mine)
	bucket := o.Pools[0].Hasher.Bucket(addr(client4), 1234, 80)
	quit := make(chan struct{})
	var switching sync.WaitGroup
	switching.Go(func() {
		for state := State(0); ; state = (state + 1) % 4 {
			states := slices.Repeat([]State{state}, MaxBuckets)
			states[bucket] = ownership.Mine
			if err := d.SetTable(0, states); err != nil {
				t.Error(err)
			}
			select {
			case <-quit:
				return
			default:
			}
		}
	})
	in := frame(ip4(client4, web4, tcp(1234, 80, tcpSYN)))
	for range 400 {
		if _, err := d.programs.RotaXdp.Run(&ebpf.RunOptions{Data: in, Repeat: 100}); err != nil {
			t.Fatal(err)
		}
	}
	close(quit)
	switching.Wait()
	counts, err := d.Counters()
	counts[0][PassMine] = 0
	if err != nil || counts[0] != (Counts{}) {
		t.Errorf("verdicts other than %v: %v (%v)", PassMine, counts[0], err)
	}
}

func TestSevenSwitchesDoNotWait(t *testing.T) {
	d := loadForTest(t, testOptions())
	states := make([]State, 16)
	began := Now()
	for range tableGenerations - 1 {
		if err := d.SetTable(0, states); err != nil {
			t.Fatal(err)
		}
	}
	if took := Now() - began; took > tableGrace {
		t.Errorf("%d switches took %v", tableGenerations-1, took)
	}
	if err := d.SetTable(0, states); err != nil {
		t.Fatal(err)
	}
	if took := Now() - began; took < tableGrace {
		t.Errorf("the table that was in force %v ago was overwritten; it is to be left alone for %v", took, tableGrace)
	}
}

// TestProgramsHashAsFlowhash sends packets of many flows and looks whether they
// were counted in the buckets that package flowhash gives them.
func TestProgramsHashAsFlowhash(t *testing.T) {
	for mode := flowhash.SourceNetwork; mode <= flowhash.SourceAddressPortDestinationPort; mode++ {
		t.Run(mode.String(), func(t *testing.T) {
			o := testOptions()
			h := flowhash.Hasher{Mode: mode, Prefix4: 20, Prefix6: 41, Seed: 0xdecade, Buckets: 1597}
			o.Pools[1].Hasher = h
			d := loadForTest(t, o)
			setAll(t, d, ownership.Mine)
			want := make([]BucketCounts, h.Buckets)
			for i := range uint16(500) {
				a4 := netip.AddrFrom4([4]byte{198, byte(i), byte(i * 37), byte(i * 11)})
				a6 := netip.AddrFrom16([16]byte{0x20, 1, byte(i), 0xb8, byte(i * 3), byte(i * 5), 6: byte(i), 15: byte(i * 7)})
				source, destination := i*131, i*197|1
				for _, p := range []packetOf{
					ip4(a4.String(), mail4, tcp(source, destination, tcpSYN)),
					ip6(a6.String(), mail6, tcp(source, destination, tcpSYN)),
				} {
					if _, err := d.programs.RotaXdp.Run(&ebpf.RunOptions{Data: frame(p)}); err != nil {
						t.Fatal(err)
					}
				}
				want[h.Bucket(a4, source, destination)].Passed++
				want[h.Bucket(a6, source, destination)].Passed++
			}
			if got, err := d.BucketCounters(1); err != nil || !slices.Equal(got, want) {
				t.Errorf("packets by bucket (%v) %v\nwant %v", err, got, want)
			}
			if got, err := d.BucketCounters(0); err != nil || !slices.Equal(got, make([]BucketCounts, 16)) {
				t.Errorf("packets by bucket of a pool that had none (%v): %v", err, got)
			}
		})
	}
}
