package ownership

import (
	"errors"
	"fmt"
	"hash/fnv"
	"reflect"
	"slices"
)

// SnapshotVersion numbers the meaning of a Snapshot: it rises when a field, or a rule
// that rests on one, comes to mean something else. That a field came or went is
// seen without it (SnapshotFormat).
const SnapshotVersion = 1

// SnapshotFormat is the same for two programs of which each can carry on what the
// other leaves: the version, and a hash of the types that a Snapshot is made of.
func SnapshotFormat() string {
	h := fnv.New32a()
	h.Write([]byte(describe(reflect.TypeFor[Snapshot]())))
	return fmt.Sprintf("%d-%08x", SnapshotVersion, h.Sum32())
}

// describe tells the names and kinds of all that a type consists of.
func describe(t reflect.Type) string {
	text := t.Kind().String()
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		text += " " + describe(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			text += " " + t.Field(i).Name + " " + describe(t.Field(i).Type)
		}
	}
	return text
}

// Snapshot is everything that a Node has become since its start, for the daemon that
// goes on in place of this one. Its fields are the node's own, under the same names;
// what the configuration and the other fields tell is left out. It shares memory
// with the node, which must not step again.
type Snapshot struct {
	Self     Ref
	Host     uint64
	Pools    []PoolConfig // as configured
	Quorum   Quorum
	Expected int

	Rng                uint64
	Start, Now, Awake  Time
	Thawed             Time
	Settled            bool
	Interval, Lease    Time
	Unfit              string
	Stamps             []StampSnapshot
	Seq, Highest       uint64
	Peers              []PeerSnapshot
	View               View
	ViewSeq            uint64
	ViewAwake          Time
	Stage              Stage
	Discord, Split     Time
	Refused            bool
	LastActive         []Ref
	Pins               PinSnapshot
	Desk               DeskSnapshot
	WasReady, GoesOn   bool
	Former             []FormerSnapshot
	Owned, Lingers     []Bitmap
	Unclaimed          []Bitmap
	Released           Time
	States             [][]BucketState
	TableDirty         bool
	LeaseUntil         Time
	Renewed            Time
	Bar                uint8
	BarredIn           ViewID
	Muted              bool
	MuteTill           Time
	Namesake           uint64
	RivalAt            string
	Draining           bool
	DrainWhy           string
	Last               bool
	Weights, Shares    []uint16
	Health             SetHealth
	Missed             []MissedSnapshot
	ViewProven, Proven bool
	ProvenAt           Time
	FrameAwake         Time
	BeatAwake          Time
	DeafSince          Time
	SecondAwake        Time
	DoubtSince         Time
	WantedSince        Time
	MuteSince          Time
	TrafficAwake       Time
	Frameless          bool
	CutAwake           Time
	OwnerAwake         Time
	CutOut             bool
	DeafWhy            string
	QuietSegment       bool
	Hold               HoldSnapshot
	NextBeat           Time
	Extra              [2]Time
	Changed            bool
}

// The parts of a Snapshot.
type (
	// StampSnapshot is when a beat was sent.
	StampSnapshot struct {
		Seq                    uint64
		At, Awake, Lease, Hold Time
	}
	// FormerSnapshot is a view that was left.
	FormerSnapshot struct {
		View View
		Left Time
	}
	// MissedSnapshot is when two nodes last missed each other.
	MissedSnapshot struct {
		A, B string
		At   Time
	}
	// HoldSnapshot is what the node promised to hold.
	HoldSnapshot struct {
		Since             Time
		Seq               uint64
		Until             Time
		Remembered, Asked Time
	}
	// PinSnapshot is what the node knows of pins.
	PinSnapshot struct {
		Orders      []PinOrder
		Counter     uint64
		Told        int
		Lost        []LostPins
		Differ      bool
		Regrets     []PinOrder
		RegretUntil Time
	}
	// DeskSnapshot is what the node keeps of orders.
	DeskSnapshot struct {
		Last         uint64
		Answers      []OrderAnswer
		DrainTimeout Time
	}
	// WaysSnapshot is by which paths a peer is heard.
	WaysSnapshot struct {
		ServiceSeq      uint64
		Service, Second Time
		By              Path
		Carried, Direct Time
	}
	// EstateSnapshot is what a peer had when it died.
	EstateSnapshot struct {
		Pools []PoolBeat
		Since Time
	}
	// PeerSnapshot is what the node knows of a peer.
	PeerSnapshot struct {
		Ref                Ref
		Host               uint64
		Beat               *Beat
		Misses             bool
		Heard, HeardAwake  Time
		Echo, EchoAwake    Time
		EchoLease          Time
		EchoSeq            uint64
		Echoed             bool
		Promise, Bound     Time
		Promised           bool
		Vouched            uint64
		Withheld, Withhold bool
		EmptyIn            ViewID
		Fence              Time
		FenceView          ViewID
		Mutual             bool
		MutualSince        Time
		LateAwake          Time
		Silent             bool
		HeardSince         Time
		Left, Unlike       bool
		Ways               WaysSnapshot
		Estate             EstateSnapshot
		Flaps              uint8
		FlapAwake          Time
		Obeyed             uint64
	}
)

