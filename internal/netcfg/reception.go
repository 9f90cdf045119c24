package netcfg

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Reception is what makes an interface take in the frames of a pool.
type Reception struct {
	MAC net.HardwareAddr // the cluster's; multicast or unicast
	// Group is joined by IGMP too, so that snooping switches send the frames
	// here; the zero Addr outside the mode igmp. Its MAC is the one above.
	Group netip.Addr
}

// Receive makes the interface take in frames for the cluster's MAC, until
// StopReceiving, also after this process has ended. It changes nothing if the
// interface does so already.
//
// A multicast MAC is added to the device's list by SIOCADDMULTI: a packet
// socket's membership would end with the socket. A unicast MAC becomes a second
// address of the device (an fdb entry of its own, `bridge fdb add … self`):
// promiscuous only where the driver has no filter for a second address.
func Receive(link Link, r Reception) error {
	if len(r.MAC) != 6 {
		return fmt.Errorf("receive %s on %s: not an Ethernet address", r.MAC, link.Name)
	}
	if isGroup(r.MAC) {
		if err := multicast(link, r.MAC, unix.SIOCADDMULTI); err != nil {
			return fmt.Errorf("receive multicast MAC %s on %s: %w", r.MAC, link.Name, err)
		}
	} else if err := netlink.NeighSet(secondAddress(link, r.MAC)); err != nil {
		return fmt.Errorf("receive a second unicast MAC, %s, on %s (driver %s): %w; use mac: multicast or another interface",
			r.MAC, link.Name, link.Driver, err)
	}
	if r.Group.IsValid() {
		return joinGroup(link, r.Group)
	}
	return nil
}

// StopReceiving undoes Receive, whichever process called it, also for the group
// that has this MAC. What is not there is no error.
func StopReceiving(link Link, mac net.HardwareAddr) error {
	var err error
	if isGroup(mac) {
		err = errors.Join(leaveGroup(link, mac), multicast(link, mac, unix.SIOCDELMULTI))
	} else {
		err = netlink.NeighDel(secondAddress(link, mac))
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("stop receiving %s on %s: %w", mac, link.Name, err)
	}
	return nil
}

// Receptions tells what interfaces receive, as often as one likes. For one goroutine.
type Receptions struct {
	table  string // of groups
	groups int    // table, kept open: to look it up costs more than to read it; below 0: not opened yet
	text   []byte
}

// NewReceptions is for the network namespace of the thread that first asks for a group.
func NewReceptions() *Receptions {
	return &Receptions{table: "/proc/thread-self/net/dev_mcast", groups: -1, text: make([]byte, 4096)}
}

// Close closes the table.
func (r *Receptions) Close() error {
	if r.groups < 0 {
		return nil
	}
	return unix.Close(r.groups)
}

// Has says whether the interface's list of further addresses has this MAC
// for good, as Receive adds it. Memberships of groups and sockets do not count.
func (r *Receptions) Has(link Link, mac net.HardwareAddr) (bool, error) {
	if isGroup(mac) {
		return r.hasGroup(link, mac)
	}
	entries, err := dump(func() ([]netlink.Neigh, error) { return netlink.NeighList(link.Index, unix.AF_BRIDGE) })
	if err != nil {
		return false, fmt.Errorf("list the MACs that %s receives: %w", link.Name, err)
	}
	for _, e := range entries {
		// A bridge's own addresses stand among those that it has learned, without that flag.
		own := e.Flags&netlink.NTF_SELF != 0 || link.Kind == "bridge"
		if own && e.LinkIndex == link.Index && bytes.Equal(e.HardwareAddr, mac) {
			return true, nil
		}
	}
	return false, nil
}

// hasGroup reads the kernel's table: a listing by netlink has a bridge's learned
// addresses instead, and tells no change either.
func (r *Receptions) hasGroup(link Link, mac net.HardwareAddr) (bool, error) {
	text, err := r.read()
	if err != nil {
		return false, fmt.Errorf("list the MACs that %s receives: %w", link.Name, err)
	}
	want := hex.EncodeToString(mac)
	for line := range strings.Lines(string(text)) {
		// Number and name of the interface, users, by ioctl, MAC (net/core/net-procfs.c).
		f := strings.Fields(line)
		if len(f) == 5 && f[0] == strconv.Itoa(link.Index) && f[3] != "0" && f[4] == want {
			return true, nil
		}
	}
	return false, nil
}

