package sim

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/rota-cluster/rota/internal/ownership"
)

// orderWords are what `order a b …` may say, beside `weight N`.
var orderWords = map[string]ownership.Order{
	"drain":  {Kind: ownership.OrderDrain},
	"force":  {Kind: ownership.OrderDrain, Force: true},
	"resume": {Kind: ownership.OrderResume},
}

// parseOrder reads the words of pin, unpin and order that are no labels.
func (s *Scenario) parseOrder(op *Op, args []string, i *int) (known bool, err error) {
	word := args[*i]
	pool, ranges, named := strings.Cut(word, ":")
	switch {
	case op.Verb == GiveOrder && word == "weight":
		if *i++; *i == len(args) {
			return true, fmt.Errorf("weight what?")
		}
		var weight uint64
		weight, err = strconv.ParseUint(args[*i], 10, 16)
		op.Order = ownership.Order{Kind: ownership.OrderWeight, Weight: uint16(weight)}
	case op.Verb == GiveOrder && orderWords[word].Kind != 0:
		op.Order = orderWords[word]
	case (op.Verb == Pin || op.Verb == Unpin) && named:
		if op.Amount = slices.IndexFunc(s.Pools, func(p Pool) bool { return p.Name == pool }); op.Amount < 0 {
			return true, fmt.Errorf("there is no pool %q", pool)
		}
		op.Buckets, err = parseRanges(ranges)
	default:
		return false, nil
	}
	return true, err
}

func parseRanges(text string) (buckets []uint32, err error) {
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, err1 := strconv.ParseUint(first, 10, 16)
		b, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil || len(buckets) > 0 && uint32(a) <= buckets[len(buckets)-1] {
			return nil, fmt.Errorf("%q is no ascending list of buckets", text)
		}
		for ; a <= b; a++ {
			buckets = append(buckets, uint32(a))
		}
	}
	return buckets, nil
}

func (s *Scenario) formatOrder(op *Op) string {
	switch {
	case op.Verb == Pin || op.Verb == Unpin:
		set := make([]int, len(op.Buckets))
		for i, b := range op.Buckets {
			set[i] = int(b)
		}
		return s.Pools[op.Amount].Name + ":" + ranges(set)
	case op.Order.Kind == ownership.OrderWeight:
		return fmt.Sprintf("weight %d", op.Order.Weight)
	case op.Order.Force:
		return "force"
	default:
		return op.Order.Kind.String()
	}
}

// giveOrder is an operator at the first of the nodes, who speaks of the last.
func (w *world) giveOrder(op *Op) {
	at, of := w.nodes[op.Nodes[0]], w.nodes[op.Nodes[len(op.Nodes)-1]]
	if at.machine == nil {
		return
	}
	if op.Verb == GiveOrder {
		w.tickets++
		w.order(at, ownership.Command{Ticket: w.tickets, To: of.spec.Name, Order: op.Order})
		return
	}
	if at.file.pools&(1<<op.Amount) == 0 {
		return // refused: it does not have the pool
	}
	o := ownership.OrderPins{Pool: w.s.Pools[op.Amount].Name, Buckets: op.Buckets, Node: of.spec.Name}
	if op.Verb == Unpin {
		o.Node, o.From = "", o.Node
	}
	w.checks.pins.ordered(w, op.Amount, o)
	w.order(at, o)
}

// commandDone is the answer to an order: one for each.
func (c *checks) commandDone(w *world, n *node, done ownership.CommandDone) {
	if done.Ticket == 0 || done.Ticket > w.tickets || c.answered[done.Ticket] {
		w.fail(RuleContract, fmt.Sprintf("%s answers order %d twice, or without an order", n.spec.Label, done.Ticket))
	}
	c.answered[done.Ticket] = true
	w.tell(n, "order %d: %s %s", done.Ticket, done.Outcome, done.Why)
}

// oneStays: no order makes the last node drain. It is asked of stories in which nodes drain
// by order only, and none fails.
func (c *checks) oneStays(w *world, n *node, b *ownership.Beat) {
	if !w.s.Stays || b.Flags&ownership.FlagDraining == 0 {
		return
	}
	if !slices.ContainsFunc(w.nodes, func(o *node) bool {
		return o != n && o.machine != nil && (o.last == nil || o.last.Flags&ownership.FlagDraining == 0)
	}) {
		w.fail(RuleStays, fmt.Sprintf("%s drains, and all others do", n.spec.Label))
	}
}

// pinModel is what operators have said about buckets, as long as everybody could hear it.
type pinModel struct {
	said map[pinned]string
	// unsure: somebody spoke while not all heard each other. It is over when all do.
	unsure bool
}

