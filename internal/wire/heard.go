package wire

import (
	"cmp"
	"slices"

	"github.com/rota-cluster/rota/internal/ownership"
)

// MaxHeard is of how many senders an Opener takes over what an earlier one
// has heard. It leaves room for as many new ones.
const MaxHeard = MaxSenders / 2

// Heard is the newest whole beat that was received of a sender.
type Heard struct {
	From ownership.Ref
	Seq  uint64
}

// Heard tells what an Opener after this one needs, so that nothing older is
// ever opened again: the senders heard last come first, MaxHeard at most.
func (o *Opener) Heard() []Heard {
	all := make([]*sender, 0, len(o.senders))
	for _, s := range o.senders {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *sender) int {
		return cmp.Or(cmp.Compare(b.heard, a.heard), cmp.Compare(a.name, b.name))
	})
	var hs []Heard
	for _, s := range all[:min(len(all), MaxHeard)] {
		hs = append(hs, Heard{From: ownership.Ref{Name: s.name, Incarnation: s.incarnation}, Seq: s.seq})
	}
	return hs
}
