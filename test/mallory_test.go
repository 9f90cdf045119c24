package test

import (
	order16 "encoding/binary"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/segment"
	"github.com/rota-cluster/rota/internal/peer"
	"github.com/rota-cluster/rota/internal/wire"
)

// mallory is a host on the segment that hears what the switch floods, keeps
// it, and sends what it likes, but always from its own MAC: who answers to
// another's is the switch's business.
type mallory struct {
	t      *testing.T
	fd     int
	to     unix.SockaddrLinklayer
	header peer.Frame // of what it sends, as beats are
}

func (c *cluster) addMallory() *mallory {
	c.t.Helper()
	client, err := c.AddClient("mallory")
	must(c.t, err)
	host := client.Host()
	m := &mallory{t: c.t, header: peer.Frame{
		SourceMAC: peer.MAC(host.MAC()), Source: host.Addresses()[0].Addr(), Destination: c.Shared()[0],
		SourcePort: config.DefaultBeatPort, DestinationPort: config.DefaultBeatPort,
	}}
	parsed, err := config.Load(c.Node(0).ConfigFile())
	must(c.t, err)
	m.header.DestinationMAC = peer.MAC(parsed.Pools[0].ClusterMAC(parsed.Cluster))
	must(c.t, host.Run(m.open))
	c.t.Cleanup(func() { must(c.t, unix.Close(m.fd)) })
	return m
}

func (m *mallory) open() error {
	eth, err := net.InterfaceByName(segment.InterfaceName)
	if err != nil {
		return err
	}
	all := order16.NativeEndian.Uint16(order16.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	if m.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all)); err != nil {
		return err
	}
	m.to = unix.SockaddrLinklayer{Ifindex: eth.Index, Halen: 6, Protocol: all}
	copy(m.to.Addr[:], m.header.DestinationMAC[:])
	wait := unix.NsecToTimeval(int64(50 * time.Millisecond))
	return errors.Join(unix.SetsockoptTimeval(m.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
		unix.Bind(m.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: eth.Index}))
}

// record keeps the payloads of the next beats of a node, as many and in the
// order in which they come.
func (m *mallory) record(n *lab.Node, beats int) (payloads [][]byte) {
	m.t.Helper()
	buf := make([]byte, 1<<16)
	for { // what has been waiting is not of the next ones
		if _, _, err := unix.Recvfrom(m.fd, buf, unix.MSG_DONTWAIT); errors.Is(err, unix.EAGAIN) {
			break
		}
	}
	deadline := time.Now().Add(patience)
	for len(payloads) < beats {
		if time.Now().After(deadline) {
			m.t.Fatalf("heard %d of %d beats of %s", len(payloads), beats, n.Name())
		}
		size, from, err := unix.Recvfrom(m.fd, buf, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		must(m.t, err)
		if link, ok := from.(*unix.SockaddrLinklayer); ok && link.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		f, fault := peer.ParseFrame(buf[:size])
		if fault != peer.FaultNone || f.DestinationPort != config.DefaultBeatPort || f.SourceMAC != peer.MAC(n.Host().MAC()) {
			continue
		}
		payloads = append(payloads, slices.Clone(f.Payload))
	}
	return payloads
}

// frame puts a payload into a frame as beats are.
func (m *mallory) frame(payload []byte) []byte {
	m.t.Helper()
	f := m.header
	f.Payload = payload
	frame, err := peer.AppendFrame(nil, &f)
	must(m.t, err)
	return frame
}

// send sends frames, one after the other.
func (m *mallory) send(frames ...[]byte) {
	m.t.Helper()
	must(m.t, m.trySend(frames...))
}

func (m *mallory) trySend(frames ...[]byte) error {
	for _, f := range frames {
		err := unix.Sendto(m.fd, f, 0, &m.to)
		for errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOBUFS) {
			err = unix.Sendto(m.fd, f, 0, &m.to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// repeat sends payloads again and again, all of them every few milliseconds,
// until stop is called.
func (m *mallory) repeat(payloads [][]byte) (stop func()) {
	m.t.Helper()
	return m.play([][][]byte{payloads}, 5*time.Millisecond)
}

// play sends one group of payloads after the other, and begins again after the
// last, until stop is called.
func (m *mallory) play(groups [][][]byte, every time.Duration) (stop func()) {
	m.t.Helper()
	var frames [][][]byte
	for _, payloads := range groups {
		var group [][]byte
		for _, p := range payloads {
			group = append(group, m.frame(p))
		}
		frames = append(frames, group)
	}
	quit, over := make(chan struct{}), make(chan error, 1)
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-quit:
				over <- nil
				return
			case <-tick.C:
				if err := m.trySend(frames[i%len(frames)]...); err != nil {
					over <- err
					return
				}
			}
		}
	}()
	return func() {
		m.t.Helper()
		close(quit)
		must(m.t, <-over)
	}
}

// claimed is the name in a payload's header.
func claimed(t *testing.T, payload []byte) (name string, incarnation uint64) {
	t.Helper()
	from, ok := wire.Claimed(payload)
	if !ok {
		t.Fatal("not a beat")
	}
	return from.Name, from.Incarnation
}

// statuses of nodes, which must answer.
func statuses(t *testing.T, nodes ...*lab.Node) (all []*api.Status) {
	t.Helper()
	for _, n := range nodes {
		s, err := n.Status(soon(t))
		must(t, err)
		all = append(all, s)
	}
	return all
}

// told counts the lines with a word in a node's log.
func told(t *testing.T, n *lab.Node, word string) (lines int) {
	t.Helper()
	text, err := os.ReadFile(n.LogFile())
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, word) {
			lines++
		}
	}
	return lines
}

// toldOnce expects exactly one line with a word in a node's log.
func toldOnce(t *testing.T, n *lab.Node, word string) {
	t.Helper()
	if lines := told(t, n, word); lines != 1 {
		t.Errorf("%s has told %q %d times, want once", n.Name(), word, lines)
	}
}

// ttl changes an IPv4 frame's, and the checksum with it.
func ttl(frame []byte, to byte) []byte {
	const ip, offTTL, offSum = 14, 14 + 8, 14 + 10
	f := slices.Clone(frame)
	f[offTTL] = to
	f[offSum], f[offSum+1] = 0, 0
	var sum uint32
	for i := ip; i < ip+20; i += 2 {
		sum += uint32(order16.BigEndian.Uint16(f[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	order16.BigEndian.PutUint16(f[offSum:], ^uint16(sum))
	return f
}
