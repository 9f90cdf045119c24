package probe

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/rota-cluster/rota/internal/lab/segment"
)

const bindingsKept = 4096 // kinds of bindings; more are only counted

// Message is a kind of message that tells where an address is.
type Message uint8

// Messages.
const (
	ARPRequest Message = iota
	ARPReply
	NeighbourSolicitation
	NeighbourAdvertisement
	RouterMessage // router solicitation or advertisement, redirect
)

var messageNames = [...]string{
	"ARP request", "ARP reply", "neighbour solicitation", "neighbour advertisement", "router message",
}

func (m Message) String() string {
	if int(m) < len(messageNames) {
		return messageNames[m]
	}
	return "unknown"
}

// Binding is what somebody said about where an address is.
type Binding struct {
	Address netip.Addr
	MAC     string // that the message binds the address to
	Message Message
	Sender  string // the host whose MAC the frame carried, or that MAC
}

func (b Binding) String() string {
	return fmt.Sprintf("%s says %s is at %s (%s)", b.Sender, b.Address, b.MAC, b.Message)
}

// Bindings listens at every port of the switch, where nothing that a host says
// escapes it, whatever faults take on the way.
type Bindings struct {
	shared  []netip.Addr
	capture *capture

	mu       sync.Mutex
	names    Names
	seen     map[Binding]int
	overflow int
	missed   int
}

// OpenBindings begins to collect what is said about the shared addresses; Run reads.
func OpenBindings(s *segment.Segment, shared []netip.Addr) (*Bindings, error) {
	b := &Bindings{shared: shared, names: make(Names), seen: make(map[Binding]int)}
	err := s.RunInSwitch(func() (err error) {
		b.capture, err = openCapture(0, neighbours)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tap the switch: %w", err)
	}
	return b, nil
}

// Run reads until ctx ends, then closes the tap.
func (b *Bindings) Run(ctx context.Context) error {
	err := b.capture.each(ctx, func(frame []byte) {
		said, ok := parseBinding(frame)
		if !ok || !slices.Contains(b.shared, said.address) {
			return
		}
		b.note(said, hardware(frame[6:12]))
	})
	missed, statErr := b.capture.missed()
	b.mu.Lock()
	b.missed += missed
	b.mu.Unlock()
	return errors.Join(err, statErr, b.capture.close())
}

// Name tells who a host is that came after the tap was opened.
func (b *Bindings) Name(h *segment.Host) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.names[[6]byte(h.MAC())] = h.Name()
}

func (b *Bindings) note(said binding, sender hardware) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := Binding{
		Address: said.address, MAC: net.HardwareAddr(said.mac[:]).String(),
		Message: said.message, Sender: b.names.of(sender),
	}
	if _, known := b.seen[key]; !known && len(b.seen) >= bindingsKept {
		b.overflow++
		return
	}
	b.seen[key]++
}

// Seen is what was said until now, and how often. The port that a frame
// enters and the bridge itself each count it.
func (b *Bindings) Seen() map[Binding]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := make(map[Binding]int, len(b.seen))
	for k, n := range b.seen {
		seen[k] = n
	}
	return seen
}

// Check tells whether anything else than a cluster's own MAC was ever bound to
// a shared address.
func (b *Bindings) Check(clusterMACs ...net.HardwareAddr) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.overflow > 0 || b.missed > 0 {
		return fmt.Errorf("the tap missed %d messages and had no room for %d: nobody knows what they said", b.missed, b.overflow)
	}
	var wrong []Binding
	for said := range b.seen {
		mac, err := net.ParseMAC(said.MAC)
		if err != nil {
			return fmt.Errorf("%s: %w", said, err)
		}
		own := func(m net.HardwareAddr) bool { return bytes.Equal(m, mac) }
		if !slices.ContainsFunc(clusterMACs, own) {
			wrong = append(wrong, said)
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.SortFunc(wrong, func(x, y Binding) int { return cmp.Compare(x.String(), y.String()) })
	return fmt.Errorf("a shared address was bound to another MAC than the cluster's, in %d ways; the first: %s", len(wrong), wrong[0])
}
