package datapath

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/netcfg"
	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

// knocking is a client that tries the shared addresses without pause: a SYN to
// the open port and to a closed one (IPv6), a datagram to a closed one (IPv4).
// A stack that sees one of them answers it.
type knocking struct {
	t      *testing.T
	wire   *netnstest.Capture
	rounds atomic.Int64
}

func knock(t *testing.T, client *netnstest.Space, h *host) *knocking {
	t.Helper()
	k := &knocking{t: t, wire: client.Capture("client0")}
	ctx, cancel := context.WithCancel(context.Background())
	client.Go(func() error { return k.run(ctx, h.reception.MAC) })
	t.Cleanup(cancel)
	k.wait(1)
	return k
}

func (k *knocking) run(ctx context.Context, mac net.HardwareAddr) error {
	link, err := netcfg.LinkByName("client0")
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	conn, err := net.Dial("udp", net.JoinHostPort(shared4.String(), "9"))
	if err != nil {
		return err
	}
	defer conn.Close()
	for ctx.Err() == nil {
		port := uint16(20000 + k.rounds.Load()%20000)
		for _, to := range []uint16{80, 81} {
			p := ip6("2001:db8::2", shared6.String(), tcp(port, to, 2))
			binary.BigEndian.PutUint16(p.bytes[56:], checksum(protocolTCP, p.bytes[8:40], p.bytes[40:]))
			f := append(append(append(net.HardwareAddr{}, mac...), link.MAC...), be16(p.etherType)...)
			_ = unix.Sendto(fd, append(f, p.bytes...), 0, &unix.SockaddrLinklayer{Ifindex: link.Index, Halen: 6})
		}
		_, _ = conn.Write([]byte("knock")) // fails where an earlier one was refused
		k.rounds.Add(1)
	}
	return nil
}

// wait lets it knock so many times more.
func (k *knocking) wait(rounds int64) {
	k.t.Helper()
	until := k.rounds.Load() + rounds
	netnstest.Until(k.t, "the client has knocked on", func() bool { return k.rounds.Load() >= until })
}

// answers are all that came so far.
func (k *knocking) answers() (all []netnstest.Frame) {
	for _, f := range k.wire.Frames() {
		if isAnswer(f) {
			all = append(all, f)
		}
	}
	return all
}

// isAnswer: the frame came from a shared address and is not ND.
func isAnswer(f netnstest.Frame) bool {
	b := f.Bytes
	switch {
	case f.Outgoing || len(b) < 58:
		return false
	case b[12] == 0x08 && b[13] == 0:
		return netip.AddrFrom4([4]byte(b[26:30])) == shared4
	case b[12] == 0x86 && b[13] == 0xdd:
		return netip.AddrFrom16([16]byte(b[22:38])) == shared6 && (b[20] != protocolICMPv6 || b[54] < 133)
	}
	return false
}
