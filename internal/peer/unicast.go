package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Unicast sends payloads to the nodes' own addresses, by whatever way the
// kernel knows, and receives what comes to this node's. Its methods may be
// called side by side; Receive by one goroutine.
type Unicast struct {
	conn *net.UDPConn
	raw  syscall.RawConn
	own  netip.AddrPort
	in   []byte

	sent, unsent, received atomic.Uint64
}

// UnicastCounters say what became of payloads since OpenUnicast.
type UnicastCounters struct {
	Sent     uint64 // given to the kernel
	Unsent   uint64 // not taken: no route, or not allowed
	Received uint64
}

// OpenUnicast binds the node's own address, and it alone: what comes to a shared
// address is not for it. The address need not be there yet, or still.
func OpenUnicast(own netip.Addr, port uint16) (*Unicast, error) {
	at := netip.AddrPortFrom(own.Unmap().WithZone(""), port)
	if !usable(at.Addr()) || port == 0 {
		return nil, fmt.Errorf("unicast beats: %s is not an address to send from", at)
	}
	network := "udp6"
	if at.Addr().Is4() {
		network = "udp4"
	}
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) { failed = setUpUnicast(int(fd), at.Addr().Is4()) })
		return errors.Join(err, failed)
	}}
	listening, err := config.ListenPacket(context.Background(), network, at.String())
	if err != nil {
		return nil, fmt.Errorf("unicast beats: %w", err)
	}
	u := &Unicast{conn: listening.(*net.UDPConn), own: at, in: make([]byte, 1<<16)}
	if u.raw, err = u.conn.SyscallConn(); err != nil {
		return nil, errors.Join(err, u.conn.Close())
	}
	return u, nil
}

// setUpUnicast: a beat that is too long for the way is fragmented, not lost.
func setUpUnicast(fd int, v4 bool) error {
	options := []struct {
		what                 string
		level, option, value int
	}{
		{"bind an address that may not be there", unix.SOL_IPV6, unix.IPV6_FREEBIND, 1},
		{"allow fragments", unix.SOL_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DONT},
		{"set the class of beats", unix.SOL_IPV6, unix.IPV6_TCLASS, trafficClass},
		{"set the priority of beats (needs CAP_NET_ADMIN)", unix.SOL_SOCKET, unix.SO_PRIORITY, priority}, // after the class, which sets another
	}
	if v4 {
		options[0].level, options[0].option = unix.SOL_IP, unix.IP_FREEBIND
		options[1].level, options[1].option, options[1].value = unix.SOL_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT
		options[2].level, options[2].option = unix.SOL_IP, unix.IP_TOS
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.option, o.value); err != nil {
			return fmt.Errorf("%s: %w", o.what, err)
		}
	}
	return nil
}

// usable tells whether a node may have the address to itself.
func usable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && !a.IsLinkLocalUnicast()
}

// Send sends every payload to a node's own address and does not wait. What the
// kernel does not take is counted and lost: it is tried because something is broken.
func (u *Unicast) Send(to netip.Addr, payloads [][]byte) {
	to = to.Unmap().WithZone("")
	if !usable(to) || to.Is4() != u.own.Addr().Is4() || to == u.own.Addr() {
		u.unsent.Add(uint64(len(payloads)))
		return
	}
	var address unix.Sockaddr = &unix.SockaddrInet6{Port: int(u.own.Port()), Addr: to.As16()}
	if to.Is4() {
		address = &unix.SockaddrInet4{Port: int(u.own.Port()), Addr: to.As4()}
	}
	for _, payload := range payloads {
		var failed error
		err := u.raw.Control(func(fd uintptr) { failed = unix.Sendto(int(fd), payload, unix.MSG_DONTWAIT, address) })
		if err != nil || failed != nil {
			u.unsent.Add(1)
			continue
		}
		u.sent.Add(1)
	}
}

// Receive waits for one payload and hands it over. It ends with os.ErrClosed.
func (u *Unicast) Receive(handle func(Payload)) error {
	n, from, err := u.conn.ReadFromUDPAddrPort(u.in)
	switch {
	case errors.Is(err, net.ErrClosed):
		return fmt.Errorf("wait for unicast beats: %w", os.ErrClosed)
	case err != nil:
		return fmt.Errorf("wait for unicast beats: %w", err)
	}
	u.received.Add(1)
	handle(Payload{Data: u.in[:n], Source: from.Addr().Unmap(), Destination: u.own.Addr()})
	return nil
}

// Close ends Receive.
func (u *Unicast) Close() error { return u.conn.Close() }

// Counters since OpenUnicast.
func (u *Unicast) Counters() UnicastCounters {
	return UnicastCounters{Sent: u.sent.Load(), Unsent: u.unsent.Load(), Received: u.received.Load()}
}
