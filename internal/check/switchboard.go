package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// switchboard holds the talks of all checks whose target is an address, in one
// goroutine. With a goroutine for each, the runtime's poller and its timers, a probe costs
// three times as much, most of it for waking threads.
type switchboard struct {
	runner *Runner
	lines  []line
	began  time.Time // its times count from here

	file  *os.File // the epoll instance, which the runtime's poller watches
	epoll int
	timer int           // timerfd
	armed time.Duration // what the timer is set to

	events [64]unix.EpollEvent
	buffer [32 << 10]byte
}

// line is one check, and the talk that is under way if any is.
type line struct {
	slot *slot
	talk talk
	to   sockaddr
	due  time.Duration // when the next talk begins

	fd           int   // -1: none is under way
	talks        int32 // how many there have been: an event may be of one that is over
	began, until time.Duration
	open         bool
	unsaid       []byte
	judge        judge
	heard        []byte // what was not enough
}

// together is how many moments there are in an interval at which talks begin: some begin at
// the same one, because to wake up costs as much as a talk.
const together = 100

// ofTimer marks the timer's events; lines have their index.
const ofTimer = -1

// plain tells whether a switchboard can hold what a slot does, and with whom.
func plain(s *slot) (talk, netip.AddrPort, bool) {
	t, ok := s.prober.(talk)
	if !ok {
		return talk{}, netip.AddrPort{}, false
	}
	to, err := netip.ParseAddrPort(t.address)
	if err != nil || to.Addr().Zone() != "" {
		return talk{}, netip.AddrPort{}, false // a name is looked up each time
	}
	return t, netip.AddrPortFrom(to.Addr().Unmap(), to.Port()), true
}

func newSwitchboard(r *Runner, slots []*slot) (*switchboard, error) {
	b := &switchboard{runner: r, began: r.env.Now(), timer: -1}
	for _, s := range slots {
		if t, to, ok := plain(s); ok {
			b.lines = append(b.lines, line{slot: s, talk: t, to: sockaddrOf(to), fd: -1, due: r.stagger(s)})
		}
	}
	var err error
	if b.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make an epoll instance: %w", err)
	}
	if err := unix.SetNonblock(b.epoll, true); err != nil { // so that the runtime's poller takes it
		return nil, errors.Join(err, unix.Close(b.epoll))
	}
	b.file = os.NewFile(uintptr(b.epoll), "checks")
	if b.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return nil, errors.Join(fmt.Errorf("make a timer: %w", err), b.file.Close())
	}
	if err := unix.EpollCtl(b.epoll, unix.EPOLL_CTL_ADD, b.timer, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: ofTimer}); err != nil {
		return nil, errors.Join(err, unix.Close(b.timer), b.file.Close())
	}
	return b, nil
}

// run holds all talks until ctx is over. An error is one of the board itself.
func (b *switchboard) run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, b.close()) }()
	var raw syscall.RawConn
	if raw, err = b.file.SyscallConn(); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = b.file.SetReadDeadline(time.Unix(1, 0)) })() // fails if it is closed already
	var failed error
	err = raw.Read(func(uintptr) bool {
		if ctx.Err() == nil {
			failed = b.turn()
		}
		return failed != nil || ctx.Err() != nil
	})
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(err, failed)
}

func (b *switchboard) close() error {
	err := errors.Join(b.file.Close(), unix.Close(b.timer))
	for i := range b.lines {
		if fd := b.lines[i].fd; fd >= 0 {
			err = errors.Join(err, unix.Close(fd))
		}
	}
	return err
}

func (b *switchboard) now() time.Duration { return b.runner.env.Now().Sub(b.began) }

// turn does all that has come up, and sets the timer to what comes next. The runtime's poller is told
// only of what comes up from then on, so nothing may be left. A target that never stops talking
// holds up neither the others nor its own timeout.
func (b *switchboard) turn() error {
	for {
		n, err := eventsNow(b.epoll, b.events[:])
		if err != nil {
			return fmt.Errorf("ask what has come: %w", err)
		}
		if n == 0 {
			return b.arm(b.whatIsDue())
		}
		for _, e := range b.events[:n] {
			if e.Fd == ofTimer {
				var expirations [8]byte
				_, _ = readNow(b.timer, expirations[:]) // there is nothing else to it
				b.armed = 0
			} else if l := &b.lines[e.Fd]; l.fd >= 0 && l.talks == e.Pad {
				b.proceedOn(l, e.Fd)
			}
		}
		b.whatIsDue()
	}
}

// whatIsDue ends and begins talks in time, and tells when it is to be called again.
func (b *switchboard) whatIsDue() time.Duration {
	next := time.Duration(math.MaxInt64)
	now := b.now()
	for i := range b.lines {
		l := &b.lines[i]
		if l.fd >= 0 && l.until <= now {
			b.timeOut(l)
		}
		if l.fd < 0 && l.due <= now {
			b.call(l, int32(i), now)
			now = b.now()
		}
		if l.fd >= 0 {
			next = min(next, l.until)
		} else {
			next = min(next, l.due)
		}
	}
	return next
}

