package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// openSocket starts a connection; it is in progress, or refused, on return.
// Closing it sends a reset (linger 0), so that neither side keeps the pair of
// ports in TIME_WAIT and a fixed source may connect again at once.
func openSocket(from, to netip.AddrPort) (int, error) {
	family := unix.AF_INET
	if to.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open a socket: %w", err)
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
	)
	if err == nil {
		err = unix.Bind(fd, sockaddr(from))
	}
	if err == nil {
		err = unix.Connect(fd, sockaddr(to))
	}
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("connect %s to %s: %w", from, to, err)
	}
	return fd, nil
}

// socketError is what became of the connection: nil while all is well.
func socketError(fd int) error {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if code != 0 {
		return unix.Errno(code)
	}
	return nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is6() {
		return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
}

// Ports that sources take: below the reach of well-known services' clients,
// above what a service of a node listens on.
const (
	firstPort = 10000
	lastPort  = 64999
)

// sources hands out distinct pairs of address and port. It starts again from
// the beginning after (lastPort − firstPort + 1) × addresses of a family.
type sources struct {
	mu        sync.Mutex
	addresses []netip.Addr
	handedOut map[bool]int // by "is IPv6"
}

// next gives a source for connections to the address.
func (s *sources) next(to netip.Addr) (netip.AddrPort, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var family []netip.Addr
	for _, a := range s.addresses {
		if a.Is6() == to.Is6() {
			family = append(family, a)
		}
	}
	if len(family) == 0 {
		return netip.AddrPort{}, fmt.Errorf("the client has no address to reach %s from", to)
	}
	n := s.handedOut[to.Is6()]
	s.handedOut[to.Is6()]++
	port := firstPort + n/len(family)%(lastPort-firstPort+1)
	return netip.AddrPortFrom(family[n%len(family)], uint16(port)), nil
}
