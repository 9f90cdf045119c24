package ownership

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// OrderKind is what a node is ordered to do.
type OrderKind uint8

const (
	// OrderDrain: hand over everything.
	OrderDrain OrderKind = 1 + iota
	// OrderResume: take part again.
	OrderResume
	// OrderWeight: carry so much, in every pool.
	OrderWeight
	// OrderStay is a node's own, to all others: one must say that it serves and
	// does not drain, before this node does.
	OrderStay
)

var orderNames = [...]string{"nothing", "drain", "resume", "weight", "stay"}

func (k OrderKind) String() string {
	if int(k) < len(orderNames) {
		return orderNames[k]
	}
	return "unknown"
}

// Order is an operator's word to one node.
type Order struct {
	Kind   OrderKind
	Weight uint16 // OrderWeight: 0 … MaxWeight
	Reason string // OrderDrain: for people
	// Timeout is how long connections may outlive an OrderDrain, in place of the
	// pools' own drain timeouts; 0: those.
	Timeout time.Duration
	Force   bool // OrderDrain: although nobody else may serve then
}

// SentOrder is an order in the beats of the node where it was given, until it
// is answered or given up.
type SentOrder struct {
	To Ref    // that very start of a node; the zero Ref: all, with OrderStay
	ID uint64 // rises with each order of an incarnation of the sender
	Order
}

// OrderAnswer is in the beats of the one who was ordered, as long as the order
// is in those of the other.
type OrderAnswer struct {
	To      Ref
	ID      uint64
	Refused bool
	Why     string // for people, if it is refused
}

// MaxOrders bounds the orders, and the answers, that a beat has.
const MaxOrders = 64

// Command is an operator's order, given at this node. A CommandDone with its
// ticket follows, in this Step or a later one.
type Command struct {
	Ticket uint64
	To     string // the node's name; "": this one
	Order  Order
}

// CommandDone says what became of a Command.
type CommandDone struct {
	Ticket  uint64
	Outcome Outcome
	Why     string // one line, unless it was accepted
}

// DrainTimeout: connections in what was handed over may last so long; 0: as long
// as their pools say.
type DrainTimeout struct{ Timeout time.Duration }

func (Command) event()       {}
func (CommandDone) effect()  {}
func (DrainTimeout) effect() {}

// Outcome is what became of an order.
type Outcome uint8

const (
	// Accepted: it is being obeyed.
	Accepted Outcome = iota
	// Refused: understood, and not obeyed.
	Refused
	// Unreached: there is no such node, or it cannot be reached. It has not obeyed.
	Unreached
	// Unanswered: nobody knows whether it obeys.
	Unanswered
)

var outcomeNames = [...]string{"accepted", "refused", "unreached", "unanswered"}

func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return "unknown"
}

// giver is who waits for an answer: an operator at this node, or another node.
type giver struct {
	ticket uint64
	peer   Ref // zero: the ticket counts
	id     uint64
}

// underWay is an order to another node that was not answered yet.
type underWay struct {
	SentOrder
	ticket uint64
	until  Time
}

// desk is where a node's orders lie.
type desk struct {
	last    uint64 // ID given
	sent    []underWay
	answers []OrderAnswer // to the orders of others
	ask     *asking       // a drain that waits for another node's word

	drainTimeout Time // of the drain in force, 0: the pools' own
}

// OrderPatience is how long a node waits for another's answer to an order; the
// other may wait half of it for a third.
func OrderPatience(interval time.Duration) time.Duration { return 2*time.Second + 4*interval }