func (b *switchboard) arm(at time.Duration) error {
	if at == b.armed {
		return nil
	}
	b.armed = at
	in := max(1, at-b.now())
	if err := unix.TimerfdSettime(b.timer, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(in.Nanoseconds())}, nil); err != nil {
		return fmt.Errorf("set a timer: %w", err)
	}
	return nil
}

// call begins a talk.
func (b *switchboard) call(l *line, index int32, now time.Duration) {
	l.talks++
	l.began, l.until = now, now+l.slot.config.Timeout
	l.open, l.unsaid, l.judge = false, l.talk.says, l.talk.judge()
	var err error
	if l.fd, err = unix.Socket(l.to.family(), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		b.over(l, failure("connect to "+l.talk.address, err))
		return
	}
	if err = resetOnClose(l.fd); err == nil {
		err = connectNow(l.fd, l.to)
	}
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		b.over(l, unreached(l, err))
		return
	}
	b.proceed(l) // with a service on this host the connection is open by now
	if l.fd >= 0 {
		b.watch(unix.EPOLL_CTL_ADD, l, index)
	}
}

// watch asks to be told when a talk can proceed.
func (b *switchboard) watch(how int, l *line, index int32) {
	e := unix.EpollEvent{Events: l.waitsFor(), Fd: index, Pad: l.talks}
	if err := unix.EpollCtl(b.epoll, how, l.fd, &e); err != nil {
		b.over(l, failure("connect to "+l.talk.address, err))
	}
}

// waitsFor is what lets a talk proceed.
func (l *line) waitsFor() uint32 {
	if !l.open || len(l.unsaid) > 0 {
		return unix.EPOLLOUT
	}
	return unix.EPOLLIN
}

// proceedOn goes on with a talk that is watched.
func (b *switchboard) proceedOn(l *line, index int32) {
	before := l.waitsFor()
	if before == unix.EPOLLIN {
		b.hear(l)
		return
	}
	b.proceed(l)
	if l.fd >= 0 && l.waitsFor() != before {
		b.watch(unix.EPOLL_CTL_MOD, l, index)
	}
}

// proceed opens the connection and says what is to be said, as far as that needs no waiting.
func (b *switchboard) proceed(l *line) {
	if !l.open {
		err := connectNow(l.fd, l.to)
		switch {
		case errors.Is(err, unix.EINPROGRESS), errors.Is(err, unix.EALREADY):
			return
		case err == nil && l.toItself():
			err = unix.ECONNREFUSED
		}
		if err != nil {
			b.over(l, unreached(l, err))
			return
		}
		l.open = true
	}
	for len(l.unsaid) > 0 {
		n, err := sendNow(l.fd, l.unsaid)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return
		case err != nil:
			b.over(l, failure("ask "+l.talk.address, err))
			return
		}
		l.unsaid = l.unsaid[n:]
	}
	b.judge(l, nil, nil)
}

// unreached is the outcome of a connection that does not open.
func unreached(l *line, err error) Outcome {
	to, _ := netip.ParseAddrPort(l.talk.address) // plain has done so before
	return failure("connect to "+l.talk.address, &net.OpError{Op: "connect", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err})
}

// toItself: TCP lets a socket connect to itself, if the kernel happens to give it the port
// that it calls. Only a talk that says nothing would not notice.
func (l *line) toItself() bool {
	if len(l.talk.says) > 0 {
		return false
	}
	own, err := ownSockaddr(l.fd)
	return err == nil && slices.Equal(own, l.to)
}

func (b *switchboard) hear(l *line) {
	n, err := readNow(l.fd, b.buffer[:])
	switch {
	case errors.Is(err, unix.EAGAIN):
		return
	case err == nil && n == 0:
		err = io.EOF
	case err == nil && len(l.heard)+n > mostHeard:
		err = errTooLong
	}
	b.judge(l, b.buffer[:max(n, 0)], err)
}

// judge hears more of an answer.
func (b *switchboard) judge(l *line, more []byte, end error) {
	answer := more
	if len(l.heard) > 0 {
		l.heard = append(l.heard, more...)
		answer = l.heard
	}
	if out, done := l.judge(answer, end); done {
		b.over(l, out)
	} else if len(l.heard) == 0 {
		l.heard = slices.Clone(answer)
	}
}

// timeOut ends a talk that takes too long.
func (b *switchboard) timeOut(l *line) {
	switch {
	case !l.open:
		b.over(l, failure("connect to "+l.talk.address, os.ErrDeadlineExceeded))
	case len(l.unsaid) > 0:
		b.over(l, failure("ask "+l.talk.address, os.ErrDeadlineExceeded))
	default:
		b.judge(l, nil, os.ErrDeadlineExceeded)
	}
}

// over ends a talk and reports it.
func (b *switchboard) over(l *line, out Outcome) {
	if l.fd >= 0 {
		_ = closeNow(l.fd) // nothing is lost
	}
	l.fd, l.heard, l.unsaid, l.judge = -1, nil, nil, nil
	now := b.now()
	step := l.slot.config.Interval / together
	l.due = max(now, (l.began + b.runner.pause(l.slot)).Truncate(step))
	b.runner.tell(l.slot, out, b.began.Add(now), now-l.began)
}
