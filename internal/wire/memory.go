package wire

import (
	"bytes"

	"github.com/rota-cluster/rota/internal/ownership"
)

const (
	// maxNames bounds how many names are kept; a cluster has fewer.
	maxNames = 1024
	// maxSets and maxSetBytes bound the sets of buckets that are kept: those that each node tells of each pool,
	// what it claims and what lingers, and as many that were. All pools together have no more than maxBuckets.
	maxSets     = 2 * 2 * ownership.MaxNodes * ownership.MaxPools
	maxSetBytes = 2 * 2 * ownership.MaxNodes * 2 * maxBuckets / 8 // as read, and what they were read from
)

// memory keeps what comes again in beat after beat, so that it is read and
// allocated once: names, the sets of buckets, and the view that all members announce. Its zero
// value is ready. It changes no result, because what has been read is immutable.
type memory struct {
	names   map[string]string
	sets    map[string]ownership.Bitmap // by what they were read from
	setSize int                         // of sets, in bytes
	viewMsg []byte                      // the message that view was read from, empty: none
	view    ownership.View
}

func (m *memory) name(raw []byte) string {
	if name, ok := m.names[string(raw)]; ok {
		return name
	}
	if len(raw) > MaxName { // checkBeat will refuse it
		return string(raw)
	}
	if m.names == nil || len(m.names) >= maxNames {
		m.names = make(map[string]string)
	}
	name := string(raw)
	m.names[name] = name
	return name
}

// buckets is readBuckets.
func (m *memory) buckets(raw []byte) (ownership.Bitmap, error) {
	if set, ok := m.sets[string(raw)]; ok {
		return set, nil
	}
	set, err := readBuckets(raw)
	if err != nil {
		return nil, err
	}
	size := len(raw) + 8*len(set)
	if m.sets == nil || len(m.sets) >= maxSets || m.setSize+size > maxSetBytes {
		m.sets, m.setSize = make(map[string]ownership.Bitmap), 0
	}
	m.setSize += size
	m.sets[string(raw)] = set
	return set, nil
}

func (m *memory) knownView(msg []byte) (ownership.View, bool) {
	return m.view, len(m.viewMsg) > 0 && bytes.Equal(m.viewMsg, msg)
}

// keepView is for a view that has passed checkView.
func (m *memory) keepView(msg []byte, v ownership.View) {
	m.viewMsg = append(m.viewMsg[:0], msg...)
	m.view = v
}
