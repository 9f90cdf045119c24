package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Forwarded tells one shared address at which this host passes connections on to
// another address; none if the result is not valid.
func (d *Datapath) Forwarded() (netip.Addr, error) {
	poolOf := poolsByAddress(d.options().Pools)
	var found netip.Addr
	err := dumpForwarded(func(c tcpSocket) bool {
		if _, shared := poolOf[c.local.Addr()]; shared {
			found = c.local.Addr()
		}
		return !found.IsValid()
	})
	return found, err
}

// Of include/uapi/linux/netfilter/nf_conntrack_common.h and nfnetlink_conntrack.h.
const (
	ipsSeenReply = 1 << 1
	ipsConfirmed = 1 << 3
	ipsDstNAT    = 1 << 5
	ipsDying     = 1 << 9

	// As bpf/conntrack.h has it.
	ipsWanted = ipsConfirmed | ipsSeenReply | ipsDstNAT

	ctaStatusMask = 26
)

// conntrackCount is how many connections the kernel tracks in this thread's network namespace.
const conntrackCount = "/proc/sys/net/netfilter/nf_conntrack_count"

// tracksNothing spares what does not track connections the dump, and its kernel the loading of modules.
func tracksNothing() (bool, error) {
	text, err := os.ReadFile(conntrackCount)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return n == 0, err
}

// dumpForwarded calls each, until it returns false, for every live TCP connection
// of this thread's network namespace that is passed on: as its client sees it.
func dumpForwarded(each func(tcpSocket) bool) error {
	if nothing, err := tracksNothing(); nothing || err != nil {
		return err
	}
	request := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|nl.IPCTNL_MSG_CT_GET, unix.NLM_F_DUMP)
	request.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC, Version: nl.NFNETLINK_V0})
	// Where the kernel can (Linux 5.19) it leaves out the others itself.
	request.AddData(nl.NewRtAttr(nl.CTA_STATUS, binary.BigEndian.AppendUint32(nil, ipsWanted)))
	request.AddData(nl.NewRtAttr(ctaStatusMask, binary.BigEndian.AppendUint32(nil, ipsWanted|ipsDying)))
	err := request.ExecuteIter(unix.NETLINK_NETFILTER, 0, func(msg []byte) bool {
		c, ok := parseForwarded(msg)
		return !ok || each(c)
	})
	if err != nil {
		return fmt.Errorf("ask the kernel for the connections that it passes on: %w", err)
	}
	return nil
}

// parseForwarded reads a struct nfgenmsg and the attributes behind it.
func parseForwarded(msg []byte) (c tcpSocket, ok bool) {
	if len(msg) < nl.SizeofNfgenmsg {
		return c, false
	}
	entry := msg[nl.SizeofNfgenmsg:]
	status, state := attribute(entry, nl.CTA_STATUS), attribute(entry, nl.CTA_PROTOINFO, nl.CTA_PROTOINFO_TCP, nl.CTA_PROTOINFO_TCP_STATE)
	zoned := attribute(entry, nl.CTA_ZONE) != nil // the programs ask in none
	if zoned || len(status) != 4 || len(state) != 1 {
		return c, false
	}
	if binary.BigEndian.Uint32(status)&(ipsWanted|ipsDying) != ipsWanted || state[0] < nl.TCP_CONNTRACK_SYN_RECV || state[0] > nl.TCP_CONNTRACK_LAST_ACK {
		return c, false
	}
	tuple := attribute(entry, nl.CTA_TUPLE_ORIG)
	remote, fromOK := endpoint(tuple, nl.CTA_IP_V4_SRC, nl.CTA_IP_V6_SRC, nl.CTA_PROTO_SRC_PORT)
	local, toOK := endpoint(tuple, nl.CTA_IP_V4_DST, nl.CTA_IP_V6_DST, nl.CTA_PROTO_DST_PORT)
	return tcpSocket{local: local, remote: remote}, fromOK && toOK
}

// endpoint of a tuple; which one, say the kinds of its attributes.
func endpoint(tuple []byte, v4, v6, port uint16) (netip.AddrPort, bool) {
	raw := attribute(tuple, nl.CTA_TUPLE_IP, v4)
	if raw == nil {
		raw = attribute(tuple, nl.CTA_TUPLE_IP, v6)
	}
	a, ok := netip.AddrFromSlice(raw)
	n := attribute(tuple, nl.CTA_TUPLE_PROTO, port)
	if !ok || len(n) != 2 {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(n)), true
}

// attribute is what lies in an attribute (struct nlattr) of an attribute …; nil if there is none.
func attribute(b []byte, path ...uint16) []byte {
	for _, kind := range path {
		b = attributeOf(b, kind)
	}
	return b
}

func attributeOf(b []byte, kind uint16) []byte {
	for len(b) >= unix.SizeofNlAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofNlAttr || size > len(b) {
			return nil
		}
		if binary.NativeEndian.Uint16(b[2:])&^(nl.NLA_F_NESTED|nl.NLA_F_NET_BYTEORDER) == kind {
			return b[unix.SizeofNlAttr:size]
		}
		b = b[min((size+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1), len(b)):]
	}
	return nil
}
