package netcfg

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// keepsMarks: IFA_PROTO came with Linux 5.18. A release that cannot be read
// counts as new, so that nothing without a mark is taken for rota's.
func keepsMarks() bool { return !KernelBefore(5, 18) }

// KernelBefore tells whether this kernel is older. One whose release cannot be read is not.
func KernelBefore(major, minor int) bool {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return false
	}
	var x, y int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &x, &y); err != nil {
		return false
	}
	return x < major || x == major && y < minor
}

func interfaceName(index int) (string, error) {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return "", err
	}
	return l.Attrs().Name, nil
}