// read reads the whole table.
func (r *Receptions) read() ([]byte, error) {
	if r.groups < 0 {
		f, err := unix.Open(r.table, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", r.table, err)
		}
		r.groups = f
	}
	for have := 0; ; {
		n, err := unix.Pread(r.groups, r.text[have:], int64(have))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, err
		case n == 0:
			return r.text[:have], nil
		default:
			have += n
		}
		if have == len(r.text) {
			r.text = append(r.text, make([]byte, len(r.text))...)
		}
	}
}

// Joined says whether the interface is in the reception's group, if it has one.
func Joined(link Link, group netip.Addr) (bool, error) {
	if !group.IsValid() {
		return true, nil
	}
	present, err := addresses()
	return slices.ContainsFunc(present, func(p address) bool {
		return p.index == link.Index && p.prefix.Addr() == group
	}), err
}

// isGroup is the group bit of an Ethernet address (IEEE 802).
func isGroup(mac net.HardwareAddr) bool { return len(mac) > 0 && mac[0]&1 != 0 }

func secondAddress(link Link, mac net.HardwareAddr) *netlink.Neigh {
	return &netlink.Neigh{
		LinkIndex: link.Index, Family: unix.AF_BRIDGE, HardwareAddr: mac,
		Flags: netlink.NTF_SELF, State: netlink.NUD_PERMANENT,
	}
}

// multicast is idempotent in both directions: dev_mc_add_global counts such a
// membership once (net/core/dev_addr_lists.c), and none to delete is ENOENT.
func multicast(link Link, mac net.HardwareAddr, request uintptr) error {
	fd, err := controlSocket()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// struct ifreq with ifr_hwaddr, whose family must be AF_UNSPEC.
	var req struct {
		name   [unix.IFNAMSIZ]byte
		family uint16
		mac    [6]byte
		_      [16]byte
	}
	copy(req.name[:unix.IFNAMSIZ-1], link.Name)
	copy(req.mac[:], mac)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&req)))
	runtime.KeepAlive(&req)
	switch {
	case errno == unix.EINVAL && request == unix.SIOCADDMULTI:
		return fmt.Errorf("the driver (%s) has no multicast reception: %w", link.Driver, errno)
	case errno == 0 || errno == unix.ENOENT && request == unix.SIOCDELMULTI:
		return nil
	}
	return errno
}

// joinGroup adds the group as an address with the flag autojoin: the kernel then
// keeps the membership (and answers queries) until the address is removed. A
// socket's membership would end with the process.
func joinGroup(link Link, group netip.Addr) error {
	present, err := addresses()
	if err != nil {
		return err
	}
	for _, p := range present {
		if p.index == link.Index && p.prefix.Addr() == group {
			return nil
		}
	}
	a := shared(link, group)
	a.flags |= unix.IFA_F_MCAUTOJOIN
	if err := changeAddress(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, a); err != nil {
		return fmt.Errorf("join group %s on %s: %w", group, link.Name, err)
	}
	return nil
}

func leaveGroup(link Link, mac net.HardwareAddr) error {
	present, err := addresses()
	if err != nil {
		return err
	}
	for _, p := range present {
		if p.index != link.Index || !p.marked || !p.prefix.Addr().IsMulticast() || !bytes.Equal(groupMAC(p.prefix.Addr()), mac) {
			continue
		}
		if err := changeAddress(unix.RTM_DELADDR, 0, p); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("leave group %s: %w", p.prefix.Addr(), err)
		}
	}
	return nil
}

// groupMAC is the Ethernet address of an IPv4 multicast group (RFC 1112 6.4).
func groupMAC(group netip.Addr) net.HardwareAddr {
	if !group.Is4() {
		return nil
	}
	b := group.As4()
	return net.HardwareAddr{0x01, 0x00, 0x5e, b[1] & 0x7f, b[2], b[3]}
}