type pinned struct {
	pool   int
	bucket uint32
}

// ordered is an order that is about to be given.
func (m *pinModel) ordered(w *world, pool int, o ownership.OrderPins) {
	if w.checks.agreed == never || !w.checks.calm(w) {
		m.unsure = true
	}
	if m.said == nil {
		m.said = map[pinned]string{}
	}
	for _, b := range o.Buckets {
		if b >= w.s.Pools[pool].Buckets || o.Node == "" && m.said[pinned{pool, b}] != o.From {
			return // refused
		}
	}
	for _, b := range o.Buckets {
		m.said[pinned{pool, b}] = o.Node
	}
}

// forgotten: a node has lost what it kept. Others remember, if there are others.
func (m *pinModel) forgotten(w *world, n *node) {
	if w.checks.agreed == never || !slices.ContainsFunc(w.nodes, func(o *node) bool { return o != n && o.machine != nil }) {
		m.unsure = true
	}
}

// auditPins looks at the pins of nodes that agree.
func (c *checks) auditPins(w *world) {
	for i := range c.parts {
		p := &c.parts[i]
		if !p.whole || w.failure != nil {
			continue
		}
		c.pins.audit(w, p)
		n := w.nodes[bits.TrailingZeros32(p.members)]
		if off := c.pinOff(w, &n.last.View, n.kept); off != "" {
			w.fail(RulePins, off)
		}
	}
}

// audit compares with what the nodes of a part that agree have kept.
func (m *pinModel) audit(w *world, p *part) {
	if m.said == nil {
		return
	}
	all := uint32(1)<<len(w.nodes) - 1
	if m.unsure {
		if p.members != all {
			return
		}
		m.unsure = false
		clear(m.said)
		for _, o := range w.nodes[0].kept {
			pool := slices.IndexFunc(w.s.Pools, func(p Pool) bool { return p.Name == o.Pool })
			for _, b := range o.Buckets {
				m.said[pinned{pool, b}] = o.Node
			}
		}
	}
	for _, i := range bitsOf(p.members) {
		n := w.nodes[i]
		for at, node := range m.said {
			if keptPin(n.kept, w.s.Pools[at.pool].Name, at.bucket) != node {
				w.fail(RulePins, fmt.Sprintf("%s knows bucket %d of %s as pinned to %q, and %q was said last",
					n.spec.Label, at.bucket, w.s.Pools[at.pool].Name, keptPin(n.kept, w.s.Pools[at.pool].Name, at.bucket), node))
				return
			}
		}
	}
}

func keptPin(kept []ownership.PinOrder, pool string, bucket uint32) string {
	for i := range kept {
		if _, ok := slices.BinarySearch(kept[i].Buckets, bucket); ok && kept[i].Pool == pool {
			return kept[i].Node
		}
	}
	return ""
}

// pinsMissed says whether a view lacks what its members know, or has more.
func (w *world) pinsMissed(v *ownership.View, kept []ownership.PinOrder) bool {
	want := 0
	for i := range kept {
		if kept[i].Node != "" && slices.Contains(v.Pools, kept[i].Pool) {
			want += len(kept[i].Buckets)
		}
	}
	if want != len(v.Pins) {
		return true
	}
	return slices.ContainsFunc(v.Pins, func(p ownership.Pin) bool {
		return keptPin(kept, v.Pools[p.Pool], p.Bucket) != p.Node
	})
}

// pinOff is a pinned bucket whose node is a member with a weight and does not accept it, "" for none.
func (c *checks) pinOff(w *world, v *ownership.View, kept []ownership.PinOrder) string {
	for i := range kept {
		o := &kept[i]
		at, pool := slices.Index(v.Pools, o.Pool), slices.IndexFunc(w.s.Pools, func(p Pool) bool { return p.Name == o.Pool })
		m := slices.IndexFunc(v.Members, func(m ownership.Member) bool { return m.Name == o.Node })
		if at < 0 || m < 0 || w.s.Pools[pool].Single || v.Members[m].Weights[at] == 0 || v.Members[m].Weights[at] == ownership.NoShare {
			continue
		}
		n := slices.IndexFunc(w.nodes, func(n *node) bool { return n.spec.Name == o.Node && n.incarnation == v.Members[m].Incarnation })
		for _, b := range o.Buckets {
			if b < w.s.Pools[pool].Buckets && c.accept[w.nodes[0].datapath.first[pool]+int(b)]&(1<<n) == 0 {
				return fmt.Sprintf("%s does not accept bucket %d of %s, which is pinned to it", o.Node, b, o.Pool)
			}
		}
	}
	return ""
}
