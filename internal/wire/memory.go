package wire

import (
	"bytes"

	"github.com/rota-cluster/rota/internal/ownership"
)

const (
	// maxNames bounds how many names are kept; a cluster has fewer.
	maxNames = 1024
	// maxSets bounds how many sets of buckets are: one for each pool of each node, and some that were.
	maxSets = 256
)

// memory keeps what comes again in beat after beat, so that it is read and
// allocated once: names, the sets of buckets, and the view that all members announce. Its zero
// value is ready. It changes no result, because what has been read is immutable.
type memory struct {
	names   map[string]string
	sets    map[string]ownership.Bitmap // by what they were read from
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
	if m.sets == nil || len(m.sets) >= maxSets {
		m.sets = make(map[string]ownership.Bitmap)
	}
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
