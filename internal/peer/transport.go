package peer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/bpf"
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
	// Beside: the interface is not the one that serves. Beats go to all stations of its
	// network, which no switch holds back, in place of the cluster's MAC; only those
	// to a shared address are received: other clusters may be there.
	Beside bool
}

// broadcast is the Ethernet address of all stations.
var broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func (o *Options) check() error {
	switch {
	case len(o.MAC) != len(MAC{}) && !o.Beside:
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

// Beside tells whether it was sent for another network than the service's, and
// only comes here because the two are one.
func (p *Payload) Beside() bool { return p.DestinationMAC == broadcast }

// Transport sends payloads to all nodes of the segment and receives theirs.
// Its methods may be called side by side; Receive by one goroutine.
type Transport struct {
	name     string
	beside   bool
	waiter   *waiter
	counters counters

	// Of Receive alone:
	in      []byte      // the newest frame
	try     func() bool // read, as a value made once
	got     int
	readErr error // EAGAIN: there was none

	mu       sync.Mutex // of what follows
	closed   bool
	sender   int // a socket
	receiver int // another; Receive reads from it without mu
	to       unix.SockaddrLinklayer
	source   netip.Addr // Options.Source
	frame    Frame      // the next one; what is the same in all is set
	tried    uint64     // frames
	buf      []byte     // scratch
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
	station, program := broadcast, filterBeside(o.Port, o.Addresses)
	if !o.Beside {
		station, program = MAC(o.MAC), filter(o.Port, MAC(o.MAC), o.Addresses)
	}
	t := &Transport{
		name:   o.Interface,
		beside: o.Beside,
		source: o.Source.Unmap().WithZone(""),
		frame:  Frame{SourceMAC: MAC(link.HardwareAddr), DestinationMAC: station, DestinationPort: o.Port},
		to:     unix.SockaddrLinklayer{Ifindex: link.Index, Halen: uint8(len(MAC{}))},
	}
	copy(t.to.Addr[:], station[:])
	t.sendTo(o.Addresses[0])
	if t.sender, err = openSender(link.Index); err != nil {
		return nil, err
	}
	if t.receiver, err = openReceiver(link.Index, program); err != nil {
		return nil, errors.Join(err, unix.Close(t.sender))
	}
	if t.waiter, err = newWaiter(t.receiver); err != nil {
		return nil, errors.Join(err, unix.Close(t.sender), unix.Close(t.receiver))
	}
	t.in, t.try = make([]byte, 1<<16), t.read
	return t, nil
}

// Close releases the sockets and ends Receive with os.ErrClosed.
func (t *Transport) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	return errors.Join(t.waiter.close(), unix.Close(t.sender), unix.Close(t.receiver))
}

// Name is the interface's, as it was at Open.
func (t *Transport) Name() string { return t.name }

func (t *Transport) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

// SetSource follows a change of the node's own address; see Options.Source.
func (t *Transport) SetSource(a netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.source = a.Unmap().WithZone("")
}

// SetAddresses follows a change of the shared addresses: those are received from now on, and
// beats are sent to the first if the one that they went to is not among them. The
// cluster's MAC stays.
func (t *Transport) SetAddresses(addresses []netip.Addr) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(addresses) < 1 || len(addresses) > MaxAddresses {
		return fmt.Errorf("heartbeat on %s: %d shared addresses, not 1 to %d, or it is closed", t.name, len(addresses), MaxAddresses)
	}
	program := filterBeside(t.frame.DestinationPort, addresses)
	if !t.beside {
		program = filter(t.frame.DestinationPort, t.frame.DestinationMAC, addresses)
	}
	raw, err := bpf.Assemble(program)
	if err != nil {
		return fmt.Errorf("assemble the receive filter: %w", err)
	}
	if err := attachFilter(t.receiver, raw); err != nil {
		return err
	}
	if !slices.ContainsFunc(addresses, func(a netip.Addr) bool { return a.Unmap() == t.frame.Destination }) {
		t.sendTo(addresses[0])
	}
	return nil
}

// sendTo chooses the shared address that beats are sent to.
func (t *Transport) sendTo(a netip.Addr) {
	t.frame.Destination = a.Unmap().WithZone("")
	t.to.Protocol = networkOrder(etherIPv6)
	if t.frame.Destination.Is4() {
		t.to.Protocol = networkOrder(etherIPv4)
	}
}

