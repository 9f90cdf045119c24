package probe

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// poller waits for many sockets and for a clock's tick on one thread.
type poller struct {
	epoll, timer int
	buf          [512]unix.EpollEvent
	ready        []readiness
}

// readiness says that the socket added under (id, generation) may have moved on.
type readiness struct{ id, generation int32 }

const timerID = -1

// newPoller ticks every tick (1 µs and more).
func newPoller(tick time.Duration) (*poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll: %w", err)
	}
	p := &poller{epoll: epoll, timer: -1}
	if p.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return nil, errors.Join(fmt.Errorf("make a timer: %w", err), p.close())
	}
	every := unix.NsecToTimespec(tick.Nanoseconds())
	spec := &unix.ItimerSpec{Interval: every, Value: every}
	if err := unix.TimerfdSettime(p.timer, 0, spec, nil); err != nil {
		return nil, errors.Join(fmt.Errorf("set a timer to %s: %w", tick, err), p.close())
	}
	event := &unix.EpollEvent{Events: unix.EPOLLIN, Fd: timerID}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, p.timer, event); err != nil {
		return nil, errors.Join(fmt.Errorf("wait for a timer: %w", err), p.close())
	}
	return p, nil
}

// add waits for fd, edge-triggered, until it is closed.
func (p *poller) add(fd int, r readiness) error {
	event := &unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET,
		Fd:     r.id, Pad: r.generation,
	}
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, event); err != nil {
		return fmt.Errorf("wait for a socket: %w", err)
	}
	return nil
}

// wait returns what became ready, or that the clock ticked, or both. The
// result is good until the next call.
func (p *poller) wait() (ready []readiness, ticked bool, err error) {
	n, err := unix.EpollWait(p.epoll, p.buf[:], -1)
	if errors.Is(err, unix.EINTR) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("wait for sockets: %w", err)
	}
	p.ready = p.ready[:0]
	for _, e := range p.buf[:n] {
		if e.Fd != timerID {
			p.ready = append(p.ready, readiness{e.Fd, e.Pad})
			continue
		}
		var expirations [8]byte
		if _, err := unix.Read(p.timer, expirations[:]); err == nil {
			ticked = true
		}
	}
	return p.ready, ticked, nil
}

func (p *poller) close() error {
	err := unix.Close(p.epoll)
	if p.timer >= 0 {
		err = errors.Join(err, unix.Close(p.timer))
	}
	return err
}
