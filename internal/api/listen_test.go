package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestTheSocketIsItsOwnersAlone(t *testing.T) {
	path := serve(t, &fake{})
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode()&os.ModeSocket == 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestALiveDaemonKeepsItsSocket(t *testing.T) {
	f := &fake{status: Status{Cluster: "first"}}
	path := serve(t, f)
	for range 2 { // the failed attempt leaves nothing behind
		l, err := Listen(path)
		if !errors.Is(err, ErrInUse) || l != nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v", err)
		}
	}
	if s, err := NewClient(path).Status(t.Context()); err != nil || s.Cluster != "first" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestADeadDaemonsSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false) // as a killed process
	old.Close()
	err = NewClient(path).Resume(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no longer runs; start it with rota run") {
		t.Errorf("a client is told %v", err)
	}
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if l, err = Listen(path); err != nil {
		t.Fatalf("not free after Close: %v", err)
	}
	l.Close()
}

func TestSomebodyElsesSocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	other, err := net.Listen("unix", path) // without the lock
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if l, err := Listen(path); err == nil || !strings.Contains(err.Error(), "in use by another program") {
		t.Errorf("%v, %v", l, err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
}

func TestAFileIsNotTakenForASocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := Listen(path); err == nil || !strings.Contains(err.Error(), "is taken by something that is no socket") {
		t.Errorf("%v, %v", l, err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("%q, %v", text, err)
	}
}

// However many start at once on a dead daemon's socket, one gets it.
func TestStartsAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := syscall.Mknod(path, syscall.S_IFSOCK|0o600, 0); err != nil {
		t.Fatal(err)
	}
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			l, err := Listen(path)
			if err == nil {
				won.Add(1)
				t.Cleanup(func() { l.Close() })
			} else if !errors.Is(err, ErrInUse) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d have it", won.Load())
	}
}

func TestNobodyThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none")
	err := NewClient(path).Resume(t.Context())
	if want := "no rota daemon has its socket at " + path + "; start one with rota run, or name its socket with --socket"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestSomethingElseAnswers(t *testing.T) {
	for _, row := range []struct{ name, answer, want string }{
		{"hangs up", "", "stopped while it answered"},
		{"speaks another tongue", "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nhi", "is not a rota daemon (HTTP 500)"},
		{"answers with no JSON", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "cannot be read"},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = c.Read(make([]byte, 1024))
					_, _ = io.WriteString(c, row.answer)
					c.Close()
				}
			}()
			_, err = NewClient(path).Status(t.Context())
			if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %s", err, row.want)
			}
		})
	}
}

// A client in the middle of something does not hold the daemon's stop up.
func TestStopDoesNotWaitForClients(t *testing.T) {
	f := &fake{waiting: make(chan struct{})}
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- NewServer(f, slog.New(slog.DiscardHandler)).Run(ctx, l) }()
	order := make(chan error, 1)
	go func() { order <- NewClient(path).Drain(t.Context(), DrainRequest{}) }()
	<-f.waiting
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the server does not stop")
	}
	if err := <-order; err == nil {
		t.Error("an order that was cut off is called done")
	}
}
