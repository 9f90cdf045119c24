package ownership

import (
	"slices"
	"strings"
)

// No order makes the last node drain, unless by force. Two that are drained at
// the same moment must not each count on the other: so a node drains when another
// has said that it stays, and each says so only while it does not drain. Who
// waits itself says so to a lower name only, and then has to ask anew: what was
// answered before does not count. So of all that drained, the last one's word
// came from a node that has not. (As in Ricart and Agrawala 1981, but for one
// that stays instead of one that goes.)

// asking is a drain that waits for another node's word.
type asking struct {
	id       uint64
	order    Order
	by       []giver
	until    Time
	refusals []refusal
}

type refusal struct {
	from Ref
	why  string
}

// drainFor hands over everything, once it is certain that another stays.
func (n *Node) drainFor(by giver, o Order) {
	switch {
	case n.draining || o.Force:
		last := n.last || !n.draining && !n.othersStay()
		n.drain(o)
		n.last = last
		n.endAsking("")
		n.answer(by, "")
	case n.desk.ask != nil:
		n.desk.ask.by = append(n.desk.ask.by, by)
	default:
		n.desk.ask = &asking{order: o, by: []giver{by}, until: n.now + OrderPatience(n.cfg.Interval)/2}
		n.askAnew()
		n.judgeAsking()
	}
}

func (n *Node) drain(o Order) {
	reason := o.Reason
	if reason == "" {
		reason = "by order"
	}
	if o.Force {
		reason += " (forced)"
	}
	n.setDraining(true, reason)
	n.setDrainTimeout(o.Timeout)
}

// DrainInForce is the drain that an operator has ordered, if one is in force.
func (n *Node) DrainInForce() (d Drain, on bool) {
	return Drain{Reason: n.drainWhy, Timeout: n.desk.drainTimeout, Last: n.last}, n.draining
}

// drainWords begin the line that tells others of a drain.
const drainWords = "drains: "

// retire hands over for good. A drain that was ordered stands beside it: the next
// daemon may have to go on with it.
func (n *Node) retire(why string) {
	n.retires, n.changed = why, true
	n.giveUpAsking(n.takesNoOrders())
	n.note(NoteDrain, "", "%s", drainWords+why)
}

// takesNoOrders is why no order counts that says what the node carries.
func (n *Node) takesNoOrders() string { return n.retires + ": it takes no more orders" }

func (n *Node) setDrainTimeout(t Time) {
	n.desk.drainTimeout = t
	n.out = append(n.out, DrainTimeout{t})
}

// giveUpAsking ends a drain before it began.
func (n *Node) giveUpAsking(why string) {
	if n.desk.ask != nil {
		n.note(NoteOrder, "", "does not drain: %s", why)
		n.endAsking(why)
	}
}

// endAsking answers those who wait for the drain; why is "" if it has begun.
func (n *Node) endAsking(why string) {
	ask := n.desk.ask
	if ask == nil {
		return
	}
	n.desk.ask, n.changed = nil, true
	for _, by := range ask.by {
		n.answer(by, why)
	}
}

// askAnew: no answer from before counts any more.
func (n *Node) askAnew() {
	n.desk.last++
	n.desk.ask.id, n.desk.ask.refusals = n.desk.last, nil
	n.changed = true
}

// stays answers one who is to drain: "" if this node serves and does not.
func (n *Node) stays(asker Ref) string {
	switch {
	case n.draining:
		return "drains"
	case n.retires != "":
		return "is about to stop"
	case n.state() != StateServing:
		return "is " + n.state().String()
	case !n.hasWeight():
		return "has weight 0"
	case n.desk.ask != nil && n.cfg.Self.Name < asker.Name:
		return "is about to drain too"
	case n.desk.ask != nil:
		n.askAnew()
	}
	return ""
}

func (n *Node) hasWeight() bool {
	return slices.ContainsFunc(n.ownWeights(), func(w uint16) bool { return w > 0 && w != NoShare })
}

// couldStay tells whether the peer may be one that stays, by what it says of itself.
func (p *peer) couldStay() bool {
	return p.member() && p.mutual && !p.left && !p.unlike && stateOf(p.beat) == StateServing &&
		slices.ContainsFunc(p.beat.Pools, func(b PoolBeat) bool { return b.Weight > 0 && b.Weight != NoShare })
}

// takeDrain tells why a peer hands over everything, in its own words, and that it takes part
// again. What it drops of them, where a beat has no room, is missed.
func (n *Node) takeDrain(p *peer, old *Beat) {
	was, is := old != nil && old.Flags&FlagDraining != 0, p.beat.Flags&FlagDraining != 0
	switch why := p.beat.leaveLines(); {
	case is && !was && len(why) == 0:
		n.note(NoteDrain, p.ref.Name, "hands over")
	case is && (!was || len(why) > 0 && !slices.Equal(why, old.leaveLines())):
		n.note(NoteDrain, p.ref.Name, "%s", strings.Join(why, "; "))
	case was && !is:
		n.note(NoteResume, p.ref.Name, "takes part again")
	}
}

// leaveLines are the sender's words for why it hands over.
func (b *Beat) leaveLines() (lines []string) {
	for _, line := range b.Health {
		if strings.HasPrefix(line, drainWords) || strings.HasPrefix(line, handsOver) {
			lines = append(lines, line)
		}
	}
	return lines
}

func (n *Node) othersStay() bool { return slices.ContainsFunc(n.peers, (*peer).couldStay) }

// judgeLast: who drained last by force serves alone, and does not give back to those that
// were told before that nothing is left on them. They may be going down by now.
func (n *Node) judgeLast() {
	if n.last && n.othersStay() {
		n.last, n.changed = false, true
		n.note(NoteDrain, "", "%s: another node serves now", drainWords+n.drainWhy)
	}
}

func (n *Node) heardOfStay(p *peer, a OrderAnswer) {
	ask := n.desk.ask
	if !p.couldStay() {
		return
	}
	if a.Refused {
		if !ask.refusedBy(p.ref) {
			ask.refusals = append(ask.refusals, refusal{p.ref, a.Why})
		}
		return
	}
	n.drain(ask.order)
	n.endAsking("")
}

func (a *asking) refusedBy(r Ref) bool {
	return slices.ContainsFunc(a.refusals, func(f refusal) bool { return f.from == r })
}

// judgeAsking refuses the drain when nobody is left who may say that it stays.
func (n *Node) judgeAsking() {
	ask := n.desk.ask
	if ask == nil {
		return
	}
	waiting := slices.ContainsFunc(n.peers, func(p *peer) bool { return p.couldStay() && !ask.refusedBy(p.ref) })
	if waiting && n.now < ask.until {
		return
	}
	var why []string
	for _, f := range ask.refusals {
		why = append(why, f.from.Name+" "+f.why)
	}
	if waiting {
		why = append(why, "no answer within "+round(OrderPatience(n.cfg.Interval)/2).String())
	}
	detail := ""
	if len(why) > 0 {
		detail = " (" + strings.Join(why, ", ") + ")"
	}
	n.giveUpAsking("nobody else can take over" + detail + ": drained, this node would go on serving; bring another node back first, or --force")
}
