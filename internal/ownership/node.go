package ownership

import "time"

// Node is the state machine of one node. It is not safe for concurrent use.
type Node struct {
	cfg Config
	// interval and lease are those in force: see retime.
	interval, lease time.Duration

	rng   uint64
	start Time
	now   Time
	// awake is the time this node has been running: a freeze counts for hardly
	// more than one interval. Silence is measured in it, so that a node that
	// wakes with full queues does not find all its peers silent.
	awake   Time
	thawed  Time // awake, when it last ran late: it proposes nothing before it has listened
	stood   Time // between the last two steps
	settled bool // what this host promised before its start is over
	stamps  [stampRing]stamp
	seq     uint64
	highest uint64 // the highest view number seen anywhere

	peers []*peer // sorted by name

	view       View
	viewSeq    uint64    // this node's first beat that announces it; 0: not sent yet
	viewAwake  Time      // when it was adopted
	stage      Stage     // in view
	table      [][]int16 // per pool: bucket → index into view.Members
	want       []Bitmap  // per pool: what view's table gives this node
	gained     int       // buckets of all pools, in view, while it is not active
	discord    Time      // awake, since when the view is not active or owners near follow another; 0: concord
	split      Time      // awake, since when members miss each other without a majority convicting one; 0: they do not
	refused    bool      // a higher view with this node in it is announced, and refused
	lastActive []Ref     // members of the last view that was active here
	pins       pinBoard
	desk       desk
	wasReady   bool // in view, at some time
	goesOn     bool // was in the view before until this one came: also one that owns nothing does not join anew
	former     []formerView

	owned      []Bitmap // accepted: mine or contested in the datapath
	lingers    []Bitmap // handed over, connections left
	unclaimed  []Bitmap // of these: nobody has said yet that he accepts them
	released   Time     // when the newest of those were handed over
	states     [][]BucketState
	tableDirty bool

	leaseUntil Time // 0: none
	renewed    Time // the newest that the datapath was told

	bar      bar
	barredIn ViewID // the newest view in which it was barred
	muted    bool   // another host uses this name: say nothing
	muteTill Time
	namesake uint64 // the highest incarnation of another host with this name
	rivalAt  string // and its address, by its word
	draining bool   // by order
	drainWhy string // in the order's words
	last     bool   // it drains, and nobody else has served since: keeps its weight
	unfit    string // why this host cannot serve; "": it can
	retires  string // why its daemon is about to end; "": it is not
	stopped  bool
	weights  []uint16
	shares   []uint16  // what this node's health leaves of the weights, in percent
	health   SetHealth // told in every beat

	missed map[link]Time // awake, when two members last missed each other

	viewProven  bool // some frame had been received when the view was adopted
	proven      bool // some frame has been received since the start, or since deafness
	provenAt    Time // awake, the first of them
	frameAwake  Time // when the interface last received any frame
	beatAwake   Time // when the service path last brought a beat from anybody
	deafSince   Time // awake
	secondAwake Time // when a beat last went by a second path, whatever the direction; 0: never
	// Since when (awake; 0: not so) the service's network seems to be broken, clients
	// reach a node across the break that is out, and this node seems mute.
	doubtSince, wantedSince, muteSince Time
	trafficAwake                       Time // when a client's packet was last seen

	frameless  bool   // nothing has been received for long
	cutAwake   Time   // when this node, deaf, was last cut off
	ownerAwake Time   // and when it last heard a peer that goes on
	cutOut     bool   // it was, since it became deaf
	deafWhy    string // for people
	// quietSegment: was deaf for so long that it goes on all the same, until it
	// hears something.
	quietSegment bool

	hold hold // of this node, for a restart of the daemon

	nextBeat Time
	extra    [2]Time // repeats of a beat that told of a change; 0: none
	changed  bool    // something peers should know at once

	out   []Effect
	after []Effect // to come behind tables, lease and beat
}

// bar is why a node owns nothing until it activates a view newer than the one
// it announces. Whoever is barred has said so in its beats, and keeps to it.
type bar uint8

const (
	barNone bar = iota
	barFenced
	barStandby
	barDeaf
)

var barFlags = [...]Flags{0, FlagFenced, FlagStandby, FlagDeaf}

const (
	stampRing = 1024
	// barredFlags: the sender accepts nothing before a view newer than the one it announces.
	barredFlags = FlagFenced | FlagStandby | FlagDeaf | FlagLeaving
	// repeatAfter: a change is told again after these delays, against loss.
	repeatAfter1 = 2 * time.Millisecond
	repeatAfter2 = 4 * time.Millisecond
	// listenIntervals: how long a new start listens before its first beat, so
	// that it hears a host that already uses its name.
	listenIntervals = 3
)

type stamp struct {
	seq         uint64
	at, awake   Time
	lease, hold time.Duration // what may be counted from it: L, and H if it is promised
}

