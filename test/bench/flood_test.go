package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
)

const (
	// A flood is so many SYNs each time, 20,000 a second.
	floodEvery = time.Millisecond
	floodSYNs  = 20
	// floodBefore the cut, long enough to fill every ring.
	floodBefore = time.Second
	// floodMemory is by how much a flood may swell a daemon.
	floodMemory = 8 << 20
)

// BenchmarkFloodInTakeover cuts a node off under a flood of SYNs from everywhere:
// what is kept of them must cost neither the takeover nor the daemons' memory.
func BenchmarkFloodInTakeover(b *testing.B) {
	for _, p := range profiles {
		b.Run(p.String(), func(b *testing.B) {
			measured(b, func(b *testing.B) { floodInTakeover(b, p) })
		})
	}
}

func floodInTakeover(b *testing.B, p profile) {
	const nodes = 3
	l := serving(b, nodes, p)
	lost := l.Node(2)
	before := resident(b, l.Others(lost))
	flooding := probe.Start(soon(b), func(ctx context.Context) (int, error) { return flood(ctx, l.Client()) })
	time.Sleep(floodBefore) // what is measured, not what is waited for
	began := time.Now()
	must(b, lost.Cut())
	agree(b, l, l.Others(lost)...)
	took := time.Since(began)
	sent, err := flooding.Stop()
	must(b, err)
	swollen := resident(b, l.Others(lost)) - before
	var replayed, leftOut uint64
	for _, n := range l.Others(lost) {
		st, err := n.Status(soon(b))
		must(b, err)
		replayed, leftOut = replayed+st.Pools[0].SYNs.Replayed, leftOut+st.Pools[0].SYNs.LeftOut
	}
	b.Logf("beat %s, lease %s, %d SYNs: the others have taken over after %s; replayed %d, left out %d; memory %+.1f MiB",
		p.interval, p.lease, sent, short(took), replayed, leftOut, float64(swollen)/(1<<20))
	b.ReportMetric(milliseconds(took), "takeover-ms")
	b.ReportMetric(float64(swollen)/(1<<20), "more-MiB")
	if swollen > floodMemory {
		b.Errorf("a daemon has grown by %d bytes", swollen)
	}
	if limit := p.lease + 200*time.Millisecond; took > limit {
		b.Errorf("the takeover took %v, want at most %v", short(took), limit)
	}
}

// resident is the memory of the largest daemon.
func resident(b *testing.B, nodes []*lab.Node) (most int64) {
	b.Helper()
	for _, n := range nodes {
		u, err := n.Usage(soon(b), time.Millisecond)
		must(b, err)
		most = max(most, u.Resident)
	}
	return most
}

// flood sends SYNs to the shared address from everywhere until ctx ends.
func flood(ctx context.Context, client *probe.Client) (sent int, err error) {
	err = client.Host().Run(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW) // with its IP header
		if err != nil {
			return fmt.Errorf("open a raw socket: %w", err)
		}
		to := &unix.SockaddrInet4{Addr: lab.Shared4.As4()}
		tick := time.NewTicker(floodEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return unix.Close(fd)
			case <-tick.C:
			}
			for range floodSYNs {
				if err := unix.Sendto(fd, strayedSYN(), 0, to); err != nil && !errors.Is(err, unix.ENOBUFS) {
					return errors.Join(fmt.Errorf("send a SYN: %w", err), unix.Close(fd))
				}
				sent++
			}
		}
	})
	return sent, err
}

// strayedSYN is an IPv4 packet from an address of 10.0.0.0/8 to the web service.
// The kernel fills in what is zero in the IP header.
func strayedSYN() []byte {
	shared := lab.Shared4.As4()
	p := make([]byte, 40)
	p[0], p[8], p[9], p[12] = 0x45, 64, unix.IPPROTO_TCP, 10
	binary.BigEndian.PutUint32(p[13:], rand.Uint32()) // its last byte is overwritten
	copy(p[16:], shared[:])
	tcp := p[20:]
	binary.BigEndian.PutUint16(tcp, uint16(1024+rand.N(60000)))
	binary.BigEndian.PutUint16(tcp[2:], web().Port())
	binary.BigEndian.PutUint32(tcp[4:], rand.Uint32())
	tcp[12], tcp[13], tcp[14] = 5<<4, 0x02, 0xff
	sum := uint32(unix.IPPROTO_TCP + len(tcp)) // RFC 9293, 3.1
	for at := 12; at < len(p); at += 2 {
		sum += uint32(binary.BigEndian.Uint16(p[at:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(tcp[16:], ^uint16(sum))
	return p
}
