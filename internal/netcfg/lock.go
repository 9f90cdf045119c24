package netcfg

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// ErrLocked is wrapped when another rota runs on the same interface.
var ErrLocked = errors.New("another rota runs on it")

// Lock keeps a second daemon off the interface. It is an abstract Unix socket,
// which belongs to the network namespace (unix(7)), so the same interface number
// in another namespace is another lock, and which the kernel releases when the
// process dies, however it dies.
type Lock struct{ listener net.Listener }

// TakeLock takes the interface for this process or says who has it.
func TakeLock(link Link) (*Lock, error) {
	name := fmt.Sprintf("@rota/interface/%d", link.Index)
	l, err := net.Listen("unix", name)
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("interface %s: %w%s", link.Name, ErrLocked, holder(name))
	}
	if err != nil {
		return nil, fmt.Errorf("lock interface %s: %w", link.Name, err)
	}
	return &Lock{l}, nil
}

// Release gives the interface up; the end of the process does the same.
func (l *Lock) Release() error { return l.listener.Close() }

// holder names the process that listens at the lock, as far as it can be told.
func holder(name string) string {
	conn, err := net.Dial("unix", name)
	if err != nil {
		return ""
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return ""
	}
	var who *unix.Ucred
	if raw.Control(func(fd uintptr) { who, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }) != nil || err != nil || who.Pid == 0 {
		return ""
	}
	return fmt.Sprintf(" (process %d, user %d); stop that first", who.Pid, who.Uid)
}
