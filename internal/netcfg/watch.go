package netcfg

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ChangeKind says what a Change is about.
type ChangeKind uint8

const (
	// LinkChanged is an interface that appeared, or of which something changed.
	LinkChanged ChangeKind = iota
	// LinkGone is an interface that left this network namespace.
	LinkGone
	// AddressAdded is an address that appeared, or whose flags or lifetimes changed.
	AddressAdded
	// AddressGone is an address that was removed.
	AddressGone
	// FilterGone is a tc filter or qdisc that was removed. Of TCX programs the kernel tells nothing.
	FilterGone
	// Missed means that the kernel had more to tell than was read; look at everything again.
	Missed
)

// String is the kind in words.
func (k ChangeKind) String() string {
	names := [...]string{"link changed", "link gone", "address added", "address gone", "filter gone", "missed"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("change %d", k)
}

// Change is one thing that the kernel told. It says how things were then: ask
// again before acting on it.
type Change struct {
	Kind    ChangeKind
	Index   int          // of the interface; 0 with Missed
	Name    string       // with LinkChanged and LinkGone
	Up      bool         // with LinkChanged: administratively
	Running bool         // with LinkChanged: up and with a carrier
	Address netip.Prefix // with AddressAdded and AddressGone
	Shared  bool         // with an address: it has rota's mark
}

// Watcher hears of changes to interfaces, addresses and filters of one network namespace.
type Watcher struct{ socket *os.File }

// NewWatcher subscribes: from now on nothing is missed without a Missed, so
// subscribe first and look at what is there afterwards.
func NewWatcher() (*Watcher, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("watch interfaces: %w", err)
	}
	// For bursts, when many interfaces appear at once. Half of it is for the kernel's own accounting.
	const buffer = 1 << 20
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
	}
	groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | 1<<(unix.RTNLGRP_TC-1))
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("watch interfaces: %w", err)
	}
	return &Watcher{os.NewFile(uintptr(fd), "rtnetlink")}, nil
}

// Close ends the subscription; a Run under way returns.
func (w *Watcher) Close() error { return w.socket.Close() }

// Run hands every change to handle, one after the other, until ctx is done
// (then it returns nil) or the socket fails.
func (w *Watcher) Run(ctx context.Context, handle func(Change)) error {
	if err := w.socket.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("watch interfaces: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = w.socket.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 64<<10)
	for {
		n, err := w.socket.Read(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			handle(Change{Kind: Missed})
			continue
		case err != nil:
			return fmt.Errorf("watch interfaces: %w", err)
		}
		for m := buf[:n]; len(m) >= unix.SizeofNlMsghdr; {
			length := int(binary.NativeEndian.Uint32(m))
			if length < unix.SizeofNlMsghdr || length > len(m) {
				break
			}
			if c, ok := parseChange(binary.NativeEndian.Uint16(m[4:]), m[unix.SizeofNlMsghdr:length]); ok {
				handle(c)
			}
			m = m[min(len(m), (length+3)&^3):]
		}
	}
}

func parseChange(message uint16, body []byte) (Change, bool) {
	switch message {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		return parseLinkChange(message, body)
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		a, ok := parseAddress(body)
		kind := AddressAdded
		if message == unix.RTM_DELADDR {
			kind = AddressGone
		}
		return Change{Kind: kind, Index: a.index, Address: a.prefix, Shared: a.marked}, ok
	case unix.RTM_DELQDISC, unix.RTM_DELTFILTER:
		// struct tcmsg { u8 family; u8, u16 padding; s32 ifindex; … }
		if len(body) < 8 {
			return Change{}, false
		}
		return Change{Kind: FilterGone, Index: int(int32(binary.NativeEndian.Uint32(body[4:])))}, true
	}
	return Change{}, false
}

func parseLinkChange(message uint16, body []byte) (Change, bool) {
	if len(body) < unix.SizeofIfInfomsg {
		return Change{}, false
	}
	info := nl.DeserializeIfInfomsg(body)
	if info.Family != unix.AF_UNSPEC { // a bridge speaks of its ports by the same messages
		return Change{}, false
	}
	c := Change{
		Kind: LinkChanged, Index: int(info.Index), Up: info.Flags&unix.IFF_UP != 0,
		Running: info.Flags&unix.IFF_UP != 0 && info.Flags&unix.IFF_LOWER_UP != 0 && info.Flags&unix.IFF_RUNNING != 0,
	}
	if message == unix.RTM_DELLINK {
		c.Kind, c.Up, c.Running = LinkGone, false, false
	}
	attrs, err := nl.ParseRouteAttr(body[info.Len():])
	if err != nil {
		return c, true
	}
	for _, at := range attrs {
		if at.Attr.Type == unix.IFLA_IFNAME {
			c.Name = unix.ByteSliceToString(at.Value)
		}
	}
	return c, true
}
