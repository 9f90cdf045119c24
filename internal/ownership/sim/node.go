package sim

import (
	"fmt"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

const (
	// inboxRoom is how many beats a socket's queue holds for a daemon that does not read.
	inboxRoom = 512
	// spinLimit is how many steps a node may take before time must advance.
	spinLimit = 20000
)

// node is a host: its clock, its daemon if one runs, and its datapath.
type node struct {
	id    int
	bit   uint32
	spec  *Node
	clock clock
	rng   rng
	up    bool // the host has power

	// The daemon.
	machine     Machine // nil: none runs
	life        uint32  // which daemon this is
	incarnation uint64
	started     time.Duration

	heedlessTill time.Duration
	config       int // which pool configuration it runs with
	file         settings
	inForce      settings // of the daemon: with the pools that are to go
	leaving      uint32   // which those are
	places       []int    // of the daemon's pools in the scenario
	weight       uint16
	draining     bool
	unfit        string // what keeps the host from serving
	unfitTold    string // what the daemon knows of it
	frozen       bool
	resting      bool // between two effects
	rested       bool
	stopping     bool
	strike       Verb // Kill or Freeze, after armed more effects
	armed        int  // -1: nothing is armed
	pending      []ownership.Effect
	inbox        []any // events; reconfigured
	wakeDue      bool
	wakeAt       time.Duration // of the evWake that counts; never: none
	look         look
	last         *ownership.Beat
	views        int // adopted since something last changed
	burst        int // beats sent since burstAt, an interval at most
	burstAt      time.Duration
	thawed       time.Duration // when it last froze no more, or was slow no more
	restart      restart
	kept         []ownership.PinOrder // on its disk

	// Its ailments.
	deaf, mute        bool
	unflooded         bool
	slow, lag, dawdle time.Duration
	queued, scheduled bool // a slow node waits for the processor; has it

	datapath datapath
	gaveUp   map[int]time.Duration // when it let go of a bucket last
}

func newNode(s *Scenario, id int, chances rng) *node {
	spec := &s.Nodes[id]
	return &node{
		id: id, bit: 1 << id, spec: spec, weight: spec.Weight, armed: -1, wakeAt: never, rng: chances,
		clock:    clock{spec.Origin, spec.PPM},
		file:     settings{pools: 1<<len(s.Pools) - 1, interval: s.Interval, lease: s.Lease},
		datapath: newDatapath(s),
		gaveUp:   make(map[int]time.Duration),
	}
}

// look is what a daemon knows of its interface, as internal/daemon does: it looks when its timer
// fires or a beat comes, twice in an interval at most. Frames that a beat explains are not told, and clients count only while the machine asks.
type look struct {
	at            time.Duration // the last
	frames, beats bool          // came since the last look: anything; a beat by the service path
	doubts        bool          // the machine asked at the last look
}

// sick tells whether the node itself is hindered from taking part.
func (n *node) sick(interval time.Duration) bool {
	return n.machine == nil || n.frozen || n.armed >= 0 || n.deaf || n.mute || n.unflooded ||
		n.slow > interval/2 || n.lag > interval/2 || n.dawdle > interval/10
}

func (n *node) address() string { return "192.0.2." + fmt.Sprint(n.id+1) }

func (w *world) start(n *node, config int) {
	if n.machine != nil {
		w.endDaemon(n)
	}
	n.up = true
	n.life++
	n.config = config
	cfg := w.configOf(n)
	if w.carryOn(n, cfg) {
		w.lookAtHost(n)
		return
	}
	n.started = w.now
	n.incarnation = max(n.incarnation+1, uint64(w.now/time.Millisecond)*MaxNodes+uint64(n.id)+1)
	n.draining = false
	w.clear(n) // the new daemon clears what it found before its first beat
	cfg.Self.Incarnation = n.incarnation
	cfg.Seed = n.rng.next()
	cfg.Promised = w.promisedBefore(n)
	n.inForce, n.leaving = n.file, 0
	n.machine = w.factory(cfg, n.clock.read(w.now))
	n.wakeDue = true
	w.pump(n)
	n.unfitTold = ""
	w.lookAtHost(n)
}

// lookAtHost is the daemon's part in finding out whether the host can serve.
func (w *world) lookAtHost(n *node) {
	if n.machine != nil && n.unfit != n.unfitTold {
		n.unfitTold = n.unfit
		w.order(n, ownership.Unfit{Why: n.unfit})
	}
}

func (w *world) configOf(n *node) ownership.Config {
	cfg := ownership.Config{
		Self:     ownership.Ref{Name: n.spec.Name},
		Host:     uint64(n.id) + 1,
		Address:  n.address(),
		Interval: n.file.interval, Lease: n.file.lease,
		Quorum: w.s.Quorum, ExpectedNodes: w.s.Expected,
		Pins: n.kept,
	}
	cfg.Pools = w.poolsOf(n, n.file.pools)
	return cfg
}

// endDaemon leaves the datapath as it is.
func (w *world) endDaemon(n *node) {
	n.machine = nil
	n.life++
	n.wakeAt = never
	n.frozen, n.resting, n.rested, n.stopping, n.wakeDue, n.look = false, false, false, false, false, look{}
	n.armed, n.restart.asked = -1, false
	n.pending, n.inbox, n.last = nil, n.inbox[:0], nil
	n.queued = false
}

// arrive is a beat at one of a node's interfaces.
func (w *world) arrive(n *node, b *ownership.Beat, path ownership.Path) {
	service := path == ownership.PathService
	if !n.up || service && (n.deaf || n.unflooded) {
		return
	}
	if n.machine == nil {
		return
	}
	n.look.frames = n.look.frames || service
	if len(n.inbox) >= inboxRoom {
		return
	}
	n.inbox = append(n.inbox, ownership.BeatReceived{Beat: b, Path: path})
	w.pump(n)
}

// canStep tells whether the daemon waits for something to happen.
func (n *node) canStep() bool {
	return n.machine != nil && !n.frozen && !n.resting && len(n.pending) == 0 && (n.slow == 0 || n.scheduled)
}

// pump lets the daemon handle what waits for it: timer and inbox in any
// order, as a select would.
func (w *world) pump(n *node) {
	if n.slow > 0 && !n.scheduled && !n.queued && n.machine != nil {
		n.queued = true
		w.queue.push(event{at: w.now + n.rng.span(n.slow*3/4, n.slow), kind: evSchedule, node: uint8(n.id), gen: n.life})
	}
	for w.failure == nil && n.canStep() && (n.wakeDue || len(n.inbox) > 0) {
		if n.wakeDue && (len(n.inbox) == 0 || n.rng.below(2) == 0) {
			w.wake(n)
			continue
		}
		w.next(n)
	}
}

// wake is a timer that fires.
func (w *world) wake(n *node) {
	w.look(n)
	if n.canStep() {
		n.wakeDue = false
		w.step(n, ownership.Wake{})
	}
}

func (w *world) look(n *node) {
	if !n.canStep() || n.look.at != 0 && w.now-n.look.at < w.s.Interval/2 {
		return
	}
	n.look.at = w.now
	others := !w.s.Quiet && n.up && !n.deaf // frames of others, clients among them
	frames := (n.look.frames || others) && !n.look.beats
	n.look.frames, n.look.beats = false, false
	if frames {
		w.step(n, ownership.FramesSeen{})
		if !n.canStep() {
			return
		}
	}
	doubted := n.look.doubts
	n.look.doubts = n.machine.InDoubt()
	if doubted && n.look.doubts && others && !n.unflooded {
		w.step(n, ownership.TrafficSeen{})
	}
}

// next hands over the oldest thing in the inbox.
func (w *world) next(n *node) {
	first := n.inbox[0]
	n.inbox = n.inbox[:copy(n.inbox, n.inbox[1:])]
	switch r := first.(type) {
	case reconfigured:
		first = w.event(n, r)
	case weighed:
		first = ownership.SetWeights{Weights: n.weights()}
	case ownership.BeatReceived:
		n.look.beats = n.look.beats || r.Path == ownership.PathService
	}
	ev := first.(ownership.Event)
	_, n.stopping = ev.(ownership.Stop)
	w.step(n, ev)
	switch ev.(type) {
	case ownership.BeatReceived:
		w.look(n)
	case ownership.Reconfigure:
		w.settle(n)
	}
}

func (w *world) step(n *node, ev ownership.Event) {
	w.stats.Steps++
	if w.spin++; w.spin > spinLimit {
		w.fail(RuleContract, fmt.Sprintf("%s asks to be woken again and again without time passing", n.spec.Label))
		return
	}
	n.pending = n.machine.Step(n.clock.read(w.now), ev)
	w.carryOut(n)
}
