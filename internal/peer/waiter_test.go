package peer

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// waiting is a waiter for one end of a pair of sockets.
func waiting(t testing.TB) (w *waiter, here, there int) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if w, err = newWaiter(pair[0]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(w.close(), unix.Close(pair[0]), unix.Close(pair[1])); err != nil {
			t.Error(err)
		}
	})
	return w, pair[0], pair[1]
}

// monotonic is what CLOCK_MONOTONIC reads.
func monotonic(t testing.TB) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

func never() bool { return false }

// telling is a try that finds nothing, and tells of the first.
func telling(tried chan<- struct{}) func() bool {
	return func() bool {
		select {
		case tried <- struct{}{}:
		default:
		}
		return false
	}
}

func TestWaitEndsInTime(t *testing.T) {
	w, _, _ := waiting(t)
	for _, d := range []time.Duration{-time.Second, 0, time.Microsecond, 3 * time.Millisecond, 30 * time.Millisecond} {
		until := monotonic(t) + d
		if err := w.wait(until, never); err != nil {
			t.Fatal(err)
		}
		if now := monotonic(t); now < until {
			t.Errorf("%v: ended %v too early", d, until-now)
		}
	}
}

// TestWaitForTheSocket: datagrams that come together are taken one by one, and none waits for another.
func TestWaitForTheSocket(t *testing.T) {
	w, here, there := waiting(t)
	const rounds, each = 1000, 3
	go func() {
		for range rounds * each {
			for unix.Send(there, []byte{1}, 0) != nil { // there is room for a few only
				_, _ = unix.Poll([]unix.PollFd{{Fd: int32(there), Events: unix.POLLOUT}}, -1)
			}
		}
	}()
	var b [8]byte
	for i := range rounds * each {
		got := false
		err := w.wait(monotonic(t)+10*time.Second, func() bool {
			_, err := readNow(here, b[:])
			got = err == nil
			return got
		})
		if err != nil || !got {
			t.Fatalf("datagram %d: %t, %v", i, got, err)
		}
	}
}

func TestWaitIsInterrupted(t *testing.T) {
	w, _, _ := waiting(t)
	far := monotonic(t) + time.Hour
	w.interrupt()
	if err := w.wait(far, never); err != nil { // one before counts
		t.Fatal(err)
	}
	for range 1000 {
		tried := make(chan struct{}, 1)
		go func() {
			<-tried
			w.interrupt()
		}()
		if err := w.wait(far, telling(tried)); err != nil {
			t.Fatal(err)
		}
	}
	soon := monotonic(t) + 20*time.Millisecond
	if err := w.wait(soon, never); err != nil || monotonic(t) < soon {
		t.Errorf("an interrupt counts twice: %v", err)
	}
}

func TestWaitEndsWhenClosed(t *testing.T) {
	w, _, _ := waiting(t)
	tried, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() { ended <- w.wait(0, telling(tried)) }()
	<-tried
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("wait ended without an error")
	}
	w.interrupt() // has no effect
	if err := w.wait(monotonic(t), never); err == nil {
		t.Error("waits though closed")
	}
}
