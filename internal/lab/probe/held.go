package probe

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// HeldOptions of connections that stay open. The service answers each line
// with its node's name, a space and the line.
type HeldOptions struct {
	To          netip.AddrPort
	Connections int           // 1 … 10,000, default 300
	Every       time.Duration // one line per connection; default 20 ms, at least 1 ms
	Patience    time.Duration // without an answer a connection counts as broken; default 10 s
}

// Held holds connections open and keeps asking on each.
type Held struct {
	client *Client
	o      HeldOptions
	open   atomic.Int32 // answered at least once and not broken
	broken atomic.Int32

	mu     sync.Mutex // held while the loop works, not while it waits
	lines  []line
	report HeldReport
	begin  time.Time // of the report
}

// line is one held connection.
type line struct {
	id      int32
	fd      int
	from    netip.AddrPort
	opened  bool // the handshake is over
	waiting bool // for the answer to question number asked
	asked   int
	since   time.Time // when it last began to wait: for the handshake, or an answer
	due     time.Time
	node    string
	reply   [128]byte
	got     int
}

// HeldReport is what became of held connections since the start, or since the last Lap.
type HeldReport struct {
	Opened  int            // have got at least one answer, ever
	ByNode  map[string]int // of Opened
	Asked   int
	Answers int
	Broken  []Break
	Longest time.Duration // without an answer, over all connections
	Latency Latency
	Stalled time.Duration // see FlowReport
	Took    time.Duration
}

// Break is a held connection that did not hold.
type Break struct {
	Source netip.AddrPort
	Node   string // that answered on it; "" if none ever did
	Reason string
	At     time.Time
}

// Check tells what a user would call wrong: a connection that broke.
func (r HeldReport) Check() error {
	if len(r.Broken) == 0 {
		return nil
	}
	b := r.Broken[0]
	return fmt.Errorf("%d of %d held connections broke; the first: %s with %s, %s",
		len(r.Broken), r.Opened+r.neverOpened(), b.Source, cmp.Or(b.Node, "nobody"), b.Reason)
}

func (r HeldReport) neverOpened() int {
	n := 0
	for _, b := range r.Broken {
		if b.Node == "" {
			n++
		}
	}
	return n
}

func (r HeldReport) String() string {
	return fmt.Sprintf("%d connections held for %s: %d broken; with %s; longest unanswered %s; %s; the probe itself stalled for up to %s",
		r.Opened, short(r.Took), len(r.Broken), tally(r.ByNode), short(r.Longest), &r.Latency, short(r.Stalled))
}

// Held makes a probe of held connections. It opens nothing before Run.
func (c *Client) Held(o HeldOptions) (*Held, error) {
	o.Connections = cmp.Or(o.Connections, 300)
	o.Every = cmp.Or(o.Every, 20*time.Millisecond)
	o.Patience = cmp.Or(o.Patience, 10*time.Second)
	if o.Connections < 1 || o.Connections > 10_000 || o.Every < time.Millisecond {
		return nil, fmt.Errorf("%d held connections asked every %s: want 1 to 10,000, at least 1ms", o.Connections, o.Every)
	}
	h := &Held{client: c, o: o, lines: make([]line, o.Connections)}
	for i := range h.lines {
		from, err := c.next(o.To)
		if err != nil {
			return nil, err
		}
		h.lines[i] = line{id: int32(i), fd: -1, from: from}
	}
	return h, nil
}

