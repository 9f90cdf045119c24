package peer

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	// receiveBuffer holds the beats of some seconds from a large cluster.
	receiveBuffer = 4 << 20 // bytes

	// priority is TC_PRIO_CONTROL (include/uapi/linux/pkt_sched.h): the first
	// band of the default qdiscs. It needs CAP_NET_ADMIN.
	priority = 7
)

// openReceiver makes a packet socket that receives what passes the filter on
// the interface. It listens for all protocols, because only then the kernel
// hands over frames ahead of tc and of every firewall hook (net/core/dev.c,
// __netif_receive_skb_core: ptype_all comes first).
func openReceiver(ifindex int, program []bpf.Instruction) (int, error) {
	raw, err := bpf.Assemble(program)
	if err != nil {
		return 0, fmt.Errorf("assemble the receive filter: %w", err)
	}
	return openSocket(ifindex, unix.ETH_P_ALL, func(fd int) error { return setUpReceiver(fd, raw) })
}

// attachFilter puts a program in the place of the one that there is, in one step.
func attachFilter(fd int, raw []bpf.RawInstruction) error {
	program := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		program[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &fprog); err != nil {
		return fmt.Errorf("attach the receive filter: %w", err)
	}
	return nil
}

func setUpReceiver(fd int, raw []bpf.RawInstruction) error {
	if err := attachFilter(fd, raw); err != nil {
		return err
	}
	// What this host sends is no peer's; and without this option the kernel
	// would copy every frame that the host sends (dev_queue_xmit_nit).
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return fmt.Errorf("ignore outgoing frames (needs Linux 4.20): %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); err != nil {
		return fmt.Errorf("size the receive buffer (needs CAP_NET_ADMIN): %w", err)
	}
	return nil
}

// openSender makes a packet socket that only sends: with protocol 0 it
// receives nothing.
func openSender(ifindex int) (int, error) {
	return openSocket(ifindex, 0, func(fd int) error {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, priority); err != nil {
			return fmt.Errorf("set the priority of beats (needs CAP_NET_ADMIN): %w", err)
		}
		return nil
	})
}

// openSocket makes a packet socket, sets it up and only then binds it: nothing
// comes past the filter.
func openSocket(ifindex int, protocol uint16, setUp func(fd int) error) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("open a packet socket (needs root or CAP_NET_RAW): %w", err)
	}
	if err = setUp(fd); err == nil {
		if err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(protocol), Ifindex: ifindex}); err == nil {
			return fd, nil
		}
		err = fmt.Errorf("bind the packet socket: %w", err)
	}
	_ = unix.Close(fd)
	return -1, err
}

// networkOrder is what packet(7) wants a protocol in.
func networkOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}
