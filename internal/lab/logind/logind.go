// Package logind is a system bus with systemd-logind on it, as far as those see
// it who want to know when the host goes down: it hands out inhibitors and
// announces shutdowns. https://systemd.io/INHIBITOR_LOCKS.
package logind

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// Bus is a listening socket.
type Bus struct {
	listener net.Listener
	serving  sync.WaitGroup

	mu    sync.Mutex
	down  bool // a shutdown is announced
	fails string
	stall func() // called before an answer
	conns []*net.UnixConn
	locks []*os.File // readable to its end when that inhibitor is let go; the newest is the last
}

// Listen opens a bus at a path.
func Listen(path string) (*Bus, error) {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	b := &Bus{listener: listener}
	b.serving.Go(b.accept)
	return b, nil
}

// Address of the bus, as DBUS_SYSTEM_BUS_ADDRESS has it.
func (b *Bus) Address() string { return "unix:path=" + b.listener.Addr().String() }

func (b *Bus) accept() {
	for {
		conn, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.serving.Go(func() { b.serve(conn.(*net.UnixConn)) })
	}
}

// Announce that the host goes down, or that it does not after all.
func (b *Bus) Announce(down bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = down
	for _, conn := range b.conns {
		write(conn, &dbus.Message{Type: dbus.TypeSignal, Body: []any{down}, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldPath:      dbus.MakeVariant(dbus.ObjectPath("/org/freedesktop/login1")),
			dbus.FieldInterface: dbus.MakeVariant("org.freedesktop.login1.Manager"),
			dbus.FieldMember:    dbus.MakeVariant("PrepareForShutdown"), dbus.FieldSender: dbus.MakeVariant(":1.0"),
		}}, nil)
	}
}

// Fail has it answer a method with an error from now on.
func (b *Bus) Fail(method string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fails = method
}

// Stall has it call do before each answer from now on.
func (b *Bus) Stall(do func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stall = do
}

// Given is how many inhibitors it has handed out.
func (b *Bus) Given() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.locks)
}

// Litter sends everybody a forged announcement with a descriptor along, as any user of a bus may.
func (b *Bus) Litter() error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, conn := range b.conns {
		write(conn, &dbus.Message{Type: dbus.TypeSignal, Body: []any{true, dbus.UnixFDIndex(0)}, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldPath:      dbus.MakeVariant(dbus.ObjectPath("/litter")),
			dbus.FieldInterface: dbus.MakeVariant("org.freedesktop.login1.Manager"),
			dbus.FieldMember:    dbus.MakeVariant("PrepareForShutdown"), dbus.FieldSender: dbus.MakeVariant(":1.0"),
			dbus.FieldUnixFDs: dbus.MakeVariant(uint32(1)),
		}}, unix.UnixRights(int(null.Fd())))
	}
	return nil
}

// Held tells whether somebody holds the host back.
func (b *Bus) Held() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, lock := range b.locks {
		poll := []unix.PollFd{{Fd: int32(lock.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, 0)
		for errors.Is(err, unix.EINTR) {
			n, err = unix.Poll(poll, 0)
		}
		if err == nil && n == 0 {
			return true
		}
	}
	return false
}

// Hangup ends all connections, as a bus does that goes down itself.
func (b *Bus) Hangup() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, conn := range b.conns {
		_ = conn.Close() // whoever was told has been told
	}
	b.conns = nil
}

// Close ends the bus.
func (b *Bus) Close() error {
	err := b.listener.Close()
	b.Hangup()
	b.serving.Wait()
	for _, lock := range b.locks {
		_ = lock.Close() // it was only read
	}
	return err
}

func (b *Bus) serve(conn *net.UnixConn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	if !welcome(conn, in) {
		return
	}
	b.mu.Lock()
	b.conns = append(b.conns, conn)
	b.mu.Unlock()
	for {
		call, err := dbus.DecodeMessage(in)
		if err != nil {
			return
		}
		b.answer(conn, call)
	}
}

// welcome holds the dialogue of the D-Bus specification, "Authentication Protocol".
func welcome(conn *net.UnixConn, in *bufio.Reader) bool {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return false
		}
		word, _, _ := strings.Cut(strings.Trim(line, "\x00\r\n"), " ")
		reply := ""
		switch {
		case word == "BEGIN":
			return true
		case word == "AUTH" && strings.Contains(line, "EXTERNAL"):
			reply = "OK 0123456789abcdef0123456789abcdef\r\n"
		case word == "AUTH":
			reply = "REJECTED EXTERNAL\r\n"
		case word == "NEGOTIATE_UNIX_FD":
			reply = "AGREE_UNIX_FD\r\n"
		}
		if _, err := io.WriteString(conn, reply); err != nil {
			return false
		}
	}
}

func (b *Bus) answer(conn *net.UnixConn, call *dbus.Message) {
	b.mu.Lock()
	stall := b.stall
	b.mu.Unlock()
	if stall != nil {
		stall()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	reply := &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldReplySerial: dbus.MakeVariant(call.Serial()),
	}}
	var rights []byte
	switch method := call.Headers[dbus.FieldMember].Value(); method {
	case b.fails:
		reply.Type = dbus.TypeError
		reply.Headers[dbus.FieldErrorName] = dbus.MakeVariant("org.freedesktop.DBus.Error.Failed")
	case "Hello":
		reply.Body = []any{":1.1"}
	case "Inhibit":
		theirs, err := b.inhibitor()
		if err != nil {
			return
		}
		defer theirs.Close()
		rights = unix.UnixRights(int(theirs.Fd()))
		reply.Headers[dbus.FieldUnixFDs] = dbus.MakeVariant(uint32(1))
		reply.Body = []any{dbus.UnixFDIndex(0)}
	case "Get": // PreparingForShutdown
		reply.Body = []any{dbus.MakeVariant(b.down)}
	}
	write(conn, reply, rights)
}

func (b *Bus) inhibitor() (theirs *os.File, err error) {
	ours, theirs, err := os.Pipe()
	if err == nil {
		b.locks = append(b.locks, ours)
	}
	return theirs, err
}

// write is best effort, as a bus is: whoever has gone away misses it.
func write(conn *net.UnixConn, m *dbus.Message, rights []byte) {
	if len(m.Body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(m.Body...))
	}
	var text bytes.Buffer
	if m.EncodeTo(&text, binary.LittleEndian) == nil {
		_, _, _ = conn.WriteMsgUnix(text.Bytes(), rights, nil)
	}
}
