package datapath

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/rota-cluster/rota/internal/flowhash"
)

const (
	// beatPort is the beats' in tests.
	beatPort = 7479
	// Addresses of two pools, and of nobody here.
	web4, web6     = "192.0.2.10", "2001:db8::10"
	mail4, mail6   = "192.0.2.25", "2001:db8::25"
	other4, other6 = "192.0.2.99", "2001:db8::99"
	// Addresses of clients.
	client4, client6 = "198.51.100.7", "2001:db8:7::7"
)

var (
	testMAC = net.HardwareAddr{0x03, 1, 2, 3, 4, 5}
	mailMAC = net.HardwareAddr{0x03, 6, 7, 8, 9, 10}
)

func testOptions() Options {
	return Options{BeatPort: beatPort, Pools: []Pool{
		{
			Name:      "web",
			Addresses: []netip.Addr{netip.MustParseAddr(web4), netip.MustParseAddr(web6)},
			Hasher:    flowhash.Hasher{Mode: flowhash.SourceAddressPort, Seed: 7, Buckets: 16},
			MAC:       testMAC,
		},
		{
			Name:      "mail",
			Addresses: []netip.Addr{netip.MustParseAddr(mail4), netip.MustParseAddr(mail6)},
			Hasher:    flowhash.Hasher{Mode: flowhash.SourceAddress, Seed: 8, Buckets: 100},
			MAC:       mailMAC,
		},
	}}
}

func loadForTest(t testing.TB, o Options) *Datapath {
	t.Helper()
	d, err := Load(o)
	if err != nil {
		t.Fatalf("this test loads BPF programs and needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// setAll puts all buckets of all pools into one state, with a long lease.
func setAll(t testing.TB, d *Datapath, s State) {
	t.Helper()
	for i, p := range d.options().Pools {
		states := make([]State, p.Hasher.Buckets)
		for b := range states {
			states[b] = s
		}
		if err := d.SetTable(i, states); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.SetLease(Now() + time.Hour); err != nil {
		t.Fatal(err)
	}
}

// what is everything that running a program on a frame showed.
type what struct {
	verdict Verdict // the one that was counted, or PassUntouched
	more    Verdict // a second one that was counted, or PassUntouched
	dropped bool
	out     []byte
}

// run runs a program on a frame in the namespace of the calling thread.
func run(d *Datapath, p *ebpf.Program, frame []byte) (what, error) {
	before, err := d.Counters()
	if err != nil {
		return what{}, err
	}
	o := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256)}
	returned, err := p.Run(&o)
	if err != nil {
		return what{}, err
	}
	after, err := d.Counters()
	if err != nil {
		return what{}, err
	}
	w := what{out: o.DataOut, dropped: returned == 1 && p.Type() == ebpf.XDP || returned == 2 && p.Type() == ebpf.SchedCLS}
	for pool := range after {
		for v := range after[pool] {
			for range after[pool][v] - before[pool][v] {
				w.more, w.verdict = w.verdict, Verdict(v)
			}
		}
	}
	return w, nil
}

// expectVerdict runs the frame through the filter in both places and checks
// that it is left alone.
func expectVerdict(t *testing.T, d *Datapath, frame []byte, want Verdict) {
	t.Helper()
	expectVerdictAt(t, d, "xdp", frame, want)
	expectVerdictAt(t, d, "tc", frame, want)
}

func expectVerdictAt(t *testing.T, d *Datapath, place string, frame []byte, want Verdict) {
	t.Helper()
	program, dropped := d.programs.RotaXdp, want.Drops()
	if place == "tc" {
		program = d.programs.RotaTc
	}
	got, err := run(d, program, frame)
	if err != nil {
		t.Errorf("%s: %v", place, err)
		return
	}
	if place == "tc" && want == PassBeat {
		// The stack has no use for a beat: the adopter, in the same program, drops it.
		dropped = true
		if got.verdict == DropBeat {
			got.verdict, got.more = got.more, PassUntouched
		}
	}
	if got.verdict != want || got.more != PassUntouched || got.dropped != dropped {
		t.Errorf("%s: verdict %v (and %v), dropped %v; want %v, %v", place, got.verdict, got.more, got.dropped, want, dropped)
	}
	if !bytes.Equal(got.out, frame) {
		t.Errorf("%s: the frame was changed to\n%x from\n%x", place, got.out, frame)
	}
}
