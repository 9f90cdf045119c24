package daemon

import (
	"github.com/rota-cluster/rota/internal/ownership"
)

// standing is what operators have ordered of this node until its daemon stops. A restart
// keeps it, also one after which the node starts anew, and so does an interface that goes
// and comes back. (Pins are in a file of their own.)
type standing struct {
	Drain *ownership.Drain // nil: none
	// Weight counts unless the file says another one than it did then, which was Filed.
	Weight, Filed uint16
}

// standing is what is in force now; filed is the weight in the file.
func (l *loop) standing(filed uint16) standing {
	s := standing{Weight: l.node.Carries(), Filed: filed}
	if drain, on := l.node.DrainInForce(); on {
		s.Drain = &drain
	}
	return s
}

// again are the events that bring it into force on a node that starts anew.
func (s standing) again(filed uint16) (events []ownership.Event) {
	if s.Weight != s.Filed && s.Filed == filed {
		events = append(events, ownership.Command{Order: ownership.Order{Kind: ownership.OrderWeight, Weight: s.Weight}})
	}
	if s.Drain != nil {
		events = append(events, *s.Drain)
	}
	return events
}
