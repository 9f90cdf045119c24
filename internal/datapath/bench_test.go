package datapath

import (
	"fmt"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/rota-cluster/rota/internal/ownership"
)

// emptyXDP passes everything: what XDP itself costs.
func emptyXDP(b *testing.B) *ebpf.Program {
	b.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type:         ebpf.XDP,
		License:      "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	if err != nil {
		b.Fatalf("this benchmark loads BPF programs and needs root: %v", err)
	}
	b.Cleanup(func() { _ = p.Close() })
	return p
}

// emptyTC does the same at tc.
func emptyTC(b *testing.B) *ebpf.Program {
	b.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type:         ebpf.SchedCLS,
		License:      "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()},
	})
	if err != nil {
		b.Fatalf("this benchmark loads BPF programs and needs root: %v", err)
	}
	b.Cleanup(func() { _ = p.Close() })
	return p
}

// repeat runs a program n times on a frame and tells the mean time of a run.
func repeat(b *testing.B, p *ebpf.Program, frame []byte, n int) time.Duration {
	b.Helper()
	_, mean, err := p.Benchmark(frame, n, nil)
	if err != nil {
		b.Fatal(err)
	}
	return mean
}

func benchOptions() Options {
	o := testOptions()
	for i := range o.Pools {
		o.Pools[i].Hasher.Buckets = 4096
	}
	return o
}

// BenchmarkVerdict: ns/op is the time of one packet in BPF_PROG_TEST_RUN.
func BenchmarkVerdict(b *testing.B) {
	d := loadForTest(b, benchOptions())
	ack4, ack6 := frame(ip4(client4, web4, tcp(1234, 80, tcpACK))), frame(ip6(client6, web6, tcp(1234, 80, tcpACK)))
	rows := []struct {
		words   string
		program *ebpf.Program
		frame   []byte
		state   State
	}{
		{"empty program", emptyXDP(b), ack4, ownership.Foreign},
		{"other address", d.programs.RotaXdp, frame(ip4(client4, other4, tcp(1234, 80, tcpACK))), ownership.Foreign},
		{"foreign, IPv4", d.programs.RotaXdp, ack4, ownership.Foreign},
		{"foreign, IPv6", d.programs.RotaXdp, ack6, ownership.Foreign},
		{"mine, IPv4", d.programs.RotaXdp, ack4, ownership.Mine},
		{"mine, IPv6", d.programs.RotaXdp, ack6, ownership.Mine},
		{"empty program at tc", emptyTC(b), ack4, ownership.Mine},
		{"mine at tc, IPv4", d.programs.RotaTc, ack4, ownership.Mine},
		{"mine, judged again behind it, IPv4", d.programs.RotaAdopt, ack4, ownership.Mine},
		{"other address, behind it", d.programs.RotaAdopt, frame(ip4(client4, other4, tcp(1234, 80, tcpACK))), ownership.Mine},
		{"lingering, IPv4", d.programs.RotaXdp, ack4, ownership.Lingering},
		{"lingering, IPv6", d.programs.RotaXdp, ack6, ownership.Lingering},
		{"contested SYN, IPv4", d.programs.RotaXdp, frame(ip4(client4, web4, tcp(1234, 80, tcpSYN))), ownership.Contested},
		{"foreign fragment, IPv4", d.programs.RotaXdp, frame(fragment4(1, 0, 24, ip4(client4, web4, udp(1, 2, 100)))), ownership.Foreign},
	}
	for _, r := range rows {
		b.Run(r.words, func(b *testing.B) {
			setAll(b, d, r.state)
			b.ResetTimer()
			repeat(b, r.program, r.frame, b.N)
		})
	}
}

// BenchmarkOverEmpty measures what a packet costs beyond an empty XDP program:
// the least of many short runs of each, taken in turns, so that whatever else the
// machine does disturbs both alike.
func BenchmarkOverEmpty(b *testing.B) {
	const rounds, packets = 40, 100_000
	d := loadForTest(b, benchOptions())
	empty := emptyXDP(b)
	ack4, ack6 := frame(ip4(client4, web4, tcp(1234, 80, tcpACK))), frame(ip6(client6, web6, tcp(1234, 80, tcpACK)))
	syn := map[string][]byte{
		"IPv4": frame(ip4(client4, web4, carrying(string(make([]byte, 20)), tcp(1234, 80, tcpSYN)))), // as long as with the usual options
		"IPv6": frame(ip6(client6, web6, carrying(string(make([]byte, 20)), tcp(1234, 80, tcpSYN)))),
	}
	for _, r := range []struct {
		words string
		state State
		exact bool // the jiffies do not tell that the lease is in force
		syn   bool
	}{
		{words: "foreign", state: ownership.Foreign},
		{words: "mine", state: ownership.Mine},
		{words: "foreign SYN, which is kept", state: ownership.Foreign, syn: true},
		{words: "lingering", state: ownership.Lingering},
		{words: "foreign, by the exact clock", state: ownership.Foreign, exact: true},
	} {
		for family, in := range map[string][]byte{"IPv4": ack4, "IPv6": ack6} {
			if r.syn {
				in = syn[family]
			}
			b.Run(r.words+", "+family, func(b *testing.B) {
				setAll(b, d, r.state)
				if r.exact {
					d.control.grant(fuse{until: Now() + time.Hour})
				}
				least := [2]time.Duration{time.Hour, time.Hour}
				for range b.N {
					for range rounds {
						least[0] = min(least[0], repeat(b, empty, in, packets))
						least[1] = min(least[1], repeat(b, d.programs.RotaXdp, in, packets))
					}
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(least[0]), "ns-empty")
				b.ReportMetric(float64(least[1]-least[0]), "ns-more")
			})
		}
	}
}

func BenchmarkSetTable(b *testing.B) {
	for _, buckets := range []uint32{4096, MaxBuckets} {
		b.Run(fmt.Sprint(buckets), func(b *testing.B) {
			o := testOptions()
			o.Pools[0].Hasher.Buckets = buckets
			d := loadForTest(b, o)
			states := make([]State, buckets)
			b.ResetTimer()
			for range b.N {
				d.generation[0] = generations{} // as if the grace periods had passed
				if err := d.SetTable(0, states); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSetLease(b *testing.B) {
	d := loadForTest(b, testOptions())
	for range b.N {
		if err := d.SetLease(Now() + time.Second); err != nil {
			b.Fatal(err)
		}
	}
}