// command carries an order out, or sends it on its way.
func (n *Node) command(c Command) {
	if c.To == "" || c.To == n.cfg.Self.Name {
		n.obey(giver{ticket: c.Ticket}, c.Order)
		return
	}
	if why := n.Unreached(c.To); why != "" {
		n.out = append(n.out, CommandDone{c.Ticket, Unreached, why})
		return
	}
	if len(n.desk.sent) >= MaxOrders-1 {
		n.out = append(n.out, CommandDone{c.Ticket, Unreached, "too many orders are under way; wait for their answers"})
		return
	}
	n.desk.last++
	n.desk.sent = append(n.desk.sent, underWay{
		SentOrder{To: n.peer(c.To).ref, ID: n.desk.last, Order: c.Order}, c.Ticket, n.now + OrderPatience(n.cfg.Interval),
	})
	n.changed = true
}

// Unreached tells why no order reaches the node, "" if one may.
func (n *Node) Unreached(name string) string {
	p := n.peer(name)
	switch {
	case name == n.cfg.Self.Name:
		return ""
	case n.muted:
		return "another host uses this node's name: nobody listens to it"
	case p == nil:
		return fmt.Sprintf("no node %q has been heard since this one started; heard are %s", name, n.heardNames())
	case p.left:
		return fmt.Sprintf("%s has said goodbye: its daemon does not run", name)
	case p.silent:
		return fmt.Sprintf("%s is silent for %v: no order reaches it", name, round(n.now-p.heard))
	case !p.mutual:
		return name + " does not hear this node: no order reaches it"
	}
	return ""
}

