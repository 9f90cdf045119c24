package config

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("file"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(at("file"), at("link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(at("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("long"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(at("long"), mostRead+1); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, row := range []struct{ path, text, err string }{
		{at("file"), "text", ""},
		{at("link"), "text", ""},
		{at("fifo"), "", "fifo: not a regular file"},
		{at("socket"), "", "socket: not a regular file"},
		{at("long"), "", "long: longer than 16 MiB"},
		{at("none"), "", "no such file"},
		{"/dev/zero", "", "read /dev/zero: not a regular file"},
		{dir, "", "not a regular file"},
	} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			text, err := ReadFile(row.path)
			if string(text) != row.text || (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
				t.Errorf("%s: %q, %v", row.path, text, err)
			}
		}()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: waits", row.path)
		}
	}
}
