package lab

import (
	"errors"

	"github.com/rota-cluster/rota/internal/lab/segment"
)

// Partition lets only the nodes of a group hear each other. The client hears,
// and is heard by, all. Nodes in no group are not touched.
func (l *Lab) Partition(groups ...[]*Node) error {
	var failed []error
	for i, g := range groups {
		for j, other := range groups {
			if i == j {
				continue
			}
			for _, from := range g {
				for _, to := range other {
					failed = append(failed, l.LosePair(from, to, segment.Loss{Frames: segment.Certain}))
				}
			}
		}
	}
	return errors.Join(failed...)
}

// HealPartition ends all losses between pairs.
func (l *Lab) HealPartition() error {
	var failed []error
	for _, from := range l.nodes {
		for _, to := range l.nodes {
			failed = append(failed, l.LosePair(from, to, segment.Loss{}))
		}
	}
	return errors.Join(failed...)
}

// LosePair loses frames or beats on the way from one node to another only.
func (l *Lab) LosePair(from, to *Node, loss segment.Loss) error {
	return l.segment.SetPairLoss(from.host, to.host, loss)
}
