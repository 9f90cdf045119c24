package ownership

import "time"

// hearNamesake: another host uses this node's name. The one who speaks with
// the lower incarnation, or has not spoken yet, falls silent: peers listen to
// the higher one only.
func (n *Node) hearNamesake(b *Beat) {
	if b.Host == n.cfg.Host || b.Flags&FlagLeaving != 0 {
		return // an earlier start of this very host, or one that leaves
	}
	if n.seq > 0 && b.From.Incarnation < n.cfg.Self.Incarnation {
		return // it yields
	}
	n.namesake, n.rivalAt = max(n.namesake, b.From.Incarnation), b.Address
	n.muteTill = n.now + max(3*n.lease, time.Second)
	if !n.muted {
		n.muted = true
		n.note(NoteDuplicateName, b.From.Name, "%s: stays out until it is gone; give one of them another name", n.whoseName())
		n.yield(barFenced)
	}
}

func (n *Node) whoseName() string {
	if n.rivalAt == "" {
		return "another host, which has no address of its own, uses this node's name"
	}
	return text("another host (%s) uses this node's name", n.rivalAt)
}

// outliveNamesake: the other host is gone. Peers listen to nobody of this name under
// an incarnation below its, so this node starts anew above it.
func (n *Node) outliveNamesake() {
	n.muted = false
	n.note(NoteDuplicateName, "", "the other host with this node's name is gone")
	if n.namesake < n.cfg.Self.Incarnation {
		return
	}
	n.abandonOrders()
	cfg := n.cfg
	cfg.Self.Incarnation = n.namesake + 1
	next := New(cfg, n.now)
	next.awake, next.thawed, next.highest = n.awake, n.thawed, n.highest
	next.weights, next.shares, next.health, next.draining, next.drainWhy, next.unfit, next.pins = n.weights, n.shares, n.health, n.draining, n.drainWhy, n.unfit, n.pins
	next.last, next.retires = n.last, n.retires
	next.out = append(n.out, SetIncarnation{Incarnation: cfg.Self.Incarnation})
	*n = *next
}
