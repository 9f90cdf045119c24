package datapath

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/rota-cluster/rota/internal/ownership"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// liveStates are the TCP states (include/net/tcp_states.h) of a connection
// that is established or opening, or still has something to deliver. LISTEN (10),
// CLOSE (7) and TIME_WAIT (6) are none.
const liveStates = 1<<1 | 1<<2 | 1<<3 | 1<<4 | 1<<5 | 1<<8 | 1<<9 | 1<<11

// Live tells what has live local TCP connections.
type Live struct {
	Pools       []string // those that there were when it was asked, and of each
	Buckets     []ownership.Bitmap
	Connections [][]uint32 // by bucket
	// Addresses are the shared ones.
	Addresses map[netip.Addr]bool
}

// Live asks which buckets and shared addresses have live local TCP
// connections: sockets of this thread's network namespace whose local address
// is shared, and what the programs find in conntrack. It asks sock_diag (linux/inet_diag.h) and
// reads every live TCP socket of the namespace once.
func (d *Datapath) Live() (Live, error) {
	pools := d.options().Pools
	live, poolOf := Live{Addresses: make(map[netip.Addr]bool)}, poolsByAddress(pools)
	for _, p := range pools {
		live.Pools, live.Buckets = append(live.Pools, p.Name), append(live.Buckets, ownership.NewBitmap(p.Hasher.Buckets))
		live.Connections = append(live.Connections, make([]uint32, p.Hasher.Buckets))
	}
	mark := func(s tcpSocket) {
		if pool, shared := poolOf[s.local.Addr()]; shared {
			bucket := pools[pool].Hasher.Bucket(s.remote.Addr(), s.remote.Port(), s.local.Port())
			live.Buckets[pool].Set(bucket)
			live.Connections[pool][bucket]++
			live.Addresses[s.local.Addr()] = true
		}
	}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if err := dumpTCP(family, liveStates, mark); err != nil {
			return Live{}, fmt.Errorf("ask the kernel for its TCP sockets: %w", err)
		}
	}
	if d.conntrack {
		err := dumpForwarded(func(c tcpSocket) bool { mark(c); return true })
		return live, err
	}
	return live, nil
}

func poolsByAddress(pools []Pool) map[netip.Addr]int {
	poolOf := make(map[netip.Addr]int)
	for i, p := range pools {
		for _, a := range p.Addresses {
			poolOf[a.Unmap()] = i
		}
	}
	return poolOf
}

type tcpSocket struct {
	local, remote netip.AddrPort
}

// diagRequest is struct inet_diag_req_v2 of include/uapi/linux/inet_diag.h.
type diagRequest struct {
	family uint8
	states uint32
}

const diagRequestLen = 56

func (r diagRequest) Len() int { return diagRequestLen }

func (r diagRequest) Serialize() []byte {
	b := make([]byte, diagRequestLen)
	b[0] = r.family
	b[1] = unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[4:], r.states)
	return b
}

// dumpTCP calls each for every TCP socket of a family in one of the states.
func dumpTCP(family uint8, states uint32, each func(tcpSocket)) error {
	request := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
	request.AddData(diagRequest{family: family, states: states})
	return request.ExecuteIter(unix.NETLINK_INET_DIAG, 0, func(msg []byte) bool {
		if s, ok := parseDiag(msg); ok {
			each(s)
		}
		return true
	})
}

// parseDiag reads the start of struct inet_diag_msg: family, state, timer,
// retransmissions, then struct inet_diag_sockid (ports and addresses in network order).
func parseDiag(msg []byte) (tcpSocket, bool) {
	if len(msg) < 4+4+16+16 {
		return tcpSocket{}, false
	}
	var local, remote netip.Addr
	switch msg[0] {
	case unix.AF_INET:
		local, remote = netip.AddrFrom4([4]byte(msg[8:])), netip.AddrFrom4([4]byte(msg[24:]))
	case unix.AF_INET6:
		local, remote = netip.AddrFrom16([16]byte(msg[8:])).Unmap(), netip.AddrFrom16([16]byte(msg[24:])).Unmap()
	default:
		return tcpSocket{}, false
	}
	return tcpSocket{
		local:  netip.AddrPortFrom(local, binary.BigEndian.Uint16(msg[4:])),
		remote: netip.AddrPortFrom(remote, binary.BigEndian.Uint16(msg[6:])),
	}, true
}
