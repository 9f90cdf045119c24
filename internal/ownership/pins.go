package ownership

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// OrderPins is an operator's word about some buckets of a pool, which holds for
// the whole cluster. See Node.CheckPins.
type OrderPins struct {
	Pool    string
	Buckets []uint32 // ascending
	Node    string   // that they belong to from now on; "": the pins are taken off
	From    string   // of whom the pins are taken off
	At      int64    // Unix time in milliseconds
}

// SavePins: what operators have said about buckets has changed; a next start
// needs it (Config.Pins). It must not be changed.
type SavePins struct{ Orders []PinOrder }

func (OrderPins) event() {}
func (SavePins) effect() {}

// PinNews is what a beat says about pins.
type PinNews struct {
	// Digest of all that the sender knows; 0: nothing.
	Digest uint64
	// Orders are some of it, told while a peer that is heard has another digest.
	Orders []PinOrder
}

// pinBoard is what a node knows of pins.
type pinBoard struct {
	*pinSet
	differ bool // the view in force has other pins than it should

	// What was lost lately is told for a while, so that all hear of it who have
	// heard the winner first.
	regrets     []PinOrder
	regretUntil Time // awake
}

// regretFor is how long lost orders are told, in intervals.
const regretFor = 20

// CheckPins tells why an order about pins cannot be obeyed, in one line; Step
// does nothing about such an order.
func (n *Node) CheckPins(o OrderPins) error {
	i := slices.IndexFunc(n.cfg.Pools, func(p PoolConfig) bool { return p.Name == o.Pool })
	switch {
	case i < 0:
		return fmt.Errorf("there is no pool %q", o.Pool)
	case len(o.Buckets) == 0:
		return errors.New("no bucket is named")
	}
	if last := o.Buckets[len(o.Buckets)-1]; last >= n.cfg.Pools[i].Buckets {
		return fmt.Errorf("pool %s has the buckets 0 to %d, and no %d", o.Pool, n.cfg.Pools[i].Buckets-1, last)
	}
	if o.Node == "" {
		return n.checkRelease(o)
	}
	trial := n.pins.clone()
	for _, order := range trial.give(n.cfg.Self, o.Pool, o.Node, o.Buckets, o.At) {
		trial.merge(&order)
	}
	if !trial.fitsView(n.pinPools(n.unionOfPools(n.heardMembers())), nil) {
		return fmt.Errorf("the pins would be too scattered to be told in every beat (more than %d KB): pin ranges, or release some first", PinRoom>>10)
	}
	return nil
}

// checkRelease: all or nothing is released, so that a slip of the hand shows.
func (n *Node) checkRelease(o OrderPins) error {
	var others []uint32
	for _, b := range o.Buckets {
		if n.pins.pinnedTo(o.Pool, b) != o.From {
			others = append(others, b)
		}
	}
	if len(others) == 0 {
		return nil
	}
	to := n.pins.pinnedTo(o.Pool, others[0])
	switch {
	case to == "" && len(others) == 1:
		return fmt.Errorf("bucket %d of pool %s is not pinned; nothing was released", others[0], o.Pool)
	case len(others) == 1:
		return fmt.Errorf("bucket %d of pool %s is pinned to %s, not to %s; nothing was released", others[0], o.Pool, to, o.From)
	default:
		return fmt.Errorf("%d of these %d buckets of pool %s, %d first, are not pinned to %s; nothing was released", len(others), len(o.Buckets), o.Pool, others[0], o.From)
	}
}

func (n *Node) orderPins(o OrderPins) {
	if n.CheckPins(o) != nil {
		return
	}
	what := "pinned to " + o.Node
	if o.Node == "" {
		what = "pinned no more (to " + o.From + ")"
	}
	n.note(NotePins, "", "pool %s: by order %s: buckets %s", o.Pool, what, bucketText(o.Buckets))
	for _, order := range n.pins.give(n.cfg.Self, o.Pool, o.Node, o.Buckets, o.At) {
		n.pins.merge(&order)
	}
	n.pinsChanged()
}

// takePins merges what a peer tells about pins.
func (n *Node) takePins(p *peer) {
	news := false
	for i := range p.beat.Pins.Orders {
		o := &p.beat.Pins.Orders[i]
		isNew, lost := n.pins.merge(o)
		news = news || isNew
		for _, l := range lost {
			n.note(NotePinsLost, "", "pool %s: %s", o.Pool, l.Text())
			n.regret(l.Lost)
		}
	}
	if news {
		before := n.pins.digest
		n.pinsChanged()
		if n.pins.digest != before {
			n.note(NotePins, p.ref.Name, "has told of orders about pins: %s", n.pins.text())
		}
	}
}