// Send sends every payload in a frame of its own, and does not wait. When one
// fails the others are still tried; the error is the first. What is not sent is
// counted and lost: the next beat says more. ErrInterfaceGone is for good.
func (t *Transport) Send(payloads [][]byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return fmt.Errorf("send beat on %s: %w", t.name, os.ErrClosed)
	}
	if !t.addressFrame() {
		t.counters.unsent[SendGone].Add(uint64(len(payloads)))
		return fmt.Errorf("send beat on %s: %w", t.name, ErrInterfaceGone)
	}
	var first error
	for _, payload := range payloads {
		if err := t.sendOne(payload); err != nil {
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

func (t *Transport) sendOne(payload []byte) error {
	t.tried++
	t.frame.SourcePort = sourcePort(t.frame.DestinationPort, t.tried)
	t.frame.Payload = payload
	var err error
	if t.buf, err = AppendFrame(t.buf[:0], &t.frame); err != nil {
		return err
	}
	for {
		err = sendNow(t.sender, t.buf, &t.to)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// sourcePorts is how many a sender uses, from the beat's own on (or down from
// it, where there are not as many above).
const sourcePorts = 64

// sourcePort is another one for every frame: a receiver that merges datagrams
// of one flow (UDP GRO forwarding) would make one of several parts.
func sourcePort(port uint16, frame uint64) uint16 {
	step := uint16(frame % sourcePorts)
	if port > 0xffff-(sourcePorts-1) {
		return port - step
	}
	return port + step
}

// addressFrame fills in the node's side. The interface's MAC may have changed
// since the last frame, and no frame may carry another. It is false if the
// interface has left this namespace: the kernel has unbound the sockets then
// (packet_notifier, net/packet/af_packet.c), and nothing is received any more,
// also if it comes back under its number.
func (t *Transport) addressFrame() bool {
	if link, err := boundTo(t.sender); err == nil {
		if int(link.Ifindex) != t.to.Ifindex {
			return false
		}
		if int(link.Halen) == len(MAC{}) {
			t.frame.SourceMAC = MAC(link.Addr[:])
		}
	}
	t.frame.Source = t.source
	if !t.source.IsValid() || t.source.Is4() != t.frame.Destination.Is4() {
		t.frame.Source = stopgap(t.frame.Destination, t.frame.SourceMAC)
	}
	return true
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

// Receive waits for frames until CLOCK_MONOTONIC reads until (0: for ever), or until Interrupt, and calls
// handle for the payload of each that comes. It returns nil when it is time,
// when it was interrupted, and after every frame. Only one Receive may be under
// way. It outlives the interface going down and up.
func (t *Transport) Receive(until time.Duration, handle func(Payload)) error {
	t.readErr = unix.EAGAIN
	err := t.waiter.wait(until, t.try)
	switch {
	case err != nil:
		if t.isClosed() { // which the runtime tells by an error of its own
			err = os.ErrClosed
		}
		return fmt.Errorf("wait for beats on %s: %w", t.name, err)
	case t.readErr == nil:
		t.receive(t.in[:t.got], handle)
	case errors.Is(t.readErr, unix.ENETDOWN): // told once; the kernel goes on when the interface is up
		t.counters.downs.Add(1)
	case !errors.Is(t.readErr, unix.EINTR) && !errors.Is(t.readErr, unix.EAGAIN):
		return fmt.Errorf("receive beats on %s: %w", t.name, t.readErr)
	}
	return nil
}

// read tells whether the socket had something to say.
func (t *Transport) read() bool {
	t.got, t.readErr = readNow(t.receiver, t.in)
	return !errors.Is(t.readErr, unix.EAGAIN)
}

// Interrupt ends a Receive that is under way, or the next one.
func (t *Transport) Interrupt() { t.waiter.interrupt() }

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
	if !t.closed { // then the last numbers stay
		// Reading the kernel's numbers sets them to 0 (packet(7)).
		if stats, err := unix.GetsockoptTpacketStats(t.receiver, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			t.counters.overruns.Add(uint64(stats.Drops))
		}
	}
	return t.counters.snapshot()
}
