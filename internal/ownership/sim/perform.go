package sim

import "github.com/rota-cluster/rota/internal/ownership"

// perform carries out one line of the story.
func (w *world) perform(op *Op) {
	w.checks.beforeOp(w, op)
	if w.story != nil {
		w.story.op(w.now, w.s.FormatOp(op))
	}
	if op.Verb == Pin || op.Verb == Unpin || op.Verb == GiveOrder {
		w.giveOrder(op)
		return
	}
	for _, i := range op.Nodes {
		w.performOn(w.nodes[i], op)
	}
	links := op.Links
	if len(links) == 0 && len(op.Nodes) == 0 {
		links = allLinks(len(w.nodes))
	}
	for _, at := range links {
		w.performOnLink(at, op)
	}
	if op.Verb == Mend && !op.Second && len(op.Links) == 0 {
		second := *op
		second.Second = true
		for _, at := range links {
			w.performOnLink(at, &second)
		}
	}
	if op.Verb == Copies {
		w.net.copies = op.Amount
	}
	if op.Verb == Expect {
		w.expect(op)
	}
}

func (w *world) performOn(n *node, op *Op) {
	switch op.Verb {
	case Start:
		w.start(n, op.Amount)
	case Crash:
		w.powerOff(n)
	case Kill, Freeze:
		w.stopShort(n, op)
	case Thaw:
		n.frozen, n.armed, n.thawed = false, -1, w.now
		w.carryOut(n)
		w.pump(n)
	case Slow:
		n.slow = op.Span
	case Lag:
		n.lag = op.Span
	case Dawdle:
		n.dawdle = op.Span
	case Deaf:
		n.deaf = true
	case Mute:
		n.mute = true
	case Unflood:
		n.unflooded = true
	case Cure:
		if n.slow > 0 || n.lag > 0 || n.dawdle > 0 {
			n.thawed = w.now
		}
		n.deaf, n.mute, n.unflooded, n.slow, n.lag, n.dawdle = false, false, false, 0, 0, 0
		w.pump(n)
	case Weight:
		n.weight = uint16(op.Amount)
		w.order(n, weighed{})
	case Drain:
		n.draining = n.draining || n.machine != nil
		w.order(n, ownership.Drain{Reason: "asked to"})
	case Resume:
		n.draining = n.draining && n.machine == nil
		w.order(n, ownership.Resume{})
	case Unfit, Fit:
		n.unfit = ""
		if op.Verb == Unfit {
			n.unfit = "the route has gone"
		}
		w.lookAtHost(n)
	case Forget:
		n.kept, n.restart.state = nil, nil
		w.checks.pins.forgotten(w, n)
		if n.machine != nil {
			w.start(n, n.config)
		}
	case Stop:
		w.order(n, ownership.Stop{})
	case Have, Lose, Beat:
		if n.restart.asked || n.restart.state != nil {
			return // it asks before it ends whether the next one can carry on with its file
		}
		to := n.file
		switch op.Verb {
		case Have:
			to.pools |= 1 << op.Amount
		case Lose:
			to.pools &^= 1 << op.Amount
		default:
			to.interval, to.lease = op.Span, op.Upto
		}
		w.reload(n, to)
	case Restart:
		w.askToRestart(n, op.Span)
	}
}

// stopShort kills or freezes a daemon, now or after some more effects.
func (w *world) stopShort(n *node, op *Op) {
	switch {
	case n.machine == nil:
	case op.After >= 0:
		n.armed, n.strike = op.After, op.Verb
	case op.Verb == Kill:
		w.endDaemon(n)
	default:
		n.frozen = true
	}
}

// order is an operator's word to a daemon.
func (w *world) order(n *node, ev any) {
	if n.machine == nil {
		return
	}
	n.inbox = append(n.inbox, ev)
	w.pump(n)
}

func (w *world) performOnLink(at Link, op *Op) {
	l, healed := w.net.link(at.From, at.To), link{loss: w.s.Loss, delay: w.s.Delay, jitter: w.s.Jitter}
	if op.Second {
		if w.net.second == nil {
			return
		}
		l, healed = &w.net.second[at.From*w.net.nodes+at.To], link{delay: w.s.Second}
	}
	switch op.Verb {
	case Cut:
		l.cut = true
	case Mend:
		*l = healed
	case Loss:
		l.loss = op.Amount
	case Delay:
		l.delay, l.jitter = op.Span, op.Upto-op.Span
	case Flip:
		w.net.setFlip(w, at, op.Span)
	}
}

func allLinks(n int) []Link {
	var all []Link
	for i := range n {
		for j := range n {
			if i != j {
				all = append(all, Link{i, j})
			}
		}
	}
	return all
}