// Snapshot is for a node that has been told Held, and is not to step again.
func (n *Node) Snapshot() *Snapshot {
	s := &Snapshot{
		Self: n.cfg.Self, Host: n.cfg.Host, Pools: n.cfg.Pools, Quorum: n.cfg.Quorum, Expected: n.cfg.ExpectedNodes,

		Rng: n.rng, Start: n.start, Now: n.now, Awake: n.awake, Thawed: n.thawed, Settled: n.settled,
		Interval: n.interval, Lease: n.lease, Unfit: n.unfit,
		Seq: n.seq, Highest: n.highest,
		View: n.view, ViewSeq: n.viewSeq, ViewAwake: n.viewAwake, Stage: n.stage,
		Discord: n.discord, Split: n.split, Refused: n.refused, LastActive: n.lastActive, WasReady: n.wasReady, GoesOn: n.goesOn,
		Pins: n.pins.snapshot(), Desk: n.desk.snapshot(),
		Owned: n.owned, Lingers: n.lingers, Unclaimed: n.unclaimed, Released: n.released, States: n.states, TableDirty: n.tableDirty,
		LeaseUntil: n.leaseUntil, Renewed: n.renewed,
		Bar: uint8(n.bar), BarredIn: n.barredIn, Muted: n.muted, MuteTill: n.muteTill, Namesake: n.namesake, RivalAt: n.rivalAt,
		Draining: n.draining, DrainWhy: n.drainWhy, Last: n.last, Weights: n.weights, Shares: n.shares, Health: n.health,
		ViewProven: n.viewProven, Proven: n.proven, ProvenAt: n.provenAt,
		FrameAwake: n.frameAwake, BeatAwake: n.beatAwake, DeafSince: n.deafSince, SecondAwake: n.secondAwake,
		DoubtSince: n.doubtSince, WantedSince: n.wantedSince, MuteSince: n.muteSince, TrafficAwake: n.trafficAwake,
		Frameless: n.frameless, CutAwake: n.cutAwake, OwnerAwake: n.ownerAwake, CutOut: n.cutOut, DeafWhy: n.deafWhy,
		QuietSegment: n.quietSegment, Hold: HoldSnapshot{n.hold.since, n.hold.seq, n.hold.until, n.hold.remembered, n.hold.asked},
		NextBeat: n.nextBeat, Extra: n.extra, Changed: n.changed,
	}
	for _, st := range n.stamps {
		if st.seq != 0 {
			s.Stamps = append(s.Stamps, StampSnapshot{st.seq, st.at, st.awake, st.lease, st.hold})
		}
	}
	for _, f := range n.former {
		s.Former = append(s.Former, FormerSnapshot{f.View, f.left})
	}
	for l, at := range n.missed {
		s.Missed = append(s.Missed, MissedSnapshot{l[0], l[1], at})
	}
	for _, p := range n.peers {
		s.Peers = append(s.Peers, p.snapshot())
	}
	return s
}

func (b *pinBoard) snapshot() PinSnapshot {
	return PinSnapshot{
		Orders: b.orders, Counter: b.counter, Told: b.told, Lost: b.lost,
		Differ: b.differ, Regrets: b.regrets, RegretUntil: b.regretUntil,
	}
}

func (s *PinSnapshot) board() pinBoard {
	set := newPinSet(s.Orders)
	set.counter, set.told, set.lost = s.Counter, s.Told, s.Lost
	return pinBoard{pinSet: set, differ: s.Differ, regrets: s.Regrets, regretUntil: s.RegretUntil}
}

