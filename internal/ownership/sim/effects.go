package sim

import (
	"fmt"

	"github.com/rota-cluster/rota/internal/ownership"
)

// carryOut carries out the effects of a step, in order, as far as the daemon
// gets: it may be killed, frozen or just slow between any two of them.
func (w *world) carryOut(n *node) {
	for len(n.pending) > 0 && w.failure == nil && !n.frozen {
		if n.armed == 0 {
			n.armed = -1
			w.strike(n)
			return
		}
		if n.dawdle > 0 && !n.rested {
			n.resting = true
			w.queue.push(event{at: w.now + n.rng.span(0, n.dawdle), kind: evResume, node: uint8(n.id), gen: n.life})
			return
		}
		n.rested = false
		if n.armed > 0 {
			n.armed--
		}
		effect := n.pending[0]
		n.pending = n.pending[1:]
		w.effect(n, effect)
	}
	if len(n.pending) == 0 && n.stopping {
		w.endDaemon(n)
	}
}

func (w *world) strike(n *node) {
	if n.strike == Kill {
		w.tell(n, "is killed before %T", n.pending[0])
		w.endDaemon(n)
	} else {
		w.tell(n, "freezes before %T", n.pending[0])
		n.frozen = true
	}
	w.checks.changed(w)
}

func (w *world) effect(n *node, e ownership.Effect) {
	w.mix(uint64(w.now)<<4 | uint64(n.id))
	switch e := e.(type) {
	case ownership.SetTable:
		w.setTable(n, e)
	case ownership.RenewLease:
		w.mix(uint64(e.Until))
		w.renewLease(n, e.Until)
	case ownership.Send:
		w.send(n, &e)
	case ownership.SavePins:
		n.kept = e.Orders
	case ownership.CommandDone:
		w.checks.commandDone(w, n, e)
	case ownership.DrainTimeout: // connections of the simulator last as long as they last
	case ownership.SetIncarnation:
		n.incarnation, n.last = e.Incarnation, nil
	case ownership.Remember:
		w.remember(n, e.Until)
	case ownership.Held:
		w.held(n, e.Until)
	case ownership.NotHeld:
		n.restart.asked = false
		w.tell(n, "does not restart: %s", e.Why)
	case ownership.Replay:
		w.replay(n, e)
	case ownership.Resend:
		w.resend(n, e)
	case ownership.WakeAt:
		w.mix(uint64(e.At))
		w.wakeAt(n, e.At)
	case ownership.Note:
		w.mix(uint64(e.Kind) + uint64(e.View.Number)<<8)
		if w.story != nil {
			w.tell(n, "%s: %s", e.Kind, e.Text)
		}
	default:
		w.fail(RuleContract, fmt.Sprintf("%s asks for an unknown effect %T", n.spec.Label, e))
	}
}

// wakeAt sets the daemon's timer anew.
func (w *world) wakeAt(n *node, wish ownership.Time) {
	at := max(n.clock.when(wish), w.now)
	if n.lag > 0 {
		at += n.rng.span(0, n.lag)
	}
	n.wakeDue = false
	if at != n.wakeAt {
		n.wakeAt = at
		w.queue.push(event{at: at, kind: evWake, node: uint8(n.id)})
	}
}

func (w *world) send(n *node, send *ownership.Send) {
	b := send.Beat
	w.mix(b.Seq<<8 | uint64(b.Stage)<<4 | uint64(b.Flags))
	if b.From.Name != n.spec.Name || b.From.Incarnation != n.incarnation || n.last != nil && b.Seq <= n.last.Seq {
		w.fail(RuleContract, fmt.Sprintf("%s sends beat %d of %v after beat %d", n.spec.Label, b.Seq, b.From, n.lastSeq()))
		return
	}
	w.checks.beat(w, n, b)
	n.last = b
	if n.up && !n.mute {
		w.net.broadcast(w, n, b)
	}
	if n.up {
		w.net.bySecond(w, n, send)
	}
}

func (n *node) lastSeq() uint64 {
	if n.last == nil {
		return 0
	}
	return n.last.Seq
}
