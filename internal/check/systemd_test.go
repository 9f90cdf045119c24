package check

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/rota-cluster/rota/internal/health"
)

func contextFor(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

// fakeSystemd is a bus on which systemd knows some units and their states.
func fakeSystemd(t *testing.T, units map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveBus(conn, units)
		}
	}()
	return "unix:path=" + path
}

func serveBus(conn net.Conn, units map[string]string) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for { // the dialogue of the D-Bus specification, "Authentication Protocol"
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		reply := ""
		switch word, _, _ := strings.Cut(strings.Trim(line, "\x00\r\n"), " "); word {
		case "AUTH":
			reply = "OK 0123456789abcdef0123456789abcdef\r\n"
			if !strings.Contains(line, "EXTERNAL") {
				reply = "REJECTED EXTERNAL\r\n"
			}
		case "NEGOTIATE_UNIX_FD":
			reply = "AGREE_UNIX_FD\r\n"
		case "BEGIN":
			answerCalls(in, conn, units)
			return
		}
		if _, err := io.WriteString(conn, reply); err != nil {
			return
		}
	}
}

func answerCalls(in io.Reader, out io.Writer, units map[string]string) {
	for {
		call, err := dbus.DecodeMessage(in)
		if err != nil {
			return
		}
		reply := &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldReplySerial: dbus.MakeVariant(call.Serial()),
		}}
		path, _ := call.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
		switch call.Headers[dbus.FieldMember].Value() {
		case "Hello":
			reply.Body = []any{":1.1"}
		case "GetUnit":
			name := call.Body[0].(string)
			reply.Body = []any{dbus.ObjectPath("/unit/" + strings.TrimSuffix(name, ".service"))}
			if units[name] == "" {
				reply.Type = dbus.TypeError
				reply.Headers[dbus.FieldErrorName] = dbus.MakeVariant("org.freedesktop.systemd1.NoSuchUnit")
				reply.Body = []any{"Unit " + name + " not loaded."}
			}
		case "Get":
			active, sub, _ := strings.Cut(units[strings.TrimPrefix(string(path), "/unit/")+".service"], "/")
			state := map[string]string{"ActiveState": active, "SubState": sub}[call.Body[1].(string)]
			reply.Body = []any{dbus.MakeVariant(state)}
		}
		if len(reply.Body) > 0 {
			reply.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(reply.Body...))
		}
		if err := reply.EncodeTo(out, binary.LittleEndian); err != nil {
			return
		}
	}
}

func TestSystemd(t *testing.T) {
	bus := fakeSystemd(t, map[string]string{
		"good.service": "active/running", "bad.service": "failed/failed", "new.service": "activating/start", "again.service": "reloading/reload",
	})
	ctx, cancel := contextFor(t, 10*time.Second)
	defer cancel()
	for _, row := range []struct {
		unit  string
		level health.Level
		text  string
	}{
		{"good.service", health.OK, "good.service is active (running)"},
		{"again.service", health.OK, "again.service is reloading (reload)"},
		{"bad.service", health.Leave, "bad.service is failed (failed)"},
		{"new.service", health.Leave, "new.service is activating (start)"},
		{"none.service", health.Leave, "none.service is not loaded"},
	} {
		expect(t, unit{bus: bus, name: row.unit}.probe(ctx), row.level, row.text)
	}
	expect(t, unit{bus: "unix:path=/no/such/bus", name: "a"}.probe(ctx), health.Leave, "connect to the system bus: no such file or directory")
}
