package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/rota-cluster/rota/internal/lab/segment"
)

const (
	answersKept = 1 << 17 // SYNs whose answerer is remembered; the oldest are forgotten
	storiesKept = 1 << 10 // second answers that are told one by one
)

// Names gives the senders of frames names.
type Names map[[6]byte]string

// NamesOf names the hosts of a segment.
func NamesOf(hosts []*segment.Host) Names {
	names := make(Names)
	for _, h := range hosts {
		names[[6]byte(h.MAC())] = h.Name()
	}
	return names
}

func (n Names) of(mac hardware) string {
	if name, ok := n[mac]; ok {
		return name
	}
	return net.HardwareAddr(mac[:]).String()
}

// Tap reads what arrives at a client and finds what sockets hide: a SYN that
// two nodes answer, and a connection that another node than its own resets.
type Tap struct {
	client  *Client
	shared  []netip.Addr
	names   Names
	capture *capture

	seed maphash.Seed

	mu     sync.Mutex          // held for each frame
	bySYN  map[uint64]hardware // who answered a SYN: the tuple and its sequence number
	kept   []uint64            // the keys of bySYN in the order of their coming
	oldest int
	byFlow map[uint64]hardware // who answered the tuple last
	report TapReport
}

// TapReport is what a tap saw since it was opened, or since the last Lap.
type TapReport struct {
	Answers map[string]int // SYNs answered, by node; an answer sent again counts once
	Twice   int            // SYNs that a second node answered as well
	Stories []SecondAnswer // of Twice, the first ones
	// Resets that came from the connection's own node (Node == By), from
	// another one, or for a SYN that nobody answered (Node == "").
	Resets map[ResetBy]int
	Missed int // frames that came faster than the tap could read
}

// SecondAnswer is a SYN that two nodes answered.
type SecondAnswer struct {
	Client, Server netip.AddrPort
	First, Second  string
	At             time.Time // when the tap read the second
}

// ResetBy is a kind of reset: whose connection, and who reset it.
type ResetBy struct{ Node, By string }

// OpenTap begins to collect at the client; Run reads. Only what comes from the
// shared addresses counts.
func (c *Client) OpenTap(shared []netip.Addr, names Names) (*Tap, error) {
	t := &Tap{
		client: c, shared: shared, names: names, seed: maphash.MakeSeed(),
		bySYN: make(map[uint64]hardware), byFlow: make(map[uint64]hardware), report: newTapReport(),
	}
	err := c.host.Run(func() error {
		eth, err := net.InterfaceByName(segment.InterfaceName)
		if err != nil {
			return err
		}
		t.capture, err = openCapture(eth.Index, handshakes)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tap %s: %w", c.host.Name(), err)
	}
	return t, nil
}

func newTapReport() TapReport {
	return TapReport{Answers: make(map[string]int), Resets: make(map[ResetBy]int)}
}

// Run reads until ctx ends, then closes the tap. It reports what was since the
// last Lap. A Tap runs once.
func (t *Tap) Run(ctx context.Context) (TapReport, error) {
	return inHost(t.client, func() (TapReport, error) {
		err := t.capture.each(ctx, func(frame []byte) {
			if s, ok := parseTCP(frame); ok && slices.Contains(t.shared, s.from.Addr()) {
				t.see(s)
			}
		})
		report, statErr := t.Lap()
		return report, errors.Join(err, statErr, t.capture.close())
	})
}

// Lap reports what was since the last call, or since the start, while Run goes on.
func (t *Tap) Lap() (TapReport, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	report := t.report
	t.report = newTapReport()
	var err error
	report.Missed, err = t.capture.missed()
	return report, err
}

func (t *Tap) see(s tcpHead) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case s.flags&flagRST != 0:
		node := ""
		if mac, known := t.byFlow[t.key(s, 0)]; known {
			node = t.names.of(mac)
		}
		t.report.Resets[ResetBy{Node: node, By: t.names.of(s.sender)}]++
	case s.flags&flagACK != 0:
		t.seeAnswer(s)
	}
}

// seeAnswer judges a SYN-ACK. It acknowledges its SYN's sequence number, which
// tells connections from one source apart.
func (t *Tap) seeAnswer(s tcpHead) {
	syn := t.key(s, s.ack)
	first, known := t.bySYN[syn]
	if !known {
		t.remember(syn, s.sender)
		t.byFlow[t.key(s, 0)] = s.sender
		t.report.Answers[t.names.of(s.sender)]++
		return
	}
	if first == s.sender {
		return // sent again
	}
	t.report.Twice++
	if len(t.report.Stories) < storiesKept {
		t.report.Stories = append(t.report.Stories, SecondAnswer{
			Client: s.to, Server: s.from, First: t.names.of(first), Second: t.names.of(s.sender), At: time.Now(),
		})
	}
}

func (t *Tap) remember(syn uint64, sender hardware) {
	if len(t.kept) < answersKept {
		t.kept = append(t.kept, syn)
	} else {
		delete(t.bySYN, t.kept[t.oldest])
		t.kept[t.oldest] = syn
		t.oldest = (t.oldest + 1) % answersKept
	}
	t.bySYN[syn] = sender
}

func (t *Tap) key(s tcpHead, ack uint32) uint64 {
	return maphash.Comparable(t.seed, struct {
		from, to netip.AddrPort
		ack      uint32
	}{s.from, s.to, ack})
}

// Check tells what a user would call wrong: a second answer, or a connection
// reset by another node than its own, unless its own is among the dead (whose
// connections a new owner may reset). A tap that missed frames proves nothing.
func (r TapReport) Check(dead ...string) error {
	if r.Missed > 0 {
		return fmt.Errorf("the tap missed %d frames: nobody knows whether something was answered twice", r.Missed)
	}
	if r.Twice > 0 {
		s := r.Stories[0]
		return fmt.Errorf("%d connections were answered twice; the first: %s to %s by %s and %s",
			r.Twice, s.Client, s.Server, s.First, s.Second)
	}
	for kind, n := range r.Resets {
		if kind.Node != kind.By && kind.Node != "" && !slices.Contains(dead, kind.Node) {
			return fmt.Errorf("%s reset connections of %s %d times", kind.By, kind.Node, n)
		}
	}
	return nil
}

// String tells the numbers in one line.
func (r TapReport) String() string {
	resets := make(map[string]int)
	for kind, n := range r.Resets {
		resets[fmt.Sprintf("of %s by %s", cmp.Or(kind.Node, "nobody"), kind.By)] += n
	}
	return fmt.Sprintf("answers by %s; %d answered twice; resets %s; %d frames missed",
		tally(r.Answers), r.Twice, tally(resets), r.Missed)
}