// snapshot refuses the drains that wait for another node's word: nobody would
// hear it. Those who wait here for another's answer go with their daemon.
func (d *desk) snapshot() DeskSnapshot {
	s := DeskSnapshot{Last: d.last, Answers: d.answers, DrainTimeout: d.drainTimeout}
	if d.ask == nil {
		return s
	}
	for _, by := range d.ask.by {
		if by.peer != (Ref{}) {
			s.Answers = append(s.Answers, OrderAnswer{To: by.peer, ID: by.id, Refused: true, Why: "its daemon restarts: order it again"})
		}
	}
	return s
}

func (p *peer) snapshot() PeerSnapshot {
	return PeerSnapshot{
		Ref: p.ref, Host: p.host, Beat: p.beat, Misses: p.misses, Heard: p.heard, HeardAwake: p.heardAwake,
		Echo: p.echo, EchoAwake: p.echoAwake, EchoSeq: p.echoSeq, EchoLease: p.echoLease, Echoed: p.echoed,
		Promise: p.promise, Bound: p.bound, Promised: p.promised, Vouched: p.vouched,
		Withheld: p.withheld, Withhold: p.withhold, EmptyIn: p.emptyIn, Fence: p.fence, FenceView: p.fenceView,
		Mutual: p.mutual, MutualSince: p.mutualSince, LateAwake: p.lateAwake,
		Silent: p.silent, HeardSince: p.heardSince, Left: p.left, Unlike: p.unlike,
		Estate: EstateSnapshot{p.estate.pools, p.estate.since},
		Ways:   WaysSnapshot{p.ways.serviceSeq, p.ways.service, p.ways.second, p.ways.by, p.ways.carried, p.ways.direct},
		Flaps:  p.flaps, FlapAwake: p.flapAwake, Obeyed: p.obeyed,
	}
}

// ErrNotCarriedOn is wrapped by CarryOn.
var ErrNotCarriedOn = errors.New("cannot be carried on")

// CarryOn makes the node that goes on where the one of the snapshot stopped, in
// one with the datapath, which has gone on: as if it had stood still meanwhile. Its
// first event is Unhold. Timing and weights may be configured otherwise than
// before; what the cluster must agree on may not.
func CarryOn(cfg Config, s *Snapshot, now Time) (*Node, error) {
	if err := s.fits(cfg); err != nil {
		return nil, fmt.Errorf("the state before the restart %w: %w", ErrNotCarriedOn, err)
	}
	if now >= s.LeaseUntil || now < s.Now {
		return nil, fmt.Errorf("the state before the restart %w: its lease has been over for %v", ErrNotCarriedOn, round(now-s.LeaseUntil))
	}
	configured := slices.Clone(cfg.Pools)
	cfg.Self = s.Self
	n := New(cfg, s.Start)
	n.restore(s)
	for i, p := range configured {
		if p.Weight != s.Pools[i].Weight {
			n.weights[i], n.changed = p.Weight, true
		}
	}
	return n, nil
}

// CanCarryOn tells why a daemon with that configuration could not carry on this node.
func (n *Node) CanCarryOn(cfg Config) error { return n.Snapshot().fits(cfg) }

// fits tells what the new configuration must not change.
func (s *Snapshot) fits(cfg Config) error {
	switch {
	case cfg.Self.Name != s.Self.Name:
		return fmt.Errorf("this node was %s before", s.Self.Name)
	case cfg.Host != s.Host:
		return errors.New("the interface's MAC has changed")
	case cfg.Quorum != s.Quorum || cfg.ExpectedNodes != s.Expected:
		return errors.New("quorum or expected_nodes have changed")
	}
	same := slices.EqualFunc(cfg.Pools, s.Pools, func(a, b PoolConfig) bool {
		return a.Name == b.Name && a.Buckets == b.Buckets && a.Fingerprint == b.Fingerprint && a.Addresses == b.Addresses
	})
	if !same {
		return errors.New("the pools have changed")
	}
	return nil
}

