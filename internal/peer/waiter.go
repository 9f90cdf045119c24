package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// waiter waits in one place for a socket, a time and an interrupt: for an epoll
// instance, which the runtime's poller watches. The kernel keeps the time: a timer of the
// runtime is 0.6 to 1 ms late, this 0.2 ms (BenchmarkLate).
type waiter struct {
	file  *os.File // the epoll instance
	raw   syscall.RawConn
	timer int // timerfd
	event int // eventfd: there is an interrupt to look for

	// Of wait alone. A closure for each wait would be made a hundred times a second.
	look   func(uintptr) bool // over
	until  time.Duration
	try    func() bool
	armed  time.Duration // what the timer is set to
	failed error
	count  [8]byte // what drain finds

	interrupted atomic.Bool
	mu          sync.Mutex
	closed      bool // nobody may use event any more
}

// newWaiter watches a socket that does not block. It does not close that.
func newWaiter(socket int) (*waiter, error) {
	w := &waiter{timer: -1, event: -1}
	w.look = w.over
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll instance: %w", err)
	}
	if err := unix.SetNonblock(epoll, true); err != nil { // so that the runtime's poller takes it
		return nil, errors.Join(err, unix.Close(epoll))
	}
	w.file = os.NewFile(uintptr(epoll), "beats")
	if err := w.watch(epoll, socket); err != nil {
		return nil, errors.Join(err, w.close())
	}
	if w.raw, err = w.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *waiter) watch(epoll, socket int) (err error) {
	if w.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return fmt.Errorf("make a timer: %w", err)
	}
	if w.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("make an eventfd: %w", err)
	}
	for _, fd := range []int{socket, w.timer, w.event} {
		if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			return fmt.Errorf("watch a socket: %w", err)
		}
	}
	return nil
}

// wait calls try whenever there may be something in the socket, until that is
// true, or CLOCK_MONOTONIC reads until (0: never), or there was an interrupt. One
// goroutine at a time.
func (w *waiter) wait(until time.Duration, try func() bool) error {
	w.until, w.try, w.failed = until, try, nil
	err := w.raw.Read(w.look) // as long as that runs, close waits
	return errors.Join(err, w.failed)
}

// over looks whether the wait is.
func (w *waiter) over(uintptr) bool {
	if w.failed = w.arm(); w.failed != nil {
		return true
	}
	if w.interrupted.Swap(false) {
		w.drain(w.event)
		return true
	}
	if w.try() {
		return true
	}
	if !w.drain(w.timer) {
		return false
	}
	w.armed = 0
	return true
}

// arm sets the timer.
func (w *waiter) arm() error {
	if w.until == w.armed {
		return nil
	}
	if err := setNow(w.timer, w.until); err != nil {
		return fmt.Errorf("set a timer: %w", err)
	}
	w.armed = w.until
	return nil
}

// drain empties a timer or an eventfd. It is false if nothing was in it.
func (w *waiter) drain(fd int) bool {
	n, err := readNow(fd, w.count[:])
	return err == nil && n == len(w.count)
}

// interrupt ends a wait that is under way, or the next one.
func (w *waiter) interrupt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.interrupted.Store(true)
	_, _ = unix.Write(w.event, binary.NativeEndian.AppendUint64(nil, 1)) // never so many that one is refused
}

// close ends a wait that is under way, with an error, and waits for that.
func (w *waiter) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	err := w.file.Close() // nobody waits when it returns
	for _, fd := range []int{w.timer, w.event} {
		if fd >= 0 {
			err = errors.Join(err, unix.Close(fd))
		}
	}
	return err
}
