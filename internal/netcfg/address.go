package netcfg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Protocol is rota's mark on an address: who put it there, as `ip -d addr` shows
// it (proto 82). Linux 5.18 and newer keep it; on older ones an IPv4 address is
// known by its label, and an IPv6 one only by whoever knows that it is shared.
const Protocol = 82

// ifaProto is IFA_PROTO of linux/if_addr.h.
const ifaProto = 11

// forever is INFINITY_LIFE_TIME of net/addrconf.h.
const forever = 0xffffffff

// ErrForeignAddress is wrapped when a shared address is already present and
// something else has put it there.
var ErrForeignAddress = errors.New("present already, and not from rota")

// AddAddress puts a shared address on the interface, in a form that the kernel does
// not choose as a source by itself, of IPv6 as long as there is another (SharedSource):
//   - alone in its network (/32, /128), without a route of its own;
//   - IPv4 with scope host, which inet_select_addr (net/ipv4/devinet.c) passes
//     over in favour of no address at all;
//   - IPv6 deprecated from the start (RFC 6724 rule 3), and without duplicate
//     address detection, which would find the other nodes' copies.
//
// An address that carries rota's mark already is left as it is. One that is
// there without it, on any interface, is ErrForeignAddress.
func AddAddress(link Link, a netip.Addr) error {
	present, err := addresses()
	if err != nil {
		return err
	}
	for _, p := range present {
		if p.prefix.Addr() != a {
			continue
		}
		if p.index == link.Index && p.isShared() {
			return nil
		}
		return foreign(p)
	}
	err = changeAddress(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, shared(link, a))
	switch {
	case errors.Is(err, unix.EACCES) && a.Is6():
		return fmt.Errorf("add %s to %s: IPv6 is switched off there; set net.ipv6.conf.%s.disable_ipv6 to 0, or take the address out of the pool: %w",
			a, link.Name, link.Name, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("add %s to %s: needs root or CAP_NET_ADMIN: %w", a, link.Name, err)
	case err != nil:
		return fmt.Errorf("add %s to %s: %w", a, link.Name, err)
	}
	return nil
}

// RemoveAddress takes a shared address away. One that is not there is no error,
// one that is there without rota's mark is left alone and is ErrForeignAddress.
func RemoveAddress(link Link, a netip.Addr) error {
	present, err := addresses()
	if err != nil {
		return err
	}
	for _, p := range present {
		if p.index != link.Index || p.prefix.Addr() != a {
			continue
		}
		if !p.isShared() {
			return foreign(p)
		}
		err := changeAddress(unix.RTM_DELADDR, 0, p)
		if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("remove %s from %s: %w", a, link.Name, err)
		}
	}
	return nil
}

func foreign(p address) error {
	name := fmt.Sprintf("interface number %d", p.index)
	if l, err := interfaceName(p.index); err == nil {
		name = l
	}
	return fmt.Errorf("shared address %s on %s: %w; remove it with: ip addr del %s dev %s",
		p.prefix.Addr(), name, ErrForeignAddress, p.prefix, name)
}

// address is one entry of the kernel's list.
type address struct {
	index  int
	prefix netip.Prefix
	flags  uint32 // IFA_F_*
	scope  uint8
	label  string
	marked bool
}

// shared is the form in which AddAddress adds a.
func shared(link Link, a netip.Addr) address {
	s := address{
		index:  link.Index,
		prefix: netip.PrefixFrom(a, a.BitLen()),
		flags:  unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE,
		marked: true,
	}
	if a.Is4() {
		s.scope = unix.RT_SCOPE_HOST
		s.label = label(link.Name)
	}
	return s
}

// isShared also recognises, on a kernel that keeps no marks, an IPv6 address
// that has the form of a shared one. Only for an address known to be shared:
// others add addresses of this form too.
func (a address) isShared() bool {
	const form = unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_DEPRECATED
	return a.marked || a.prefix.Addr().Is6() && a.prefix.IsSingleIP() && a.flags&form == form && !keepsMarks()
}