func (n *Node) restore(s *Snapshot) {
	n.rng, n.now, n.awake, n.thawed, n.settled = s.Rng, s.Now, s.Awake, s.Thawed, s.Settled
	n.interval, n.lease, n.unfit, n.seq, n.highest = s.Interval, s.Lease, s.Unfit, s.Seq, s.Highest
	for _, st := range s.Stamps {
		n.stamps[st.Seq%stampRing] = stamp{st.Seq, st.At, st.Awake, st.Lease, st.Hold}
	}
	if s.View.ID.Number != 0 {
		n.setView(s.View)
	}
	n.viewSeq, n.viewAwake, n.stage = s.ViewSeq, s.ViewAwake, s.Stage
	n.discord, n.split, n.refused, n.lastActive, n.wasReady, n.goesOn = s.Discord, s.Split, s.Refused, s.LastActive, s.WasReady, s.GoesOn
	n.pins = s.Pins.board()
	n.desk = desk{last: s.Desk.Last, answers: s.Desk.Answers, drainTimeout: s.Desk.DrainTimeout}
	for _, f := range s.Former {
		n.former = append(n.former, formerView{f.View, f.Left})
	}
	n.owned, n.lingers, n.states, n.tableDirty = s.Owned, s.Lingers, s.States, s.TableDirty
	n.unclaimed, n.released = s.Unclaimed, s.Released
	n.leaseUntil, n.renewed = s.LeaseUntil, s.Renewed
	n.bar, n.barredIn, n.muted, n.muteTill, n.namesake, n.rivalAt = bar(s.Bar), s.BarredIn, s.Muted, s.MuteTill, s.Namesake, s.RivalAt
	n.draining, n.drainWhy, n.last = s.Draining, s.DrainWhy, s.Last
	n.weights, n.shares, n.health = slices.Clone(s.Weights), slices.Clone(s.Shares), s.Health
	for _, m := range s.Missed {
		n.missed[link{m.A, m.B}] = m.At
	}
	n.viewProven, n.proven, n.provenAt = s.ViewProven, s.Proven, s.ProvenAt
	n.frameAwake, n.beatAwake, n.deafSince, n.secondAwake = s.FrameAwake, s.BeatAwake, s.DeafSince, s.SecondAwake
	n.doubtSince, n.wantedSince, n.muteSince, n.trafficAwake = s.DoubtSince, s.WantedSince, s.MuteSince, s.TrafficAwake
	n.frameless, n.cutAwake, n.ownerAwake, n.cutOut, n.deafWhy = s.Frameless, s.CutAwake, s.OwnerAwake, s.CutOut, s.DeafWhy
	n.quietSegment, n.hold = s.QuietSegment, hold{s.Hold.Since, s.Hold.Seq, s.Hold.Until, s.Hold.Remembered, s.Hold.Asked}
	n.nextBeat, n.extra, n.changed = s.NextBeat, s.Extra, s.Changed
	n.peers = n.peers[:0]
	for i := range s.Peers {
		n.peers = append(n.peers, s.Peers[i].peer(n))
	}
}

func (s *PeerSnapshot) peer(n *Node) *peer {
	w := s.Ways
	p := &peer{
		ref: s.Ref, host: s.Host, beat: s.Beat, place: n.view.index(s.Ref), includes: s.Beat.View.has(n.cfg.Self), mine: s.Beat.echo(n.cfg.Self),
		misses: s.Misses, heard: s.Heard, heardAwake: s.HeardAwake,
		echo: s.Echo, echoAwake: s.EchoAwake, echoSeq: s.EchoSeq, echoLease: s.EchoLease, echoed: s.Echoed,
		promise: s.Promise, bound: s.Bound, promised: s.Promised, vouched: s.Vouched,
		withheld: s.Withheld, withhold: s.Withhold, emptyIn: s.EmptyIn, fence: s.Fence, fenceView: s.FenceView,
		mutual: s.Mutual, mutualSince: s.MutualSince, lateAwake: s.LateAwake,
		silent: s.Silent, heardSince: s.HeardSince, left: s.Left, unlike: s.Unlike,
		estate: estate{pools: s.Estate.Pools, since: s.Estate.Since},
		ways:   ways{serviceSeq: w.ServiceSeq, service: w.Service, second: w.Second, by: w.By, carried: w.Carried, direct: w.Direct},
		flaps:  s.Flaps, flapAwake: s.FlapAwake, obeyed: s.Obeyed,
	}
	p.pools = n.poolsIn(p.beat, nil)
	return p
}