func (n *Node) heardNames() string {
	names := []string{n.cfg.Self.Name}
	for _, p := range n.peers {
		names = append(names, p.ref.Name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// obey does what this node is ordered to, now or when another has said that it stays.
func (n *Node) obey(by giver, o Order) {
	if n.retires != "" && o.Kind != OrderStay {
		n.answer(by, n.takesNoOrders())
		return
	}
	switch o.Kind {
	case OrderDrain:
		n.drainFor(by, o)
	case OrderResume:
		n.giveUpAsking("it was told to resume")
		n.setDraining(false, "")
		why := ""
		if n.unfit != "" {
			why = n.cfg.Self.Name + " hands over all the same: " + n.unfit + "; it takes part again when that is over"
		}
		n.answer(by, why)
	case OrderWeight:
		if o.Weight > MaxWeight {
			n.answer(by, text("weight %d is too much", o.Weight))
			return
		}
		n.setWeights(n.sameWeights(o.Weight))
		n.answer(by, "")
	case OrderStay:
		n.answer(by, n.stays(by.peer))
	default:
		n.answer(by, "this node's version does not know such an order")
	}
}

// sameWeights is one weight in every pool that this node shares in.
func (n *Node) sameWeights(weight uint16) []uint16 {
	weights := slices.Clone(n.weights)
	for i := range weights {
		if weights[i] != NoShare {
			weights[i] = weight
		}
	}
	return weights
}

// answer tells who gave an order what became of it; why is "" if it is obeyed.
func (n *Node) answer(by giver, why string) {
	if by.peer == (Ref{}) {
		outcome := Accepted
		if why != "" {
			outcome = Refused
		}
		n.out = append(n.out, CommandDone{by.ticket, outcome, why})
		return
	}
	if len(n.desk.answers) < MaxOrders {
		n.desk.answers = append(n.desk.answers, OrderAnswer{To: by.peer, ID: by.id, Refused: why != "", Why: why})
		n.changed = true
	}
}

// takeOrders reads from a beat the orders to this node, and the answers to its
// own. An order is obeyed once: IDs rise, and beats of the past are not heard. And it is
// obeyed within a lease or never: a beat that waited for a node that was frozen echoes
// something old, and who gave the order has been told since that it failed.
func (n *Node) takeOrders(p *peer) {
	b := p.beat
	n.desk.answers = slices.DeleteFunc(n.desk.answers, func(a OrderAnswer) bool {
		return a.To.Name == p.ref.Name && (a.To != p.ref || !slices.ContainsFunc(b.Orders, func(o SentOrder) bool { return o.ID == a.ID }))
	})
	for _, o := range b.Orders {
		if !n.recent(p) || o.ID <= p.obeyed || o.To != n.cfg.Self && (o.To != Ref{} || o.Kind != OrderStay) {
			continue
		}
		p.obeyed = o.ID
		if o.Kind != OrderStay {
			n.note(NoteOrder, p.ref.Name, "orders this node: %s", o.text())
		}
		n.obey(giver{peer: p.ref, id: o.ID}, o.Order)
	}
	for _, a := range b.Answers {
		if a.To == n.cfg.Self {
			n.answered(p, a)
		}
	}
}

// answered is the end of an order that was sent.
func (n *Node) answered(p *peer, a OrderAnswer) {
	if ask := n.desk.ask; ask != nil && ask.id == a.ID {
		n.heardOfStay(p, a)
		return
	}
	i := slices.IndexFunc(n.desk.sent, func(o underWay) bool { return o.ID == a.ID && o.To == p.ref })
	if i < 0 {
		return
	}
	o := n.desk.sent[i]
	done := CommandDone{Ticket: o.ticket}
	if a.Refused {
		done.Outcome, done.Why = Refused, text("%s refuses: %s", p.ref.Name, a.Why)
	}
	n.endOrder(i, done)
}

func (n *Node) endOrder(i int, done CommandDone) {
	o := n.desk.sent[i]
	n.desk.sent = slices.Delete(n.desk.sent, i, i+1)
	n.out = append(n.out, done)
	told := done.Outcome.String()
	if done.Why != "" {
		told += ": " + done.Why
	}
	n.note(NoteOrder, o.To.Name, "was ordered from here: %s: %s", o.text(), told)
}

// judgeOrders gives up what can no longer be answered.
func (n *Node) judgeOrders() {
	for i := 0; i < len(n.desk.sent); {
		o := &n.desk.sent[i]
		done := CommandDone{Ticket: o.ticket, Outcome: Unanswered}
		switch p := n.peer(o.To.Name); {
		case p == nil || p.ref != o.To:
			done.Why = o.To.Name + " restarted before it answered: order it again"
		case n.now >= o.until:
			done.Why = text("%s has not answered within %v: whether it obeys is not known, see rota status", o.To.Name, OrderPatience(n.cfg.Interval))
		case p.left || p.silent:
			done.Why = n.Unreached(o.To.Name) + " (whether it has heard the last one is not known)"
		default:
			i++
			continue
		}
		n.endOrder(i, done)
	}
	n.desk.answers = slices.DeleteFunc(n.desk.answers, func(a OrderAnswer) bool {
		p := n.memberPeer(a.To)
		return p == nil || p.silent || p.left
	})
	n.judgeAsking()
	n.judgeLast()
}

// abandonOrders: this node speaks as another from now on.
func (n *Node) abandonOrders() {
	for len(n.desk.sent) > 0 {
		o := &n.desk.sent[0]
		n.endOrder(0, CommandDone{o.ticket, Unanswered, o.To.Name + " has not answered before this node had to start anew"})
	}
	n.giveUpAsking("this node had to start anew")
}

// tellOrders is what the next beat has of orders and answers.
func (n *Node) tellOrders() (orders []SentOrder, answers []OrderAnswer) {
	for i := range n.desk.sent {
		orders = append(orders, n.desk.sent[i].SentOrder)
	}
	if ask := n.desk.ask; ask != nil {
		orders = append(orders, SentOrder{ID: ask.id, Order: Order{Kind: OrderStay}})
		slices.SortFunc(orders, func(a, b SentOrder) int { return cmp.Compare(a.ID, b.ID) })
	}
	return orders, slices.Clone(n.desk.answers)
}

func (o *Order) text() string {
	s := o.Kind.String()
	if o.Kind == OrderWeight {
		s += fmt.Sprintf(" %d", o.Weight)
	}
	if o.Reason != "" {
		s += " (" + o.Reason + ")"
	}
	return s
}
