//go:build soak

package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
	"github.com/rota-cluster/rota/internal/lab/segment"
)

// beats listens to the beats of a lab's nodes on the wire, where the kernel
// stamps them: how busy the listener itself is changes nothing.
type beats struct {
	p     profile
	lab   *lab.Lab
	names probe.Names

	mu     sync.Mutex
	last   map[string]time.Duration // when each sender's newest frame came, since the epoch
	pauses pauses
}

// pauses between the beats of one sender.
type pauses struct {
	beats  int
	late   [len(lateness)]int // how many were longer than each of the limits
	limits [len(lateness)]time.Duration
	max    time.Duration
	who    string // paused for max
}

var lateness = [...]string{"1.5 intervals", "2 intervals", "lease − 2 intervals", "lease"}

func newBeats(l *lab.Lab, p profile) *beats {
	b := &beats{p: p, lab: l, names: probe.NamesOf(l.Segment().Hosts()), last: make(map[string]time.Duration)}
	b.pauses.limits = [...]time.Duration{p.interval * 3 / 2, 2 * p.interval, p.lease - 2*p.interval, p.lease}
	return b
}

// run listens at the client until ctx ends.
func (b *beats) run(ctx context.Context) (pauses, error) {
	err := b.lab.Client().Host().Run(func() error {
		fd, err := openWire()
		if err != nil {
			return err
		}
		return errors.Join(b.listen(ctx, fd), unix.Close(fd))
	})
	return b.pauses, err
}

// openWire opens a socket that reads every frame with the kernel's stamp.
func openWire() (int, error) {
	eth, err := net.InterfaceByName(segment.InterfaceName)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open a packet socket: %w", err)
	}
	wait := unix.NsecToTimeval(int64(100 * time.Millisecond))
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: eth.Index}),
	)
	if err != nil {
		return -1, errors.Join(fmt.Errorf("prepare a packet socket: %w", err), unix.Close(fd))
	}
	return fd, nil
}

func networkOrder(v uint16) uint16 { return v<<8 | v>>8 }

func (b *beats) listen(ctx context.Context, fd int) error {
	frame, control := make([]byte, 2048), make([]byte, 256)
	for ctx.Err() == nil {
		n, oob, _, _, err := unix.Recvmsg(fd, frame, control, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("listen to beats: %w", err)
		}
		if !isBeat(frame[:n]) {
			continue
		}
		at, err := stampOf(control[:oob])
		if err != nil {
			return err
		}
		b.heard(b.names[[6]byte(frame[6:12])], at)
	}
	return nil
}

// isBeat: UDP over IPv4 without options, to the beats' port.
func isBeat(frame []byte) bool {
	const ip, udp = 14, 14 + 20
	return len(frame) >= udp+8 && binary.BigEndian.Uint16(frame[12:]) == unix.ETH_P_IP &&
		frame[ip] == 0x45 && frame[ip+9] == unix.IPPROTO_UDP &&
		binary.BigEndian.Uint16(frame[udp+2:]) == config.DefaultBeatPort
}

func stampOf(control []byte) (time.Duration, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return 0, fmt.Errorf("read a frame's stamp: %w", err)
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS {
			t := *(*unix.Timespec)(unsafe.Pointer(&m.Data[0]))
			return time.Duration(t.Nano()), nil
		}
	}
	return 0, errors.New("a frame without the kernel's stamp")
}

func (b *beats) heard(who string, at time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	last, known := b.last[who]
	b.last[who] = at
	if !known {
		return
	}
	p := &b.pauses
	pause := at - last
	p.beats++
	for i, limit := range p.limits {
		if pause > limit {
			p.late[i]++
		}
	}
	if pause > p.max {
		p.max, p.who = pause, who
	}
}

func (p pauses) String() string {
	var late []string
	for i, what := range lateness {
		late = append(late, fmt.Sprintf("%d after more than %s (%s)", p.late[i], what, p.limits[i]))
	}
	return fmt.Sprintf("%d beats, of which %s; longest pause %s, of %s", p.beats, strings.Join(late, ", "), short(p.max), p.who)
}
