package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrInterfaceGone: the interface was removed. One of the same name is
// another interface; Open it anew.
var ErrInterfaceGone = errors.New("the interface is gone")

// Options say where beats go and come from.
type Options struct {
	Interface string           // its name, in the namespace of the calling thread
	MAC       net.HardwareAddr // the cluster's, which beats are sent to
	Addresses []netip.Addr     // shared ones, 1 … MaxAddresses; beats are sent to the first
	Source    netip.Addr       // the node's own; if none of the family of Addresses[0]: 0.0.0.0 or fe80::, made from the interface's MAC
	Port      uint16           // UDP, not 0
}

func (o *Options) check() error {
	switch {
	case len(o.MAC) != len(MAC{}):
		return fmt.Errorf("%q is not an Ethernet address", o.MAC)
	case len(o.Addresses) < 1 || len(o.Addresses) > MaxAddresses:
		return fmt.Errorf("%d shared addresses, not 1 to %d", len(o.Addresses), MaxAddresses)
	case o.Port == 0:
		return errors.New("port 0")
	}
	for _, a := range o.Addresses {
		if !a.IsValid() {
			return errors.New("a shared address is missing")
		}
	}
	return nil
}

// Payload is what a peer sent. Data is good until handle returns.
type Payload struct {
	Data                      []byte
	SourceMAC, DestinationMAC MAC
	Source, Destination       netip.Addr // as they stand in the frame: nobody vouches for them
}

// Transport sends payloads to all nodes of the segment and receives theirs.
// Send, Counters and one Run may be called side by side.
type Transport struct {
	name     string
	frame    Frame // of the next payload; the fields that stay are set
	source   netip.Addr
	socket   int
	wakeup   int // an eventfd, which ends the wait of Run
	counters counters

	mu     sync.Mutex // of what follows, and of frame
	closed bool
	buf    []byte // scratch
	to     unix.SockaddrLinklayer
}

// Open makes a Transport. The interface may be down; it counts once it is up.
func Open(o Options) (*Transport, error) {
	t, err := openTransport(o)
	if err != nil {
		return nil, fmt.Errorf("heartbeat on %s: %w", o.Interface, err)
	}
	return t, nil
}

func openTransport(o Options) (*Transport, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	link, err := net.InterfaceByName(o.Interface)
	if err != nil {
		return nil, fmt.Errorf("look for the interface: %w", err)
	}
	if len(link.HardwareAddr) != len(MAC{}) {
		return nil, errors.New("not an Ethernet interface")
	}
	destination := o.Addresses[0].Unmap().WithZone("")
	t := &Transport{
		name:   o.Interface,
		source: o.Source.Unmap().WithZone(""),
		frame:  Frame{SourceMAC: MAC(link.HardwareAddr), DestinationMAC: MAC(o.MAC), Destination: destination, DestinationPort: o.Port},
		to:     unix.SockaddrLinklayer{Ifindex: link.Index, Halen: uint8(len(MAC{})), Protocol: networkOrder(etherIPv6)},
	}
	copy(t.to.Addr[:], o.MAC)
	if destination.Is4() {
		t.to.Protocol = networkOrder(etherIPv4)
	}
	if t.socket, err = openSocket(link.Index, filter(o.Port, MAC(o.MAC), o.Addresses)); err != nil {
		return nil, err
	}
	if t.wakeup, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		_ = unix.Close(t.socket)
		return nil, fmt.Errorf("make an eventfd: %w", err)
	}
	return t, nil
}

// Close releases the socket. Run must have returned.
func (t *Transport) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	return errors.Join(unix.Close(t.socket), unix.Close(t.wakeup))
}

// SetSource follows a change of the node's own address; see Options.Source.
func (t *Transport) SetSource(a netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.source = a.Unmap().WithZone("")
}

// Send sends every payload in a frame of its own, and does not wait. When one
// fails the others are still tried; the error is the first. What is not sent is
// counted and lost: the next beat says more. ErrInterfaceGone is for good.
func (t *Transport) Send(payloads [][]byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return fmt.Errorf("send beat on %s: %w", t.name, net.ErrClosed)
	}
	t.addressFrame()
	var first error
	for i, payload := range payloads {
		if err := t.sendOne(i, payload); err != nil {
			failure := classify(err)
			t.counters.unsent[failure].Add(1)
			if failure == SendGone {
				err = ErrInterfaceGone
			}
			if first == nil {
				first = fmt.Errorf("send beat on %s: %w", t.name, err)
			}
			continue
		}
		t.counters.sent.Add(1)
	}
	return first
}

