package wire

import (
	"bytes"

	"github.com/rota-cluster/rota/internal/ownership"
)

// maxNames bounds how many names are kept; a cluster has fewer.
const maxNames = 1024

// memory keeps what comes again in beat after beat, so that it is read and
// allocated once: names, and the view that all members announce. Its zero
// value is ready. It changes no result, because strings and views are immutable.
type memory struct {
	names   map[string]string
	viewMsg []byte // the message that view was read from, empty: none
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

func (m *memory) knownView(msg []byte) (ownership.View, bool) {
	return m.view, len(m.viewMsg) > 0 && bytes.Equal(m.viewMsg, msg)
}

// keepView is for a view that has passed checkView.
func (m *memory) keepView(msg []byte, v ownership.View) {
	m.viewMsg = append(m.viewMsg[:0], msg...)
	m.view = v
}
