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
	"syscall"

	"github.com/cilium/ebpf/btf"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Connections that the host passes on to another address (DNAT: containers) have
// no socket here. The kernel's connection tracking knows them.

// ErrNoConntrack: the programs cannot ask it.
var ErrNoConntrack = errors.New("the programs cannot ask the kernel's connection tracking")

// conntrackLayout is where the running kernel's struct nf_conn has its status and
// its struct ip_ct_tcp. 0 if the programs cannot ask it.
type conntrackLayout struct {
	Status, TCP uint16
}

// conntrackModule is where it is when the kernel has it not built in.
const conntrackModule = "nf_conntrack"

// kernelConntrack finds it, if conntrack is there and programs may ask it (Linux 5.18
// with CONFIG_DEBUG_INFO_BTF).
func kernelConntrack(types *btf.Cache) conntrackLayout {
	kernel, err := types.Kernel()
	if err != nil {
		return conntrackLayout{}
	}
	if l := conntrackIn(kernel); l != (conntrackLayout{}) {
		return l
	}
	module, err := types.Module(conntrackModule)
	if err != nil {
		return conntrackLayout{}
	}
	return conntrackIn(module)
}

func conntrackIn(types *btf.Spec) conntrackLayout {
	var lookup *btf.Func
	var conn *btf.Struct
	if types.TypeByName("bpf_xdp_ct_lookup", &lookup) != nil || types.TypeByName("nf_conn", &conn) != nil {
		return conntrackLayout{}
	}
	l := conntrackLayout{Status: offsetIn(conn, "status"), TCP: offsetIn(conn, "proto", "tcp")}
	asWeKnowIt := l.Status != 0 && l.TCP != 0 &&
		offsetIn(conn, "proto", "tcp", "state") == l.TCP+40 &&
		offsetIn(conn, "proto", "tcp", "seen", "td_end") == l.TCP+20 && // of the reply
		offsetIn(conn, "proto", "tcp", "seen", "td_maxwin") == l.TCP+20+8
	if !asWeKnowIt {
		return conntrackLayout{}
	}
	return l
}

// offsetIn is where a member of a member … of a struct begins; of an array it is the
// second element's. 0 if there is none.
func offsetIn(t btf.Type, path ...string) uint16 {
	offset := uint32(0)
	for _, name := range path {
		if array, ok := btf.As[*btf.Array](t); ok {
			size, err := btf.Sizeof(array.Type)
			if err != nil || array.Nelems < 2 {
				return 0
			}
			offset, t = offset+uint32(size), array.Type
		}
		m, ok := memberOf(t, name)
		if !ok {
			return 0
		}
		offset, t = offset+m.Offset.Bytes(), m.Type
	}
	return uint16(offset)
}

func memberOf(t btf.Type, name string) (btf.Member, bool) {
	var members []btf.Member
	if s, ok := btf.As[*btf.Struct](t); ok {
		members = s.Members
	} else if u, ok := btf.As[*btf.Union](t); ok {
		members = u.Members
	}
	for _, m := range members {
		if m.Name == name && m.BitfieldSize == 0 {
			return m, true
		}
	}
	return btf.Member{}, false
}

// AsksConntrack tells whether the programs ask the kernel's connection tracking.
func (d *Datapath) AsksConntrack() bool { return d.conntrack }

// WhyNoConntrack is an ErrNoConntrack that says what to do about it.
func (d *Datapath) WhyNoConntrack() error {
	switch {
	case d.refused != nil:
		return fmt.Errorf("%w: this kernel refuses it (%w)", ErrNoConntrack, d.refused)
	case kernelConntrack(btf.NewCache()) != conntrackLayout{}:
		return fmt.Errorf("%w, which was loaded after them: stop rota and start it again", ErrNoConntrack)
	default:
		return fmt.Errorf("%w: that needs Linux 5.18 with BTF (CONFIG_DEBUG_INFO_BTF)", ErrNoConntrack)
	}
}

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
	attrs := attributes(msg[nl.SizeofNfgenmsg:])
	status, state := attrs[nl.CTA_STATUS], attributes(attributes(attrs[nl.CTA_PROTOINFO])[nl.CTA_PROTOINFO_TCP])[nl.CTA_PROTOINFO_TCP_STATE]
	_, zoned := attrs[nl.CTA_ZONE] // the programs ask in none
	if zoned || len(status) != 4 || len(state) != 1 {
		return c, false
	}
	if binary.BigEndian.Uint32(status)&(ipsWanted|ipsDying) != ipsWanted || state[0] < nl.TCP_CONNTRACK_SYN_RECV || state[0] > nl.TCP_CONNTRACK_LAST_ACK {
		return c, false
	}
	tuple := attributes(attrs[nl.CTA_TUPLE_ORIG])
	ip, ports := attributes(tuple[nl.CTA_TUPLE_IP]), attributes(tuple[nl.CTA_TUPLE_PROTO])
	source, destination := ports[nl.CTA_PROTO_SRC_PORT], ports[nl.CTA_PROTO_DST_PORT]
	if len(source) != 2 || len(destination) != 2 {
		return c, false
	}
	remote, fromOK := netip.AddrFromSlice(either(ip[nl.CTA_IP_V4_SRC], ip[nl.CTA_IP_V6_SRC]))
	local, toOK := netip.AddrFromSlice(either(ip[nl.CTA_IP_V4_DST], ip[nl.CTA_IP_V6_DST]))
	return tcpSocket{
		local:  netip.AddrPortFrom(local, binary.BigEndian.Uint16(destination)),
		remote: netip.AddrPortFrom(remote, binary.BigEndian.Uint16(source)),
	}, fromOK && toOK
}

func either(a, b []byte) []byte {
	if a != nil {
		return a
	}
	return b
}

// attributes by their kinds, of which netlink.h says that they may have flags.
func attributes(b []byte) map[uint16][]byte {
	list, err := nl.ParseRouteAttr(b)
	if err != nil {
		return nil
	}
	all := make(map[uint16][]byte, len(list))
	for _, a := range list {
		all[a.Attr.Type&^(syscall.NLA_F_NESTED|syscall.NLA_F_NET_BYTEORDER)] = a.Value
	}
	return all
}
