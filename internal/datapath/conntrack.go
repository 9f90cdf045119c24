package datapath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf/btf"
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