// New makes a node that has just started. Nothing is owned; the first Step
// clears the datapath. Pools must be sorted by name.
func New(cfg Config, now Time) *Node {
	n := &Node{
		cfg: cfg, interval: cfg.Interval, lease: cfg.Lease, rng: cfg.Seed ^ cfg.Self.Incarnation ^ 0x9e3779b97f4a7c15,
		start: now, now: now,
		table:     make([][]int16, len(cfg.Pools)),
		want:      make([]Bitmap, len(cfg.Pools)),
		owned:     make([]Bitmap, len(cfg.Pools)),
		lingers:   make([]Bitmap, len(cfg.Pools)),
		states:    make([][]BucketState, len(cfg.Pools)),
		weights:   make([]uint16, len(cfg.Pools)),
		unclaimed: make([]Bitmap, len(cfg.Pools)),
		shares:    make([]uint16, len(cfg.Pools)),

		pins:       pinBoard{pinSet: newPinSet(cfg.Pins)},
		missed:     map[link]Time{},
		tableDirty: true,
		nextBeat:   now + listenIntervals*cfg.Interval,
		hold:       hold{remembered: cfg.Promised},
	}
	for i, p := range cfg.Pools {
		n.want[i], n.owned[i], n.lingers[i] = NewBitmap(p.Buckets), NewBitmap(p.Buckets), NewBitmap(p.Buckets)
		n.unclaimed[i] = NewBitmap(p.Buckets)
		n.weights[i], n.shares[i] = p.Weight, p.firstShare()
	}
	return n
}

// Take is L_take for a lease of l: how long a promise binds the one who gave
// it. Clock rates differ by at most 1 % from the true rate, so a holder's
// lease of l, measured on the slowest clock, is over before l·1.01/0.99 on the
// fastest. The millisecond covers rounding.
func Take(l time.Duration) time.Duration {
	return l*101/99 + time.Millisecond
}

func (n *Node) take() time.Duration { return Take(n.lease) }

// alone is how long a node that hears nobody waits before it serves alone.
func (n *Node) alone() time.Duration { return max(3*n.lease, time.Second) }

// quiet is U: a member that has been silent for so long no longer holds up
// the leases of the others (QuorumNone). Before L is over, or a lease could
// lapse between the last promise and the silence.
func (n *Node) quiet() time.Duration { return n.lease - 2*n.interval }

// Step handles one event at time now, which must not go back, and returns
// what is to be done, in this order.
func (n *Node) Step(now Time, ev Event) []Effect {
	if n.stopped {
		return nil
	}
	n.out, n.after = nil, nil
	n.tick(now)
	n.expire()
	n.forgetLingers()
	switch e := ev.(type) {
	case Wake:
	case BeatReceived:
		if !n.hear(e.Beat, e.Path) && n.secondUsed() && !n.changed && !n.tableDirty && len(n.out) == 0 {
			return nil // the same beat by another path: all that it tells is known
		}
	case FramesSeen:
		n.receive()
	case TrafficSeen:
		n.trafficAwake = max(n.awake, 1)
	case SetWeights:
		n.setWeights(e.Weights)
	case Reconfigure:
		n.reconfigure(e)
	case SetHealth:
		n.setHealth(e)
	case Drain:
		n.setDraining(true, e.Reason)
		n.setDrainTimeout(e.Timeout)
		n.last = e.Last
	case Command:
		n.command(e)
	case OrderPins:
		n.orderPins(e)
	case Resume:
		n.setDraining(false, "")
	case Retire:
		n.retire(e.Reason)
	case Unfit:
		n.setUnfit(e.Why)
	case Live:
		n.keepLive(e.Pool, e.Buckets)
	case Hold:
		n.beginHold()
	case Unhold:
		n.unhold()
	case Remembered:
		n.hold.remembered = max(n.hold.remembered, e.Until)
	case Stop:
		n.stop()
		return n.out
	}
	n.settle()
	n.judge()
	n.judgeOrders()
	n.follow()
	n.renew()
	n.yieldToBetter()
	n.settleConflicts()
	n.judgeConcord()
	n.propose()
	n.advance()
	_, heard := ev.(BeatReceived)
	n.emit(heard)
	n.judgeHold()
	return n.out
}

// tick moves the clocks on. A step that comes later than it was due counts
// for at most one and a half intervals of awake time.
func (n *Node) tick(now Time) {
	d := max(now-n.now, 0)
	n.awake += min(d, n.interval*3/2)
	if d > n.interval*3/2 {
		n.thawed = max(n.awake, 1)
	}
	n.stood = d
	n.now = max(now, n.now)
}

// forgetLingers: peers find a node silent that has not spoken for so long, and
// let their kernels reset what it lingered on.
func (n *Node) forgetLingers() {
	if n.seq == 0 || n.now < n.spokenFor() || !anySet(n.lingers) {
		return
	}
	for i := range n.lingers {
		clear(n.lingers[i])
	}
	n.tableDirty, n.changed = true, true
	n.note(NoteLingering, "", "has been silent for a lease: lingers on nothing any more")
}

