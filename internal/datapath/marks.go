package datapath

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/rota-cluster/rota/internal/flowhash"
)

// marks is struct marks of bpf/mark.h: when flows of other nodes were seen
// going on, in the lower half of jiffies; 0: never.
type marks struct {
	seen [1 << 18]atomic.Uint32
}

// answered tells whether a flow has gone on since its SYN came, so that somebody has
// answered it, or another flow that has the same place.
func (m *marks) answered(s *keptSyn, h flowhash.Hasher) bool {
	seen := m.seen[placeOf(s.flow, h)].Load()
	return seen != 0 && int32(seen-uint32(s.when)) >= 0
}

// placeOf is where the programs have a flow's mark (mark of bpf/mark.h). They
// read the port as it is in the packet.
func placeOf(f synFlow, h flowhash.Hasher) uint32 {
	port := f.remote.Port()
	raw := binary.NativeEndian.Uint16([]byte{byte(port >> 8), byte(port)})
	return (h.Hash(f.remote.Addr(), port, f.local.Port()) + uint32(raw)) % uint32(len(marks{}.seen))
}
