package check

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls in this file never wait, so they need not tell the Go scheduler, which would
// wake its monitor thread for each of them: that was a fifth of what a probe costs.

// sockaddr is an address as the kernel takes it: struct sockaddr_in or sockaddr_in6.
type sockaddr []byte

func sockaddrOf(to netip.AddrPort) sockaddr {
	if to.Addr().Is4() {
		b := binary.NativeEndian.AppendUint16(nil, unix.AF_INET)
		b = append(binary.BigEndian.AppendUint16(b, to.Port()), to.Addr().AsSlice()...)
		return append(b, make([]byte, 8)...)
	}
	b := binary.NativeEndian.AppendUint16(nil, unix.AF_INET6)
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = append(append(b, make([]byte, 4)...), to.Addr().AsSlice()...) // no flow label
	return append(b, make([]byte, 4)...)                              // no scope
}

// ownSockaddr is getsockname(2).
func ownSockaddr(fd int) (sockaddr, error) {
	own := make(sockaddr, unix.SizeofSockaddrInet6)
	size := uint32(len(own))
	_, _, errno := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&own[0])), uintptr(unsafe.Pointer(&size)))
	return own[:size], orNil(errno)
}

func (a sockaddr) family() int { return int(binary.NativeEndian.Uint16(a)) }

// connectNow is connect(2) on a socket that does not block. Called again, it tells what has
// become of the connection.
func connectNow(fd int, to sockaddr) error {
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&to[0])), uintptr(len(to)))
	return orNil(errno)
}

// resetOnClose is setsockopt(2) of SO_LINGER with no time at all.
func resetOnClose(fd int) error {
	l := unix.Linger{Onoff: 1}
	_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER, uintptr(unsafe.Pointer(&l)), unix.SizeofLinger, 0)
	return orNil(errno)
}

// sendNow is sendto(2) on a connected socket that does not block.
func sendNow(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
	return int(n), orNil(errno)
}

// readNow is read(2) of a descriptor that does not block.
func readNow(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), orNil(errno)
}

// eventsNow is epoll_pwait(2) that does not wait.
func eventsNow(epoll int, events []unix.EpollEvent) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	return int(n), orNil(errno)
}

// closeNow is close(2) of a socket that does not linger.
func closeNow(fd int) error {
	_, _, errno := unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
	return orNil(errno)
}

// orNil is needed because the Errno 0 in an error is not nil.
func orNil(errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}
