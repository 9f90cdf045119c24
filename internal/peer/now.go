package peer

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls in this file never wait, so they need not tell the Go scheduler,
// which would wake its monitor thread for each of them: at twenty beats a second
// that was a third of an idle daemon's CPU.

// readNow is read(2) of a descriptor that does not block.
func readNow(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// setNow is timerfd_settime(2) to a reading of the timer's clock; 0 is none.
func setNow(timer int, until time.Duration) error {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(until.Nanoseconds())}
	_, _, errno := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(timer), unix.TFD_TIMER_ABSTIME, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// boundTo is getsockname(2) of a packet socket.
func boundTo(fd int) (raw unix.RawSockaddrLinklayer, err error) {
	size := uint32(unix.SizeofSockaddrLinklayer)
	_, _, errno := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return raw, errno
	}
	return raw, nil
}

// sendNow is sendto(2) with MSG_DONTWAIT.
func sendNow(fd int, b []byte, to *unix.SockaddrLinklayer) error {
	raw := unix.RawSockaddrLinklayer{
		Family: unix.AF_PACKET, Protocol: to.Protocol, Ifindex: int32(to.Ifindex), Hatype: to.Hatype,
		Pkttype: to.Pkttype, Halen: to.Halen, Addr: to.Addr,
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&raw)), unix.SizeofSockaddrLinklayer)
	if errno != 0 {
		return errno
	}
	return nil
}