// regret tells of a lost order for a while.
func (n *Node) regret(o PinOrder) {
	b := &n.pins
	if n.awake >= b.regretUntil {
		b.regrets = nil
	}
	b.regretUntil = n.awake + regretFor*n.interval
	size := o.bytes()
	for i := range b.regrets {
		size += b.regrets[i].bytes()
	}
	if size <= pinsPerBeat {
		b.regrets = append(b.regrets, o)
	}
}

func (n *Node) pinsChanged() {
	n.pins.arrange()
	n.judgePins()
	n.changed = true
	n.out = append(n.out, SavePins{Orders: n.pins.orders})
}

// judgePins finds out whether the view has other pins than it should.
func (n *Node) judgePins() {
	n.pins.differ = n.view.ID.Number != 0 && !slices.Equal(n.view.Pins, n.pinsIn(n.view.Pools))
}

// pinsIn are the pins that a view of these pools should have.
func (n *Node) pinsIn(pools []string) []Pin {
	pins, _ := n.pins.forView(n.pinPools(pools))
	return pins
}

// pinPools are these pools as pins see them. Of a pool that this node does not have
// it does not know how many buckets there are.
func (n *Node) pinPools(names []string) []poolPins {
	pools := make([]poolPins, len(names))
	for i, name := range names {
		pools[i] = poolPins{name, MaxPinBuckets}
		if own := slices.IndexFunc(n.cfg.Pools, func(p PoolConfig) bool { return p.Name == name }); own >= 0 {
			pools[i].buckets = n.cfg.Pools[own].Buckets
		}
	}
	return pools
}

// tellPins is what the next beat says about pins: everything, piece by piece,
// while somebody who is heard knows something else.
func (n *Node) tellPins() PinNews {
	news := PinNews{Digest: n.pins.digest}
	if slices.ContainsFunc(n.peers, func(p *peer) bool {
		return !p.silent && !p.left && p.beat.Pins.Digest != n.pins.digest
	}) {
		news.Orders = n.pins.tell()
	}
	if n.awake < n.pins.regretUntil {
		news.Orders = append(news.Orders, n.pins.regrets...)
	}
	return news
}

// KnowsPins tells whether a node knows all about pins that this one knows.
func (n *Node) KnowsPins(name string) bool {
	p := n.peer(name)
	return name == n.cfg.Self.Name || p != nil && p.beat.Pins.Digest == n.pins.digest
}

// Text tells of lost pins in one line.
func (l *LostPins) Text() string {
	say := func(o PinOrder) string {
		what := "to " + o.Node
		if o.Node == "" {
			what = "no more"
		}
		return fmt.Sprintf("%s (by order at %s, %s)", what, o.Version.Writer.Name, when(o.At))
	}
	return fmt.Sprintf("buckets %s were pinned %s and, neither knowing of the other, %s: the latter holds",
		bucketText(l.Lost.Buckets), say(l.Lost), say(l.Won))
}

func when(unixMillis int64) string {
	return time.UnixMilli(unixMillis).UTC().Format(time.DateTime) + " UTC"
}

// mostRanges is how many ranges of buckets a line names.
const mostRanges = 8

// bucketText names an ascending set of buckets: "0-12,17".
func bucketText(buckets []uint32) string {
	var text []string
	for first, last := range runs(buckets) {
		if len(text) == mostRanges {
			return fmt.Sprintf("%s,… (%d in all)", strings.Join(text, ","), len(buckets))
		}
		if first == last {
			text = append(text, fmt.Sprint(first))
		} else {
			text = append(text, fmt.Sprintf("%d-%d", first, last))
		}
	}
	return strings.Join(text, ",")
}

// text says how much is pinned to whom.
func (s *pinSet) text() string {
	count := map[string]int{}
	for i := range s.orders {
		if o := &s.orders[i]; o.Node != "" {
			count[o.Node] += len(o.Buckets)
		}
	}
	var parts []string
	for _, node := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%d to %s", count[node], node))
	}
	if len(parts) == 0 {
		return "no bucket is pinned"
	}
	return "pinned are " + strings.Join(parts, ", ")
}

// PinStatus is who a bucket is pinned to, by whose order.
type PinStatus struct {
	Node string // "": it is not pinned
	By   string // the node where it was ordered
	At   int64  // Unix time in milliseconds
}

func (n *Node) pinStatus(pool string, bucket uint32) PinStatus {
	w := n.pins.word(pool, bucket)
	if w == nil || w.node == "" {
		return PinStatus{}
	}
	return PinStatus{Node: w.node, By: w.version.Writer.Name, At: w.at}
}

// pinsOf are the pinned buckets of a pool by node.
func (n *Node) pinsOf(pool string) map[string]Bitmap {
	sets := map[string]Bitmap{}
	words := n.pins.words[pool]
	for b, w := range words {
		if w == nil || w.node == "" {
			continue
		}
		if sets[w.node] == nil {
			sets[w.node] = NewBitmap(uint32(len(words)))
		}
		sets[w.node].Set(uint32(b))
	}
	return sets
}
