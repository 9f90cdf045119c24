package lab

import (
	"errors"

	"github.com/rota-cluster/rota/internal/lab/segment"
)

// Partition lets only the nodes of a group hear each other. The client hears,
// and is heard by, all, as after a fault of the beats' path alone: where every
// part serves (quorum none) it is then answered twice. Nodes in no group are
// not touched.
func (l *Lab) Partition(groups ...[]*Node) error {
	hosts := make([][]*segment.Host, len(groups))
	for i, g := range groups {
		for _, n := range g {
			hosts[i] = append(hosts[i], n.host)
		}
	}
	return l.Split(hosts...)
}

// Split parts the switch: only hosts of a group hear each other, clients among
// them. Hosts in no group are not touched.
func (l *Lab) Split(groups ...[]*segment.Host) error {
	var failed []error
	for i, g := range groups {
		for j, other := range groups {
			if i == j {
				continue
			}
			for _, from := range g {
				for _, to := range other {
					failed = append(failed, l.segment.SetPairLoss(from, to, segment.Loss{Frames: segment.Certain}))
				}
			}
		}
	}
	return errors.Join(failed...)
}

// HealPartition ends all losses between pairs of hosts.
func (l *Lab) HealPartition() error {
	var failed []error
	hosts := l.segment.Hosts()
	for _, from := range hosts {
		for _, to := range hosts {
			failed = append(failed, l.segment.SetPairLoss(from, to, segment.Loss{}))
		}
	}
	return errors.Join(failed...)
}

// LosePair loses frames or beats on the way from one node to another only.
func (l *Lab) LosePair(from, to *Node, loss segment.Loss) error {
	return l.segment.SetPairLoss(from.host, to.host, loss)
}
