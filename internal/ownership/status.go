package ownership

import (
	"slices"
	"time"
)

// State is what a node is doing, in one word.
type State uint8

const (
	// StateJoining: has no view yet, or has not been active in one.
	StateJoining State = iota
	// StateServing: accepts the buckets that the view gives it.
	StateServing
	// StateDraining: hands over, or has handed over, everything by order.
	StateDraining
	// StateStandby: a better view is near, or another host has this name.
	StateStandby
	// StateFenced: its lease ran out or its interface is deaf; owns nothing.
	StateFenced
)

var stateNames = [...]string{"joining", "serving", "draining", "standby", "fenced"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// Status is an immutable picture of a node for people.
type Status struct {
	State  State
	Why    string // why it does not serve, "" if it does
	Drain  Leave
	View   View
	Stage  Stage
	Agreed bool // every member announces this view and this node has activated it
	// LeaseLeft is how long the datapath may go on without another promise; 0: not at all.
	LeaseLeft time.Duration
	Weights   []uint16
	Asked     []uint16     // weights by configuration or order, whatever drains and health make of them
	Nodes     []NodeStatus // sorted by name, this node among them
	Pools     []PoolStatus
	LostPins  []LostPins // see there
	PinsLeft  int        // pinned buckets for which there was no room in a view
}

// Leave is why a node hands over everything; "" each of what is no reason.
type Leave struct {
	Order string // an operator's, in his words; a Resume ends it
	Host  string // what keeps it from serving
	Stop  string // the daemon is about to end
}

// NodeStatus is what is known of one node.
type NodeStatus struct {
	Ref
	Address string
	State   State
	Silent  bool // nothing heard for L_take
	Left    bool
	Deaf    bool
	Unlike  string // why nothing is shared with it, "" if something may be
	// Theirs and Ours are pools that only it or only this node has; OtherAddresses those
	// whose addresses differ.
	Theirs, Ours, OtherAddresses []string
	Mutual                       bool // each hears the other
	Member                       bool // of the view in force
	Self                         bool
	HeardAgo                     time.Duration
	Held                         time.Duration // its daemon restarts, and what it owns is held for so long yet
	Path                         Path          // by which it is heard
	Waits                        Waits         // to be taken in
	// By this node's pools: the weight (NoShare: it does not have the pool), the priority
	// (of use in single ones), how many buckets it accepts by its own word.
	Weights    []uint16
	Priorities []uint16
	Claims     []int
	Lingers    []int    // how many of the others it still has connections in
	Illness    []uint16 // as in PoolBeat
	Sees       []string
	Health     []string
}

// PoolStatus is who owns what in one pool.
type PoolStatus struct {
	Name string
	// Weights are by the view those of the members that have the pool.
	Weights map[string]uint16
	// Table gives each bucket's owner by the view: an index into View.Members,
	// -1 for none; nil while there is no view. It must not be changed.
	Table     []int16
	Owned     Bitmap // accepted by this node
	Lingering Bitmap
	Contested Bitmap // owned, while another node lingers
	// Active is whom the view gives the whole of a single pool, "" for nobody or an even pool.
	Active    string
	ActiveWhy ActiveReason
	// Pins are by order, whether the node is there or not.
	Pins map[string]Bitmap
}

// Status takes the picture.
func (n *Node) Status(now Time) Status {
	s := Status{
		State: n.state(), Why: n.why(), Drain: n.whyLeaves(), View: n.view, Stage: n.stage,
		Agreed: n.stage == StageActive && n.allReady(), LeaseLeft: max(n.leaseUntil-now, 0),
		Weights: n.ownWeights(), Asked: slices.Clone(n.weights), LostPins: slices.Clone(n.pins.lost),
	}
	_, s.PinsLeft = n.pins.forView(n.pinPools(n.view.Pools))
	s.Nodes = append(s.Nodes, NodeStatus{
		Ref: n.cfg.Self, Address: n.cfg.Address, State: s.State, Mutual: true, Self: true,
		Member: n.view.has(n.cfg.Self), Weights: s.Weights, Claims: counts(n.owned), Lingers: counts(n.lingers),
		Priorities: n.ownPriorities(), Illness: slices.Clone(n.health.Illness), Sees: n.health.Sees, Health: n.ownWords(),
	})
	for _, p := range n.peers {
		ns := NodeStatus{
			Ref: p.ref, Address: p.beat.Address, State: stateOf(p.beat), Silent: p.silent, Left: p.left, Deaf: p.beat.Flags&FlagDeaf != 0,
			Mutual: p.mutual, Member: p.member(), HeardAgo: max(now-p.heard, 0), Path: n.pathOf(p), Waits: n.waitsOf(p),
			Sees: p.beat.Sees, Health: p.beat.Health,
		}
		if p.restarts() {
			ns.Held = max(p.heard+p.beat.Hold-now, 0)
		}
		if p.unlike {
			ns.Unlike = n.difference(p.beat, p.pools)
		}
		ns.Theirs, ns.Ours, ns.OtherAddresses = n.apartIn(p)
		for i := range n.cfg.Pools {
			ns.Weights = append(ns.Weights, p.weight(i))
			ns.Priorities = append(ns.Priorities, p.priority(i))
			ns.Illness = append(ns.Illness, p.illness(i))
			ns.Claims = append(ns.Claims, p.claims(i).Count())
			ns.Lingers = append(ns.Lingers, p.lingers(i).Count())
		}
		s.Nodes = append(s.Nodes, ns)
	}
	slices.SortFunc(s.Nodes, func(a, b NodeStatus) int { return compareNames(a.Name, b.Name) })
	for i, pool := range n.cfg.Pools {
		ps := PoolStatus{
			Name: pool.Name, Weights: map[string]uint16{}, Table: n.table[i], Owned: n.owned[i].Clone(),
			Lingering: n.lingers[i].Clone(), Contested: n.lingeredByOthers(i),
			Pins: n.pinsOf(pool.Name),
		}
		for w := range ps.Contested {
			ps.Contested[w] &= ps.Owned[w]
			ps.Lingering[w] &^= ps.Owned[w]
		}
		if at := n.view.pool(pool.Name); at != absent {
			for _, m := range n.view.Members {
				if w := m.Weights[at]; w != NoShare {
					ps.Weights[m.Name] = w
				}
			}
			if pool.Spread == SpreadSingle {
				ps.Active = n.view.activeIn(at)
				_, ps.ActiveWhy = n.chooseActive(at, &n.view, pool.Preempt)
			}
		}
		s.Pools = append(s.Pools, ps)
	}
	return s
}

func counts(ms []Bitmap) []int {
	c := make([]int, len(ms))
	for i, m := range ms {
		c[i] = m.Count()
	}
	return c
}

// BucketStatus is what is known of one bucket.
type BucketStatus struct {
	Here      BucketState // in this node's datapath, lease apart
	Assigned  string      // whom the view gives it to, "" without a view
	Owner     string      // who accepts it by its own word, "" for nobody
	Lingering []string    // who still serves older connections of it
	Pin       PinStatus
}

// Bucket looks one up; b must be below the pool's buckets.
func (n *Node) Bucket(pool int, b uint32) BucketStatus {
	s := BucketStatus{Pin: n.pinStatus(n.cfg.Pools[pool].Name, b)}
	if st := n.states[pool]; st != nil {
		s.Here = st[b]
	}
	if t := n.table[pool]; t != nil && t[b] >= 0 {
		s.Assigned = n.view.Members[t[b]].Name
	}
	if n.owned[pool].Has(b) {
		s.Owner = n.cfg.Self.Name
	} else if n.lingers[pool].Has(b) {
		s.Lingering = append(s.Lingering, n.cfg.Self.Name)
	}
	for _, p := range n.peers {
		if p.silent || p.left || p.unlike {
			continue
		}
		if p.claims(pool).Has(b) {
			s.Owner = p.ref.Name
		} else if p.lingers(pool).Has(b) {
			s.Lingering = append(s.Lingering, p.ref.Name)
		}
	}
	return s
}

// State is what the node is doing now.
func (n *Node) State() State { return n.state() }

func (n *Node) state() State {
	switch {
	case n.muted || n.bar == barStandby:
		return StateStandby
	case n.bar != barNone:
		return StateFenced
	case n.leaves():
		return StateDraining
	case n.stage >= StageCleared || n.owns() || n.goesOn:
		return StateServing
	default:
		return StateJoining
	}
}

func (n *Node) whyLeaves() Leave {
	l := Leave{Host: n.unfit, Stop: n.retires}
	if n.draining {
		l.Order = n.drainWhy
	}
	return l
}

// why has the host's own trouble beside what the cluster makes of it: most likely that
// is its consequence.
func (n *Node) why() string {
	why := n.whyBarred()
	switch {
	case n.unfit == "":
		return why
	case why == "":
		return handsOver + n.unfit
	}
	return why + "; " + handsOver + n.unfit
}

// handsOver begins the line that tells that a host cannot serve.
const handsOver = "hands over: "

// whyBarred is why a node that would serve does not, "" if it does.
func (n *Node) whyBarred() string {
	switch {
	case n.muted:
		return n.whoseName()
	case n.bar == barStandby:
		return n.whyOutside("a better view is near; waits to be taken in")
	case n.bar == barDeaf:
		return n.deafWhy
	case n.bar == barFenced && n.cfg.Quorum == QuorumMajority && n.mutualCount()+1 < n.cfg.ExpectedNodes/2+1:
		return text("hears %d of %d expected nodes: no majority", n.mutualCount()+1, n.cfg.ExpectedNodes)
	case n.bar == barFenced:
		return "its lease ran out; " + n.whyOutside("waits for a new view")
	case n.view.ID.Number == 0:
		return n.whyOutside("listens for its peers")
	case n.stage < StageCleared && !n.owns() && !n.goesOn:
		return "waits until the view is agreed"
	}
	return ""
}

func (n *Node) mutualCount() int {
	c := 0
	for _, p := range n.peers {
		if p.mutual {
			c++
		}
	}
	return c
}

// stateOf reads a peer's state from its beat.
func stateOf(b *Beat) State {
	switch {
	case b.Flags&FlagStandby != 0:
		return StateStandby
	case b.Flags&(FlagFenced|FlagDeaf) != 0:
		return StateFenced
	case b.Flags&FlagDraining != 0:
		return StateDraining
	case b.Stage >= StageCleared || b.owns():
		return StateServing
	default:
		return StateJoining
	}
}