func (t *Transport) sendOne(i int, payload []byte) error {
	t.frame.SourcePort = sourcePort(t.frame.DestinationPort, i)
	t.frame.Payload = payload
	var err error
	if t.buf, err = AppendFrame(t.buf[:0], &t.frame); err != nil {
		return err
	}
	for {
		err = unix.Sendto(t.socket, t.buf, unix.MSG_DONTWAIT, &t.to)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// sourcePort is the beat's port for a first payload and another one for each
// that goes with it: a receiver that merges datagrams of one flow (UDP GRO
// forwarding) would make one of them.
func sourcePort(port uint16, i int) uint16 {
	if int(port)+i > 0xffff {
		return port - uint16(i)
	}
	return port + uint16(i)
}

// addressFrame fills in the node's side. The interface's MAC may have changed
// since the last frame, and no frame may carry another.
func (t *Transport) addressFrame() {
	if name, err := unix.Getsockname(t.socket); err == nil {
		if link, ok := name.(*unix.SockaddrLinklayer); ok && int(link.Halen) == len(MAC{}) {
			t.frame.SourceMAC = MAC(link.Addr[:])
		}
	}
	t.frame.Source = t.source
	if !t.source.IsValid() || t.source.Is4() != t.frame.Destination.Is4() {
		t.frame.Source = stopgap(t.frame.Destination, t.frame.SourceMAC)
	}
}

// stopgap is the source of a node that has no address: 0.0.0.0, which is
// this host (RFC 1122 section 3.2.1.3), or the link-local address with the
// interface identifier of RFC 4291 appendix A.
func stopgap(destination netip.Addr, mac MAC) netip.Addr {
	if destination.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
}

// Run receives until ctx is done, which is no error, and calls handle for
// every payload: in its own goroutine, so handle should be quick. It outlives
// the interface going down and up. On a thread of its own
// (runtime.LockOSThread) it waits in that thread.
func (t *Transport) Run(ctx context.Context, handle func(Payload)) error {
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_, _ = unix.Write(t.wakeup, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // an eventfd takes any 8 bytes that are not 0
	})
	defer func() {
		if !stop() {
			<-woken // or the write might meet another file at that number
		}
	}()
	buf := make([]byte, 1<<16)
	for ctx.Err() == nil {
		n, err := unix.Read(t.socket, buf)
		switch {
		case err == nil:
			t.receive(buf[:n], handle)
		case errors.Is(err, unix.EAGAIN):
			if err := t.wait(); err != nil {
				return fmt.Errorf("wait for beats on %s: %w", t.name, err)
			}
		case errors.Is(err, unix.ENETDOWN): // told once; the kernel goes on when the interface is up
			t.counters.downs.Add(1)
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("receive beats on %s: %w", t.name, err)
		}
	}
	return nil
}

// wait returns when there is something to read, or Run is to end.
func (t *Transport) wait() error {
	fds := []unix.PollFd{{Fd: int32(t.socket), Events: unix.POLLIN}, {Fd: int32(t.wakeup), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
		return err
	}
	return nil
}

func (t *Transport) receive(b []byte, handle func(Payload)) {
	f, fault := ParseFrame(b)
	if fault != FaultNone {
		t.counters.faults[fault].Add(1)
		return
	}
	t.counters.received.Add(1)
	handle(Payload{
		Data: f.Payload, SourceMAC: f.SourceMAC, DestinationMAC: f.DestinationMAC, Source: f.Source, Destination: f.Destination,
	})
}

// Counters tells what became of frames since Open.
func (t *Transport) Counters() Counters {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		// Reading them sets the kernel's to 0 (packet(7)).
		if stats, err := unix.GetsockoptTpacketStats(t.socket, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			t.counters.overruns.Add(uint64(stats.Drops))
		}
	}
	return t.counters.snapshot()
}
