package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrInUse: another daemon answers on the socket.
var ErrInUse = errors.New("in use by another rota daemon")

// listener removes its socket and lets go of the lock when it is closed.
type listener struct {
	*net.UnixListener
	path string
	lock *os.File
}

// Listen opens the socket for its owner alone (mode 0600) and makes its
// folder. The socket that a dead daemon left is replaced, a live one's is not.
func Listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of socket %s: %w", path, err)
	}
	lock, err := lockBeside(path)
	if err != nil {
		return nil, err
	}
	l, err := bind(path)
	if err != nil {
		lock.Close()
		return nil, err
	}
	return &listener{l, path, lock}, nil
}

// lockBeside takes the lock that ends with the daemon, however it ends. The
// file stays: to remove it would give two daemons two locks.
func lockBeside(path string) (*os.File, error) {
	name := path + ".lock"
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock socket %s: %w", path, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("socket %s: %w; stop it, or name another under api.socket", path, ErrInUse)
		}
		return nil, fmt.Errorf("lock socket %s: %w", path, err)
	}
	return f, nil
}

// bind is called with the lock held.
func bind(path string) (*net.UnixListener, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("socket %s: %w", path, err)
	case info.Mode()&fs.ModeSocket == 0:
		return nil, fmt.Errorf("socket %s: the path is taken by something that is no socket; remove it, or name another under api.socket", path)
	default:
		// Somebody without the lock may still answer there.
		if c, err := net.Dial("unix", path); err == nil {
			c.Close()
			return nil, fmt.Errorf("socket %s: in use by another program; name another under api.socket", path)
		} else if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("socket %s: %w", path, err)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove the old socket: %w", err)
		}
	}
	// The mode of the file is the mode of the socket when it is bound
	// (unix_bind, net/unix/af_unix.c), so no moment passes with another.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var mode error
		err := c.Control(func(fd uintptr) { mode = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(err, mode)
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("open socket %s: %w", path, cause(err))
	}
	ul := l.(*net.UnixListener)
	ul.SetUnlinkOnClose(false)
	return ul, nil
}

// cause is the system's word without the net package's preface.
func cause(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return err
}

// Close stops listening. May be called more than once.
func (l *listener) Close() error {
	err := l.UnixListener.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return errors.Join(err, os.Remove(l.path), l.lock.Close())
}
