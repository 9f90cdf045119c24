package systembus

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/lab/logind"
)

func TestSocketOf(t *testing.T) {
	for address, want := range map[string]string{
		"unix:path=/run/dbus/system_bus_socket": "/run/dbus/system_bus_socket",
		"unix:guid=12,path=/a%20b":              "/a b",
		"unix:abstract=/tmp/x,guid=7":           "@/tmp/x",
		"tcp:host=a,port=1;unix:path=/b":        "/b",
		"tcp:host=a,port=1":                     "",
		"nonsense":                              "",
	} {
		if got, ok := socketOf(address); got != want || ok != (want != "") {
			t.Errorf("%s: %q", address, got)
		}
	}
}

func TestConnectTakesNoDescriptors(t *testing.T) {
	bus, err := logind.Listen(filepath.Join(t.TempDir(), "bus"))
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	conn, err := Connect(t.Context(), bus.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if conn.SupportsUnixFDs() {
		t.Error("takes descriptors")
	}
}

// A bus that takes the connection and says nothing does not keep whoever asks.
func TestConnectEndsInTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if conn, err := Connect(ctx, "unix:path="+path); err == nil {
		conn.Close()
		t.Error("connects")
	}
}
