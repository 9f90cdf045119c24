package datapath

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/flowhash"
	"github.com/rota-cluster/rota/internal/ownership"
)

const (
	app4   = "192.0.2.80"
	added4 = "192.0.2.81"
)

func appPool() Pool {
	return Pool{
		Name: "app", Addresses: []netip.Addr{addr(app4)}, MAC: mailMAC,
		Hasher: flowhash.Hasher{Mode: flowhash.SourceAddress, Seed: 9, Buckets: 70},
	}
}

func synTo(a string) []byte { return frame(ip4(client4, a, tcp(1234, 80, tcpSYN))) }

func mustRearrange(t *testing.T, d *Datapath, o Options) {
	t.Helper()
	if err := d.Rearrange(o); err != nil {
		t.Fatal(err)
	}
}

// TestRearrange: pools and addresses come and go; what stays is not touched.
func TestRearrange(t *testing.T) {
	d := loadForTest(t, testOptions())
	setAll(t, d, ownership.Mine)
	expectVerdict(t, d, synTo(web4), PassMine)
	expectVerdict(t, d, synTo(app4), PassUntouched)

	more := testOptions()
	more.Pools[0].Addresses = append(more.Pools[0].Addresses, addr(added4))
	more.Pools = append([]Pool{appPool()}, more.Pools...)
	mustRearrange(t, d, more)
	expectVerdict(t, d, synTo(web4), PassMine)
	expectVerdict(t, d, synTo(added4), PassMine)
	expectVerdict(t, d, synTo(mail4), PassMine)
	expectVerdict(t, d, synTo(app4), DropForeign)
	if web := d.Pool("web"); web != 1 || d.Pool("nobody") != -1 {
		t.Errorf("web has the index %d", web)
	}
	counts, err := d.Counters()
	if err != nil || counts[1][PassMine] != 6 || counts[0][DropForeign] != 2 {
		t.Errorf("web passed %d and app dropped %d (%v)", counts[1][PassMine], counts[0][DropForeign], err)
	}
	if err := d.SetTable(0, slices.Repeat([]State{ownership.Mine}, 70)); err != nil {
		t.Fatal(err)
	}
	expectVerdict(t, d, synTo(app4), PassMine)

	less := more
	less.Pools = slices.Clone(more.Pools[:2]) // without web
	less.Pools[1] = more.Pools[2]
	mustRearrange(t, d, less)
	expectVerdict(t, d, synTo(web4), PassUntouched)
	expectVerdict(t, d, synTo(app4), PassMine)
	expectVerdict(t, d, synTo(mail4), PassMine)

	// It comes again in the place of the old, and knows nothing of it.
	mustRearrange(t, d, more)
	expectVerdict(t, d, synTo(web4), DropForeign)
	if buckets, err := d.BucketCounters(1); err != nil || slices.ContainsFunc(buckets, func(c BucketCounts) bool { return c.Passed > 0 }) {
		t.Errorf("the buckets' counters became %v (%v)", buckets, err)
	}
	expectVerdict(t, d, synTo(mail4), PassMine)

	// Who finds the programs finds the pools in their places.
	again, err := Reopen(more, mapIDs(t, d.programs.RotaXdp))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close() })
	table, err := again.Table(2)
	if err != nil || !slices.Equal(table, slices.Repeat([]State{ownership.Mine}, 100)) {
		t.Errorf("the table of mail became %v (%v)", table, err)
	}
	setAll(t, again, ownership.Contested)
	expectVerdict(t, d, synTo(mail4), PassContestedNew)
	expectVerdict(t, again, synTo(app4), PassContestedNew)
	if _, err := Reopen(testOptions(), mapIDs(t, d.programs.RotaXdp)); !errors.Is(err, ErrIncompatible) {
		t.Errorf("reopened for pools that there are no more: %v", err)
	}
}

// TestRetiring: at an address that is about to go nothing new is accepted.
func TestRetiring(t *testing.T) {
	d := loadForTest(t, testOptions())
	o := testOptions()
	o.Pools[0].Retiring = []netip.Addr{addr(web4)}
	mustRearrange(t, d, o)
	for state, want := range map[State][2]Verdict{
		ownership.Foreign:   {DropForeign, DropForeign},
		ownership.Mine:      {DropRetiring, DropLingeringNoSocket},
		ownership.Lingering: {DropRetiring, DropLingeringNoSocket},
		ownership.Contested: {DropRetiring, DropLingeringNoSocket},
	} {
		setAll(t, d, state)
		expectVerdict(t, d, synTo(web4), want[0])
		expectVerdict(t, d, frame(ip4(client4, web4, tcp(1234, 80, tcpACK))), want[1])
	}
	setAll(t, d, ownership.Mine)
	expectVerdict(t, d, frame(ip6(client6, web6, tcp(1234, 80, tcpSYN))), PassMine)
}

func TestRearrangeRefuses(t *testing.T) {
	d := loadForTest(t, testOptions())
	setAll(t, d, ownership.Mine)
	for _, c := range []struct {
		what   string
		change func(*Options)
		want   string
	}{
		{"another port", func(o *Options) { o.BeatPort++ }, "port"},
		{"another hash", func(o *Options) { o.Pools[0].Hasher.Buckets = 32 }, "pool web: hash and MAC"},
		{"another MAC", func(o *Options) { o.Pools[1].MAC = net.HardwareAddr{3, 0, 0, 0, 0, 9} }, "pool mail: hash and MAC"},
		{"an address twice", func(o *Options) { o.Pools[1].Addresses = o.Pools[0].Addresses }, "given twice"},
		{"no pools", func(o *Options) { o.Pools = nil }, "0 pools"},
		{"more buckets than there is room for", func(o *Options) {
			p := appPool()
			p.Hasher.Buckets = MaxBuckets
			o.Pools = append(o.Pools, p)
		}, ErrNoRoom.Error()},
	} {
		o := testOptions()
		c.change(&o)
		if err := d.Rearrange(o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
	expectVerdict(t, d, synTo(web4), PassMine)
}

// TestRearrangeUnderTraffic: no packet for what stays is judged otherwise while others come and go.
func TestRearrangeUnderTraffic(t *testing.T) {
	d := loadForTest(t, testOptions())
	setAll(t, d, ownership.Mine)
	var changes atomic.Int64
	end := make(chan struct{})
	go func() {
		defer close(end)
		for began := Now(); Now()-began < 2*time.Second; changes.Add(1) {
			o := testOptions()
			if changes.Load()%2 == 0 {
				o.Pools = append([]Pool{appPool()}, o.Pools...)
			}
			if err := d.Rearrange(o); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	packets, syn := 0, synTo(mail4)
	for running := true; running; packets += 1000 {
		select {
		case <-end:
			running = false
		default:
		}
		ret, _, err := d.programs.RotaXdp.Benchmark(syn, 1000, nil)
		if err != nil || ret != 2 { // XDP_PASS
			t.Fatalf("after %d packets: XDP action %d (%v)", packets, ret, err)
		}
	}
	if changes.Load() < 20 {
		t.Errorf("only %d changes", changes.Load())
	}
	t.Logf("%d packets, %d changes", packets, changes.Load())
}
