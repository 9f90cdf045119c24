package netnstest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Frame is one Ethernet frame that a capture saw.
type Frame struct {
	Outgoing bool // sent by the interface, not received
	Bytes    []byte
}

// Capture keeps every frame of one interface until the test ends.
type Capture struct {
	t      testing.TB
	socket *os.File

	mu     sync.Mutex
	frames []Frame
	fresh  chan struct{} // closed and replaced at every frame
}

// Capture starts to listen on the interface.
func (s *Space) Capture(name string) *Capture {
	s.t.Helper()
	c := &Capture{t: s.t, fresh: make(chan struct{})}
	s.Do(func() error {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		// For bursts; what does not fit would be missing from the evidence.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20); err != nil {
			return err
		}
		all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
		if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: l.Attrs().Index}); err != nil {
			return err
		}
		c.socket = os.NewFile(uintptr(fd), "capture "+name)
		return nil
	})
	raw, err := c.socket.SyscallConn()
	if err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		c.read(raw)
		close(ended)
	}()
	s.t.Cleanup(func() {
		_ = c.socket.SetReadDeadline(time.Unix(1, 0))
		<-ended
		_ = c.socket.Close()
	})
	return c
}

// read goes on until the socket's deadline.
func (c *Capture) read(raw syscall.RawConn) {
	buf := make([]byte, 1<<17)
	for {
		var n int
		var from unix.Sockaddr
		var failure error
		if err := raw.Read(func(fd uintptr) bool {
			n, from, failure = unix.Recvfrom(int(fd), buf, 0)
			return !errors.Is(failure, unix.EAGAIN)
		}); err != nil {
			return
		}
		if failure != nil {
			continue // the interface went down: ENETDOWN is told once
		}
		ll, ok := from.(*unix.SockaddrLinklayer)
		f := Frame{Outgoing: ok && ll.Pkttype == unix.PACKET_OUTGOING, Bytes: append([]byte(nil), buf[:n]...)}
		c.mu.Lock()
		c.frames = append(c.frames, f)
		close(c.fresh)
		c.fresh = make(chan struct{})
		c.mu.Unlock()
	}
}

// Frames are all frames so far.
func (c *Capture) Frames() []Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Frame(nil), c.frames...)
}

// Await waits for a frame that the condition accepts, from the first one on.
func (c *Capture) Await(what string, accept func(Frame) bool) Frame {
	c.t.Helper()
	f, err := c.await(accept)
	if err != nil {
		c.t.Fatalf("waited for %s: %v", what, err)
	}
	return f
}

func (c *Capture) await(accept func(Frame) bool) (Frame, error) {
	deadline := time.After(Patience)
	for seen := 0; ; {
		c.mu.Lock()
		frames, fresh := c.frames, c.fresh
		c.mu.Unlock()
		for ; seen < len(frames); seen++ {
			if accept(frames[seen]) {
				return frames[seen], nil
			}
		}
		select {
		case <-fresh:
		case <-deadline:
			return Frame{}, fmt.Errorf("none of %d frames was it", seen)
		}
	}
}