// WaitOpen waits until every connection has got an answer or is broken.
func (h *Held) WaitOpen(ctx context.Context) error {
	tick := time.NewTicker(h.o.Every)
	defer tick.Stop()
	for {
		open := h.open.Load()
		if int(open+h.broken.Load()) == len(h.lines) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d connections to %s are open: %w", open, len(h.lines), h.o.To, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// Unopened tells of connections that broke before they got any answer.
func (h *Held) Unopened() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var sources []netip.AddrPort
	for _, b := range h.report.Broken {
		if b.Node == "" {
			sources = append(sources, b.Source)
		}
	}
	if sources == nil {
		return nil
	}
	text := fmt.Sprintf("%d of %d connections to %s were never answered", len(sources), len(h.lines), h.o.To)
	return &NoAnswerError{Text: text, To: h.o.To, From: sources}
}

// Broken counts the connections that broke so far.
func (h *Held) Broken() int { return int(h.broken.Load()) }

// Run opens the connections and asks on them until ctx ends. It reports what
// was since the last Lap.
func (h *Held) Run(ctx context.Context) (HeldReport, error) {
	return inHost(h.client, func() (HeldReport, error) {
		err := h.loop(ctx)
		return h.Lap(), err
	})
}

// Lap reports what was since the last call, or since the start, while Run goes on.
func (h *Held) Lap() HeldReport {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	report := h.report
	report.Took, report.ByNode = now.Sub(h.begin), make(map[string]int)
	for i := range h.lines {
		l := &h.lines[i]
		if l.node != "" {
			report.Opened++
			report.ByNode[l.node]++
		}
		if l.fd >= 0 && l.waiting {
			report.Longest = max(report.Longest, now.Sub(l.since))
		}
	}
	h.report, h.begin = HeldReport{}, now
	return report
}

func (h *Held) loop(ctx context.Context) (err error) {
	tick := max(h.o.Every/8, time.Millisecond)
	p, err := newPoller(tick)
	if err != nil {
		return err
	}
	defer func() {
		h.close()
		err = errors.Join(err, p.close())
	}()
	if err := h.openAll(p); err != nil {
		return err
	}
	looked := time.Now()
	for ctx.Err() == nil {
		ready, ticked, err := p.wait()
		if err != nil {
			return err
		}
		h.mu.Lock()
		for _, r := range ready {
			h.advance(&h.lines[r.id])
		}
		if ticked {
			now := time.Now()
			h.report.Stalled = max(h.report.Stalled, now.Sub(looked)-tick)
			looked = now
			for i := range h.lines {
				h.ask(&h.lines[i], now)
			}
		}
		h.mu.Unlock()
	}
	return nil
}

func (h *Held) openAll(p *poller) (err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.begin = time.Now()
	for i := range h.lines {
		l := &h.lines[i]
		l.due = h.begin.Add(h.o.Every * time.Duration(i) / time.Duration(len(h.lines)))
		l.since = h.begin
		if l.fd, err = openSocket(l.from, h.o.To); err != nil {
			h.breakOff(l, err.Error())
			continue
		}
		if err := p.add(l.fd, readiness{id: l.id}); err != nil {
			return err
		}
	}
	return nil
}

// ask sends the connection's next line if it is due, and loses patience with a
// silent one.
func (h *Held) ask(l *line, now time.Time) {
	if l.fd < 0 {
		return
	}
	if (l.waiting || !l.opened) && now.Sub(l.since) > h.o.Patience {
		h.breakOff(l, fmt.Sprintf("no answer for %s", h.o.Patience))
		return
	}
	if !l.opened || l.waiting || now.Before(l.due) {
		return
	}
	l.due = l.due.Add(h.o.Every * (1 + now.Sub(l.due)/h.o.Every)) // out of step with the others, as before
	l.asked++
	h.report.Asked++
	l.waiting, l.since, l.got = true, now, 0
	question := append(strconv.AppendInt(nil, int64(l.asked), 10), '\n')
	if _, err := unix.Write(l.fd, question); err != nil {
		h.breakOff(l, err.Error())
	}
}

func (h *Held) advance(l *line) {
	if l.fd < 0 {
		return
	}
	if err := socketError(l.fd); err != nil {
		h.breakOff(l, err.Error())
		return
	}
	if !l.opened {
		l.opened = true // the first event without an error is the end of the handshake
		return
	}
	for {
		n, err := unix.Read(l.fd, l.reply[l.got:])
		switch {
		case errors.Is(err, unix.EAGAIN):
			return
		case err != nil:
			h.breakOff(l, err.Error())
			return
		case n == 0:
			h.breakOff(l, "closed by the node")
			return
		}
		l.got += n
		if !h.hear(l) {
			return
		}
	}
}

// hear looks at what has been answered so far. It is false if the connection broke.
func (h *Held) hear(l *line) bool {
	answer, _, complete := bytes.Cut(l.reply[:l.got], []byte("\n"))
	if !complete {
		return true
	}
	node, number, _ := bytes.Cut(answer, []byte(" "))
	if !l.waiting || string(number) != strconv.Itoa(l.asked) || l.node != "" && string(node) != l.node {
		h.breakOff(l, fmt.Sprintf("asked %d, answered %q", l.asked, answer))
		return false
	}
	if l.node == "" {
		l.node = string(node)
		h.open.Add(1)
	}
	waited := time.Since(l.since)
	l.waiting, l.got = false, 0
	h.report.Longest = max(h.report.Longest, waited)
	h.report.Answers++
	h.report.Latency.add(waited)
	return true
}

func (h *Held) breakOff(l *line, reason string) {
	if l.fd >= 0 {
		_ = unix.Close(l.fd)
		l.fd = -1
	}
	if l.node != "" {
		h.open.Add(-1)
	}
	h.broken.Add(1)
	h.report.Broken = append(h.report.Broken, Break{Source: l.from, Node: l.node, Reason: reason, At: time.Now()})
}

// close ends the connections. What they waited for in vain counts.
func (h *Held) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.lines {
		l := &h.lines[i]
		if l.fd < 0 {
			continue
		}
		if l.waiting {
			h.report.Longest = max(h.report.Longest, time.Since(l.since))
		}
		_ = unix.Close(l.fd)
		l.fd = -1
	}
}
