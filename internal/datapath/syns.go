package datapath

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"
)

const (
	synsPerCPU = 1024
	synFrame   = 168 // bytes; longer ones are not kept
)

// kernelSyn is struct syn of bpf/syn.h.
type kernelSyn struct {
	when         uint64 // jiffies
	pool, bucket uint32 // the pool's place
	len          uint16
	state        uint16
	tag          [4]byte // 802.1Q or 802.1ad that the kernel has taken out of the frame, or 0
	frame        [synFrame]byte
}

// kernelSyns is struct syns: the ring of one CPU.
type kernelSyns struct {
	next atomic.Uint64
	_    [7]uint64
	ring [synsPerCPU]kernelSyn
}

// synsIn looks at the memory of rota_syns.
func synsIn(m mapping, cpus uint32) []kernelSyns {
	return unsafe.Slice((*kernelSyns)(unsafe.Pointer(unsafe.SliceData(m))), cpus)
}

// keptSyn is a SYN that the filter dropped because its bucket was another node's.
type keptSyn struct {
	bucket uint32
	state  State         // of the bucket
	when   uint64        // jiffies, when it came
	by     time.Duration // Now, when it had come; up to two ticks before
	frame  []byte
	flow   synFlow
	tcp    []byte // within frame
	// answered: by another node, as far as the marks tell.
	answered bool
}

// synFlow tells whether two are the same connection, asked for again.
type synFlow struct{ remote, local netip.AddrPort }

// keptSyns are those of a pool that are wanted, of each connection the newest,
// in the order in which they came.
//
// The programs may be overwriting some of them. One that is, or whose frame is
// not of the bucket that it was kept for, is left out.
func (d *Datapath) keptSyns(pool int, wanted func(s *keptSyn) bool) ([]keptSyn, error) {
	d.leaseLock.Lock()
	defer d.leaseLock.Unlock()
	if d.control == nil {
		return nil, errClosed
	}
	now, err := d.clock.read()
	if err != nil {
		return nil, fmt.Errorf("read the kept SYNs: %w", err)
	}
	arranged := d.arranged.Load()
	if pool >= len(arranged.layout) {
		return nil, fmt.Errorf("read the kept SYNs: there is no pool %d", pool)
	}
	newest := make(map[synFlow]keptSyn)
	for i := range d.syns {
		d.syns[i].each(arranged.layout[pool].place, func(k *kernelSyn) {
			age := time.Duration(now.jiffies-min(k.when+1, now.jiffies)) * d.clock.tick
			s := keptSyn{bucket: k.bucket, state: State(k.state), when: k.when, by: now.monotonic - age}
			if !wanted(&s) {
				return
			}
			s.frame = k.whole()
			p := &arranged.options.Pools[pool]
			if s.read(p) && newest[s.flow].by <= s.by {
				s.answered = d.marks.answered(&s, p.Hasher)
				newest[s.flow] = s
			}
		})
	}
	var found []keptSyn
	for _, s := range newest {
		found = append(found, s)
	}
	slices.SortFunc(found, func(a, b keptSyn) int { return cmp.Compare(a.by, b.by) })
	return found, nil
}

// each calls do for a copy of every SYN of the pool that was whole when it was copied.
func (r *kernelSyns) each(pool uint32, do func(*kernelSyn)) {
	next := r.next.Load()
	for n := next - min(next, synsPerCPU); n < next; n++ {
		if r.ring[n%synsPerCPU].pool != pool {
			continue
		}
		s := r.ring[n%synsPerCPU]
		if r.next.Load() > n+synsPerCPU {
			continue // it is another by now
		}
		if s.pool == pool && s.len > 0 && s.len <= synFrame {
			do(&s)
		}
	}
}

// whole is the frame with its tag.
func (s *kernelSyn) whole() []byte {
	const macs = 2 * macLen
	if s.tag == [4]byte{} {
		return slices.Clone(s.frame[:s.len])
	}
	return slices.Concat(s.frame[:macs], s.tag[:], s.frame[macs:s.len])
}

// read finds the segment in the frame. It is false if that is no SYN of the
// bucket, or was damaged on its way.
func (s *keptSyn) read(pool *Pool) bool {
	h, ok := readModelHeader(s.frame)
	if !ok || h.fault != 0 || h.protocol != protocolTCP || len(h.payload) < 20 || h.payload[13]&(tcpSYN|tcpACK) != tcpSYN {
		return false
	}
	s.tcp = h.payload
	s.flow.remote = netip.AddrPortFrom(h.source, binary.BigEndian.Uint16(s.tcp))
	s.flow.local = netip.AddrPortFrom(h.destination, binary.BigEndian.Uint16(s.tcp[2:]))
	if !slices.ContainsFunc(pool.Addresses, func(a netip.Addr) bool { return a.Unmap() == h.destination }) {
		return false // another pool had that place
	}
	bucket := pool.Hasher.Bucket(h.source, s.flow.remote.Port(), s.flow.local.Port())
	return bucket == s.bucket && s.complete()
}

// complete makes the checksum a whole one. A frame that never was on a wire
// may have that of the pseudo-header only, for the network card to complete.
func (s *keptSyn) complete() bool {
	pseudo := onesSum(uint64(len(s.tcp))+protocolTCP, s.flow.remote.Addr().AsSlice(), s.flow.local.Addr().AsSlice())
	field := s.tcp[16:18]
	if onesSum(uint64(pseudo), s.tcp) == 0xffff {
		return true
	}
	if binary.BigEndian.Uint16(field) != pseudo {
		return false
	}
	clear(field)
	binary.BigEndian.PutUint16(field, ^onesSum(uint64(pseudo), s.tcp))
	return true
}

// onesSum is the one's complement sum of RFC 1071.
func onesSum(sum uint64, blocks ...[]byte) uint16 {
	for _, b := range blocks {
		for ; len(b) > 1; b = b[2:] {
			sum += uint64(binary.BigEndian.Uint16(b))
		}
		if len(b) > 0 {
			sum += uint64(b[0]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
