package sign

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/health"
)

// fakeLogind is a bus with logind on it: it hands out inhibitors and announces shutdowns.
type fakeLogind struct {
	bus string

	mu   sync.Mutex
	conn *net.UnixConn
	lock *os.File // readable to its end when the inhibitor is let go
}

func newFakeLogind(t *testing.T) *fakeLogind {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bus")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	l := &fakeLogind{bus: "unix:path=" + path}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go l.serve(conn.(*net.UnixConn))
		}
	}()
	return l
}

func (l *fakeLogind) serve(conn *net.UnixConn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for { // the dialogue of the D-Bus specification, "Authentication Protocol"
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		word, _, _ := strings.Cut(strings.Trim(line, "\x00\r\n"), " ")
		if word == "BEGIN" {
			break
		}
		reply := map[string]string{"AUTH": "OK 0123456789abcdef0123456789abcdef\r\n", "NEGOTIATE_UNIX_FD": "AGREE_UNIX_FD\r\n"}[word]
		if word == "AUTH" && !strings.Contains(line, "EXTERNAL") {
			reply = "REJECTED EXTERNAL\r\n"
		}
		if _, err := io.WriteString(conn, reply); err != nil {
			return
		}
	}
	l.mu.Lock()
	l.conn = conn
	l.mu.Unlock()
	for {
		call, err := dbus.DecodeMessage(in)
		if err != nil {
			return
		}
		l.answer(conn, call)
	}
}

func (l *fakeLogind) answer(conn *net.UnixConn, call *dbus.Message) {
	reply := &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldReplySerial: dbus.MakeVariant(call.Serial()),
	}}
	var rights []byte
	switch call.Headers[dbus.FieldMember].Value() {
	case "Hello":
		reply.Body = []any{":1.1"}
	case "Inhibit":
		read, write, err := os.Pipe()
		if err != nil {
			return
		}
		defer write.Close()
		l.mu.Lock()
		l.lock = read
		l.mu.Unlock()
		rights = unix.UnixRights(int(write.Fd()))
		reply.Headers[dbus.FieldUnixFDs] = dbus.MakeVariant(uint32(1))
		reply.Body = []any{dbus.UnixFDIndex(0)}
	case "Get":
		reply.Body = []any{dbus.MakeVariant(false)}
	}
	l.write(conn, reply, rights)
}

func (l *fakeLogind) write(conn *net.UnixConn, m *dbus.Message, rights []byte) {
	if len(m.Body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(m.Body...))
	}
	var b bytes.Buffer
	if m.EncodeTo(&b, binary.LittleEndian) == nil {
		_, _, _ = conn.WriteMsgUnix(b.Bytes(), rights, nil) // judged by what the sign reads
	}
}

func (l *fakeLogind) announce(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write(l.conn, &dbus.Message{Type: dbus.TypeSignal, Body: []any{down}, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath(logindPath)), dbus.FieldInterface: dbus.MakeVariant(logindManage),
		dbus.FieldMember: dbus.MakeVariant("PrepareForShutdown"), dbus.FieldSender: dbus.MakeVariant(":1.0"),
	}}, nil)
}

// held tells whether the newest inhibitor is held.
func (l *fakeLogind) held(t *testing.T) bool {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.lock.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, err := l.lock.Read(make([]byte, 1))
	return err != io.EOF
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func TestShutdown(t *testing.T) {
	l, c := newFakeLogind(t), newClock()
	s := newShutdown(Env{Now: c.now, Bus: l.bus}).(*shutdown)
	defer s.close()
	expect(t, "up", s.read(), health.Measured, 0, "logind has announced no shutdown")
	if !l.held(t) {
		t.Error("holds no inhibitor")
	}

	l.announce(true)
	eventually(t, "it is noticed", func() bool { return s.read().Value == 1 })
	if !l.held(t) {
		t.Error("lets go before anything can be handed over")
	}
	c.pass(holdFor)
	expect(t, "going down", s.read(), health.Measured, 1, "the host is going down")
	eventually(t, "lets go", func() bool { return !l.held(t) })

	// Called off: it holds a new inhibitor.
	l.announce(false)
	eventually(t, "called off", func() bool { return s.read().Value == 0 })
	eventually(t, "holds a new inhibitor", func() bool { s.read(); return l.held(t) })

	// The bus ends first, as in a shutdown: what was announced stays.
	l.announce(true)
	eventually(t, "it is noticed again", func() bool { return s.read().Value == 1 })
	l.mu.Lock()
	l.conn.Close()
	l.mu.Unlock()
	l.bus = ""
	s.bus = "unix:path=/no/such/bus"
	eventually(t, "the connection ends", func() bool { return !s.conn.Connected() })
	expect(t, "without a bus", s.read(), health.Measured, 1, "the host is going down")
}
