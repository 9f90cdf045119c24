package peer

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What Carrier finds.
var (
	ErrNoCarrier = errors.New("no carrier: its cable, or the switch's port")
	ErrDown      = errors.New("the interface is down (ip link set it up)")
)

// Carrier tells why no frame can leave or reach the interface: ErrNoCarrier, ErrDown, or nil.
// The kernel may take a second to notice (linkwatch), and takes frames for a dead link
// without a word. It waits for nobody: the flags are read under RCU (net/core/dev_ioctl.c).
func (t *Transport) Carrier() error {
	flags, err := linkFlags(t.sender, t.name)
	switch {
	case err != nil: // it has gone, which Send tells
		return nil
	case flags&unix.IFF_UP == 0:
		return ErrDown
	case flags&unix.IFF_RUNNING == 0:
		return ErrNoCarrier
	}
	return nil
}

// linkFlags is SIOCGIFFLAGS, which never waits; see now.go.
func linkFlags(fd int, name string) (uint16, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCGIFFLAGS, uintptr(unsafe.Pointer(request)))
	if errno != 0 {
		return 0, errno
	}
	return request.Uint16(), nil
}