// expire lets go of everything when the lease is over. It runs before any
// event is handled: a promise that arrives now must not revive old claims.
func (n *Node) expire() {
	if n.leaseUntil == 0 || n.now < n.leaseUntil {
		return
	}
	late := n.now - n.leaseUntil
	n.leaseUntil = 0
	if n.bar == barNone && n.stage >= StageCleared || n.owns() {
		why := "not enough promises from peers"
		if n.stood > n.interval*3/2 {
			why = text("this daemon stood still for %v", round(n.stood))
		}
		n.note(NoteLeaseLost, "", "lease over for %v: %s; owns nothing until a new view", round(late), why)
		n.yield(barFenced)
	}
}

// yield gives up all ownership until a newer view is active. Connections that
// are open go on as far as the lease allows.
func (n *Node) yield(why bar) {
	for _, p := range n.peers {
		p.promise, p.promised = 0, false
	}
	n.leaseUntil = 0 // in the datapath it goes on, for what lingers: see cutLease
	for i := range n.owned {
		for w := range n.owned[i] {
			n.lingers[i][w] |= n.owned[i][w]
			n.owned[i][w] = 0
		}
	}
	n.bar, n.barredIn = why, n.view.ID
	n.stage = min(n.stage, StageJoined)
	n.tableDirty, n.changed = true, true
}

// owns tells whether the datapath accepts any bucket, lease apart.
func (n *Node) owns() bool { return anySet(n.owned) }

// dazed: this node runs late, or has just come back from a freeze or from
// deafness. It distrusts itself first: it proposes and activates nothing before
// it has listened, on time, for U.
func (n *Node) dazed() bool { return n.thawed != 0 && n.awake-n.thawed < n.quiet() }

// serving tells whether this node may own.
func (n *Node) serving() bool {
	return n.bar == barNone && n.leaseUntil > n.now
}

func anySet(ms []Bitmap) bool {
	for _, m := range ms {
		if !m.Empty() {
			return true
		}
	}
	return false
}

func (n *Node) setWeights(w []uint16) {
	for i := range n.weights {
		if i < len(w) && n.weights[i] != w[i] {
			n.setWeight(i, w[i])
		}
	}
}

func (n *Node) setDraining(on bool, reason string) {
	n.drainWhy = reason
	if n.draining == on {
		return
	}
	n.draining, n.last, n.changed = on, false, true
	if !on {
		n.setDrainTimeout(0)
		n.note(NoteResume, "", "takes part again")
		return
	}
	n.note(NoteDrain, "", "drains: %s", reason)
}

// setUnfit hands over, or ends that. An order to drain stands beside it.
func (n *Node) setUnfit(why string) {
	if n.unfit == why {
		return
	}
	left := n.leaves()
	n.unfit = why
	n.changed = n.changed || left != n.leaves()
	switch {
	case why != "":
		n.note(NoteDrain, "", "%s", handsOver+why)
	case n.draining:
		n.note(NoteResume, "", "this host can serve again; drains still, by order")
	default:
		n.note(NoteResume, "", "this host can serve again: takes part")
	}
}

// ownWords are why this node drains and what ails it, for people at any node.
func (n *Node) ownWords() (words []string) {
	if n.retires != "" {
		words = append(words, drainWords+n.retires)
	}
	if n.draining {
		words = append(words, drainWords+n.drainWhy)
	}
	return append(words, n.health.Lines...)
}

// leaves: wants to own nothing.
func (n *Node) leaves() bool { return n.draining || n.unfit != "" || n.retires != "" }

func (n *Node) keepLive(pool int, live Bitmap) {
	if pool < 0 || pool >= len(n.lingers) {
		return
	}
	before := n.lingers[pool].Count()
	for w := range n.lingers[pool] {
		if w < len(live) {
			n.lingers[pool][w] &= live[w]
		} else {
			n.lingers[pool][w] = 0
		}
	}
	if gone := before - n.lingers[pool].Count(); gone > 0 {
		n.tableDirty = true // peers are told with the next beat: nothing waits for it
		n.note(NoteLingering, "", "pool %s: no connection left in %d handed-over buckets", n.cfg.Pools[pool].Name, gone)
	}
}

// stop clears the datapath, then says goodbye, three times against loss.
func (n *Node) stop() {
	for i := range n.owned {
		clear(n.owned[i])
		clear(n.lingers[i])
	}
	n.tableDirty = true
	n.emitTables()
	n.leaseUntil = 0
	n.out = append(n.out, RenewLease{})
	n.stage = min(n.stage, StageJoined)
	n.note(NoteStopped, "", "stopped: says goodbye")
	n.stopped = true
	if n.muted || n.seq == 0 {
		return
	}
	for range 3 {
		n.send()
	}
}

// random returns a number below 2^32 (splitmix64, Steele et al. 2014).
func (n *Node) random() uint64 {
	n.rng += 0x9e3779b97f4a7c15
	z := n.rng
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return (z ^ z>>31) >> 32
}
