package probe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	snapLength    = 256      // bytes of a frame that are looked at
	captureBuffer = 32 << 20 // bytes of frames that may wait to be read
	listenAgain   = 50 * time.Millisecond
)

// capture reads frames below everything that the host's kernel does to them.
type capture struct{ fd int }

// openCapture begins to collect the frames that arrive (not those that leave)
// on the interface, or on all of the namespace if ifindex is 0, and pass the
// filter. The caller's thread must be inside the namespace.
func openCapture(ifindex int, filter []bpf.Instruction) (*capture, error) {
	// Protocol 0 collects nothing until the filter is in place (packet(7)).
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	c := &capture{fd: fd}
	if err := c.prepare(ifindex, filter); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *capture) prepare(ifindex int, filter []bpf.Instruction) error {
	program, err := bpf.Assemble(filter)
	if err != nil {
		return fmt.Errorf("assemble the capture's filter: %w", err)
	}
	raw := make([]unix.SockFilter, len(program))
	for i, ins := range program {
		raw[i] = unix.SockFilter{Code: ins.Op, Jt: ins.Jt, Jf: ins.Jf, K: ins.K}
	}
	wait := unix.NsecToTimeval(listenAgain.Nanoseconds())
	err = errors.Join(
		unix.SetsockoptSockFprog(c.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(raw)), Filter: &raw[0]}),
		unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, captureBuffer),
		// The filter would refuse them, but not before the kernel has cloned each.
		unix.SetsockoptInt(c.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
	)
	if err != nil {
		return fmt.Errorf("prepare a packet socket: %w", err)
	}
	all := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8) // network order
	if err := unix.Bind(c.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifindex}); err != nil {
		return fmt.Errorf("listen to interface %d: %w", ifindex, err)
	}
	return nil
}

// each calls f for every frame until ctx ends and what has been collected by
// then is read. The frame is good until f returns.
func (c *capture) each(ctx context.Context, f func(frame []byte)) error {
	buf := make([]byte, snapLength)
	for {
		ended := ctx.Err() != nil
		flags := 0
		if ended {
			flags = unix.MSG_DONTWAIT
		}
		n, _, err := unix.Recvfrom(c.fd, buf, flags)
		switch {
		case err == nil:
			f(buf[:n])
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENETDOWN):
		case errors.Is(err, unix.EAGAIN):
			if ended {
				return nil
			}
		default:
			return fmt.Errorf("read frames: %w", err)
		}
	}
}

// missed counts the frames that came faster than they were read, since the last call.
func (c *capture) missed() (int, error) {
	stats, err := unix.GetsockoptTpacketStats(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, fmt.Errorf("count missed frames: %w", err)
	}
	return int(stats.Drops), nil
}

func (c *capture) close() error { return unix.Close(c.fd) }

// notOutgoing lets the rest of a filter see arriving frames alone.
func notOutgoing(rest []bpf.Instruction) []bpf.Instruction {
	return append([]bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.PACKET_OUTGOING, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
	}, rest...)
}

// handshakes passes TCP segments with SYN or RST set, IPv4 and IPv6.
var handshakes = notOutgoing([]bpf.Instruction{
	bpf.LoadAbsolute{Off: 12, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherTypeIPv4, SkipFalse: 5},
	bpf.LoadAbsolute{Off: ethernet + 9, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_TCP, SkipFalse: 9},
	bpf.LoadMemShift{Off: ethernet},
	bpf.LoadIndirect{Off: ethernet + 13, Size: 1},
	bpf.Jump{Skip: 4},
	// IPv6, A holds the EtherType
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherTypeIPv6, SkipFalse: 5},
	bpf.LoadAbsolute{Off: ethernet + 6, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_TCP, SkipFalse: 3},
	bpf.LoadAbsolute{Off: ethernet + ipv6Header + 13, Size: 1},
	// A holds the flags
	bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: flagSYN | flagRST, SkipFalse: 1},
	bpf.RetConstant{Val: snapLength},
	bpf.RetConstant{Val: 0},
})

// neighbours passes ARP and neighbour discovery.
var neighbours = notOutgoing([]bpf.Instruction{
	bpf.LoadAbsolute{Off: 12, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherTypeARP, SkipTrue: 6},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherTypeIPv6, SkipFalse: 6},
	bpf.LoadAbsolute{Off: ethernet + 6, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMPV6, SkipFalse: 4},
	bpf.LoadAbsolute{Off: ethernet + ipv6Header, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpLessThan, Val: ndRouterSolicitation, SkipTrue: 2},
	bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: ndRedirect, SkipTrue: 1},
	bpf.RetConstant{Val: snapLength},
	bpf.RetConstant{Val: 0},
})