const (
	labelSuffix      = ":rota"
	shortLabelSuffix = ":r" // for names of 11 to 13 characters
)

// label is the name under which tools that know labels list a shared IPv4
// address: as an alias, so that asking for "the" address of the interface
// (SIOCGIFADDR, getifaddrs) does not find it.
func label(name string) string {
	for _, suffix := range []string{labelSuffix, shortLabelSuffix} {
		if len(name)+len(suffix) < unix.IFNAMSIZ {
			return name + suffix
		}
	}
	return ""
}

func isLabel(text string) bool {
	return strings.HasSuffix(text, labelSuffix) || strings.HasSuffix(text, shortLabelSuffix)
}

func changeAddress(message, flags int, a address) error {
	family := unix.AF_INET6
	if a.prefix.Addr().Is4() {
		family = unix.AF_INET
	}
	req := nl.NewNetlinkRequest(message, flags|unix.NLM_F_ACK)
	header := nl.NewIfAddrmsg(family)
	header.Index = uint32(a.index)
	header.Prefixlen = uint8(a.prefix.Bits())
	header.Scope = a.scope
	req.AddData(header)
	ip := a.prefix.Addr().AsSlice()
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, ip))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, ip))
	if message == unix.RTM_NEWADDR {
		req.AddData(nl.NewRtAttr(unix.IFA_FLAGS, binary.NativeEndian.AppendUint32(nil, a.flags)))
		req.AddData(nl.NewRtAttr(ifaProto, []byte{Protocol}))
		// struct ifa_cacheinfo { u32 prefered, valid, cstamp, tstamp; }
		lifetimes := make([]byte, 16)
		binary.NativeEndian.PutUint32(lifetimes[4:], forever)
		req.AddData(nl.NewRtAttr(unix.IFA_CACHEINFO, lifetimes))
		if a.label != "" {
			req.AddData(nl.NewRtAttr(unix.IFA_LABEL, nl.ZeroTerminated(a.label)))
		}
	}
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// addresses lists all addresses of this network namespace.
func addresses() ([]address, error) {
	msgs, err := dump(func() ([][]byte, error) {
		req := nl.NewNetlinkRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP)
		req.AddData(nl.NewIfAddrmsg(unix.AF_UNSPEC))
		return req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWADDR)
	})
	if err != nil {
		return nil, fmt.Errorf("list the addresses: %w", err)
	}
	var all []address
	for _, m := range msgs {
		if a, ok := parseAddress(m); ok {
			all = append(all, a)
		}
	}
	return all, nil
}

// parseAddress reads struct ifaddrmsg and its attributes; ok is false for
// other families than IPv4 and IPv6.
func parseAddress(m []byte) (a address, ok bool) {
	if len(m) < unix.SizeofIfAddrmsg {
		return a, false
	}
	header := nl.DeserializeIfAddrmsg(m)
	attrs, err := nl.ParseRouteAttr(m[header.Len():])
	if err != nil {
		return a, false
	}
	a.index, a.scope, a.flags = int(header.Index), header.Scope, uint32(header.Flags)
	var local, remote netip.Addr
	for _, at := range attrs {
		switch at.Attr.Type {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(at.Value)
		case unix.IFA_ADDRESS: // the peer's, where there is one; the address itself in IPv6
			remote, _ = netip.AddrFromSlice(at.Value)
		case unix.IFA_LABEL:
			a.label = unix.ByteSliceToString(at.Value)
		case unix.IFA_FLAGS:
			if len(at.Value) >= 4 {
				a.flags = binary.NativeEndian.Uint32(at.Value)
			}
		case ifaProto:
			a.marked = len(at.Value) > 0 && at.Value[0] == Protocol
		}
	}
	if !local.IsValid() {
		local = remote
	}
	a.prefix = netip.PrefixFrom(local, int(header.Prefixlen))
	a.marked = a.marked || local.Is4() && isLabel(a.label)
	return a, a.prefix.IsValid()
}
