package ownership

import (
	"cmp"
	"strings"
	"time"
)

// Time is a node's monotonic clock: the time since an arbitrary origin of
// that node. Times of different nodes are never compared.
type Time = time.Duration

// MaxNodes bounds a cluster; MaxPools the pools of a node; MaxViewPools those of a
// view, whose members need not all have the same: some more, so that pools may be
// replaced by others on one node after the other. A beat of them all still fits.
const (
	MaxNodes     = 64
	MaxPools     = 64
	MaxViewPools = 80
)

// MaxWeight is the greatest weight; NoShare in the place of a weight means that the
// node does not have the pool, or is about to lose it: it is given nothing of
// it, also if all others have weight 0.
const (
	MaxWeight uint16 = 1000
	NoShare   uint16 = 0xffff
)

// SameShare in the place of a share leaves it, and the illness, as they are.
const SameShare uint16 = 0xffff

// Quorum says when a part of the cluster may own buckets.
type Quorum uint8

const (
	// QuorumNone lets every part of a partitioned cluster serve.
	QuorumNone Quorum = iota
	// QuorumMajority lets only a part with a majority of the expected nodes serve.
	QuorumMajority
)

func (q Quorum) String() string {
	if q == QuorumMajority {
		return "majority"
	}
	return "none"
}

// Ref names one start of one node. A higher incarnation of a name is a later start.
type Ref struct {
	Name        string
	Incarnation uint64
}

// ViewID identifies a view for ever: a proposer never uses a number twice, and
// numbers never go back. Views are ordered by number, then by proposer.
type ViewID struct {
	Number   uint64
	Proposer Ref
}

// Compare orders views: by number, then proposer's name, then its incarnation.
func (a ViewID) Compare(b ViewID) int {
	if a.Number != b.Number {
		return cmp.Compare(a.Number, b.Number)
	}
	if by := strings.Compare(a.Proposer.Name, b.Proposer.Name); by != 0 {
		return by
	}
	return cmp.Compare(a.Proposer.Incarnation, b.Proposer.Incarnation)
}

// Member is a node in a view.
type Member struct {
	Ref
	// Weights holds the node's weight in each of View.Pools (0 … MaxWeight, or
	// NoShare). 0 owns nothing while any other member has more.
	Weights []uint16
}

// Pin is an operator's standing order that a bucket belongs to a node.
type Pin struct {
	Pool   uint16 // index into View.Pools
	Bucket uint32
	Node   string
}

// Active says which member has all buckets of a pool that is not spread. The
// proposer decides it; the table follows.
type Active struct {
	Pool uint16 // index into View.Pools
	Node string
}

// View is the agreed set from which every node computes the same table. The
// zero View (Number 0) means none. A View is immutable once made.
type View struct {
	ID ViewID
	// Pools are the names of all pools that members have, sorted. What a member does
	// not have concerns it no further.
	Pools   []string
	Members []Member // sorted by name, names unique
	Pins    []Pin    // sorted by pool, bucket
	Actives []Active // one for each pool with SpreadSingle, sorted by pool
}

// Stage is how far a node has come in the view that it announces.
type Stage uint8

const (
	// StageNone: no view.
	StageNone Stage = iota
	// StageJoined: announces the view, promises nothing to those outside, keeps what it owns.
	StageJoined
	// StageReady: and every fence of this node for someone outside the view is over.
	StageReady
	// StageCleared: and its datapath has dropped what moves away.
	StageCleared
	// StageActive: and it accepts everything that the view's table gives it.
	StageActive
)

var stageNames = [...]string{"none", "joined", "ready", "cleared", "active"}

func (s Stage) String() string {
	if int(s) < len(stageNames) {
		return stageNames[s]
	}
	return "unknown"
}

// Flags are a node's words about itself.
type Flags uint8

const (
	// FlagFenced: the lease ran out; owns nothing until it activates a newer view.
	FlagFenced Flags = 1 << iota
	// FlagStandby: owns nothing, because a better view is near.
	FlagStandby
	// FlagDeaf: the interface has received no frame since the last peer fell silent,
	// or the service's network leaves this node out; owns nothing.
	FlagDeaf
	// FlagLeaving: goodbye. The sender's datapath is already cleared and stays so;
	// nobody needs to wait for its lease.
	FlagLeaving
	// FlagDraining: an operator, a sign or a stop asks for weight 0 everywhere.
	FlagDraining
	// FlagUnproven: has received no frame at all since its start. It may serve
	// alone, but makes nobody stand by. Beside FlagDeaf: none lately.
	FlagUnproven
	// FlagClients: packets for a shared address reach it. Told only while the
	// service's network seems to be broken.
	FlagClients
	// FlagHolding: the sender's daemon is about to restart. Its datapath goes on
	// without it for Beat.Hold at most, and until then nobody finds it silent.
	FlagHolding
)

// PoolBeat is what a beat says about one pool.
type PoolBeat struct {
	Name string
	// Fingerprint covers what those who have the pool must agree on: hash, seed, buckets,
	// MAC, spread, preemption. Nodes whose fingerprints of one pool differ do not share at all.
	Fingerprint uint64
	// Addresses is a fingerprint of the shared addresses. Whoever lacks one does not
	// serve it: that is told, and no more.
	Addresses uint64
	// Weight is what the node wants to carry (0 … MaxWeight, drains and health
	// included), or NoShare.
	Weight uint16
	// Priority is the node's claim to be the active one of a pool with SpreadSingle (0 … 1000).
	Priority uint16
	// Spread and Preempt are told because a proposer may not have the pool.
	Spread  Spread
	Preempt bool
	// Illness says that the sender would leave the pool if all others did not ask
	// for the same, and how ill it is: more is worse. 0: it would not leave.
	Illness uint16
	// Claims are the buckets whose new connections the sender accepts or may still accept.
	Claims Bitmap
	// Lingers are the buckets that the sender handed over but still has connections in.
	Lingers Bitmap
}

// Echo tells a peer the newest of its beats that the sender has processed. An
// echo in a beat whose view contains the peer's incarnation is a promise not
// to take that peer's buckets for one L_take, unless it is withheld.
type Echo struct {
	Ref
	Seq uint64
	// Withheld: no promise yet. The sender was, a moment ago, ready to see this
	// peer's buckets taken by others.
	Withheld bool
	// Mutual: the sender finds this peer mutual (each echoes the other within a lease),
	// and shares with it.
	Mutual bool
	// Silent: the sender has heard nothing from this peer for L_take (awake time).
	Silent bool
	// Second: the sender hears this peer, but not by the service path.
	Second bool
	// Held: the promise is for the echoed beat's Hold, not for its Lease. The sender
	// has made sure that a restart of its own daemon does not forget it.
	Held bool
}

// Recipient is a node that a beat is sent to by unicast.
type Recipient struct {
	Name    string
	Address string // its own, by its own word
}

// Beat is one heartbeat. It is immutable once made: the sender, the
// simulator and several receivers may share it.
type Beat struct {
	From Ref
	// Host tells two hosts with one name apart: it stays over restarts of one host.
	Host  uint64
	Seq   uint64 // from 1, rising by one per beat of an incarnation
	View  View
	Stage Stage
	Flags Flags
	Pools []PoolBeat
	Echo  []Echo // sorted by name
	Pins  PinNews
	// Orders to other nodes that are not answered yet, by ID; Answers to theirs.
	Orders  []SentOrder
	Answers []OrderAnswer
	// Lease is how long the sender may own after a promise to this beat, or for how
	// long it still may by earlier ones, if that is longer. Peers wait accordingly, so that
	// nodes with different timing stay safe.
	Lease time.Duration
	// Asks is the lease that the sender is configured with. All go by the longest.
	Asks time.Duration
	// Expected is of how many nodes the sender counts a majority (QuorumMajority), or 0.
	// Nodes that count differently do not share.
	Expected uint16
	// Hold is for how long the sender asks to be promised instead, 0 for no longer
	// than Lease: somebody's daemon restarts (hold.go).
	Hold time.Duration

	// Sees are what outside is not well from here: signs such as "gateway", and then their
	// targets, "gateway 192.0.2.1".
	Sees []string

	// For people, not for the protocol.
	Address string // the node's own address, "" if it has none
	Health  []string
}

// PoolConfig is what the state machine needs to know of a pool.
type PoolConfig struct {
	Name        string
	Buckets     uint32 // 2 … 65536
	Fingerprint uint64
	Addresses   uint64
	Weight      uint16 // 0 … MaxWeight, or NoShare
	Waits       bool   // begins with a share of 0 %, until SetHealth gives it another
	Spread      Spread
	Preempt     bool   // with SpreadSingle: a higher priority takes over from whom is active
	Priority    uint16 // with SpreadSingle: 0 … 1000
}

// Config of one node. Pools are sorted by name.
type Config struct {
	Self          Ref
	Host          uint64
	Address       string
	Pools         []PoolConfig
	Interval      time.Duration // between beats
	Lease         time.Duration // L; at least 3 intervals. All go by the longest that is asked for
	Quorum        Quorum
	ExpectedNodes int        // with QuorumMajority: 1 … 64
	Seed          uint64     // of the jitter
	Pins          []PinOrder // what an earlier start knew (SavePins)
	// Promised is until when an earlier start may have promised to hold another
	// node's buckets (Remember). This one joins no view before.
	Promised Time
}

// BucketState is what the datapath does with a bucket. The values are the
// datapath's own.
type BucketState uint8

const (
	Foreign BucketState = iota
	Mine
	Lingering
	Contested
)

var bucketStateNames = [...]string{"foreign", "mine", "lingering", "contested"}

func (s BucketState) String() string {
	if int(s) < len(bucketStateNames) {
		return bucketStateNames[s]
	}
	return "unknown"
}

// Event is what happens to a node; Effect is what it asks of the world.
type (
	Event  interface{ event() }
	Effect interface{ effect() }
)

type (
	// Wake: the time asked for by WakeAt has come (or any other time: harmless).
	Wake struct{}
	// BeatReceived: an authenticated beat of this cluster, handed over when it is processed.
	BeatReceived struct {
		Beat *Beat
		Path Path // by which it came
	}
	// FramesSeen: the interface has received frames (of any kind) since the daemon last looked,
	// and no beat among them.
	FramesSeen struct{}
	// TrafficSeen: and packets for a shared address among them, beats aside. Nobody
	// needs to look for them but while Node.InDoubt.
	TrafficSeen struct{}
	// Reconfigure changes pools and timing while the node runs. Pools is as in Config, and
	// places in it are those of all later effects and events. A pool that is new owns
	// nothing before a new view. One that is to go gets the weight NoShare first, and is
	// left out when Settled; the datapath must have dropped it before this event.
	Reconfigure struct {
		Pools           []PoolConfig
		Interval, Lease time.Duration
	}
	// SetWeights replaces the node's configured weight in every pool (0 … MaxWeight, or NoShare).
	SetWeights struct{ Weights []uint16 }
	// SetHealth is what this node's health makes of its weights, and what it tells the others of it.
	SetHealth struct {
		Shares  []uint16   // in every pool: the percentage of the weight that it carries, or SameShare
		Illness []uint16   // in every pool, as in PoolBeat
		Sees    []string   // as in Beat
		Lines   []string   // for people
		Why     [][]string // in every pool: what the share is for, the worst first, empty if all is well
		Blame   []string   // in every pool: what Why makes the cause of what; another one is told
	}
	// Drain hands over everything, by an order that has been accepted before. Timeout is as in Order.
	// Last: nobody else served then, so the node serves until another does.
	Drain struct {
		Reason  string
		Timeout time.Duration
		Last    bool
	}
	// Resume ends a drain: the node takes part again.
	Resume struct{}
	// Retire hands over everything because the daemon is to end. There is no way back: no
	// order is obeyed any more that says what the node carries.
	Retire struct{ Reason string }
	// Unfit: this host cannot serve, for the reason given; "" is that it can again. The
	// node hands over as in a drain, and serves on if nobody else can.
	Unfit struct{ Why string }
	// Live tells which lingering buckets of a pool still have connections; the others stop lingering.
	Live struct {
		Pool    int
		Buckets Bitmap
	}
	// Hold: the daemon is to restart. Held or NotHeld answers.
	Hold struct{}
	// Unhold: it does not restart after all.
	Unhold struct{}
	// Remembered: what Remember asked for is done.
	Remembered struct{ Until Time }
	// Stop: clear the datapath and say goodbye. The node does nothing after it.
	Stop struct{}
)

func (Wake) event()         {}
func (BeatReceived) event() {}
func (FramesSeen) event()   {}
func (TrafficSeen) event()  {}
func (SetWeights) event()   {}
func (Reconfigure) event()  {}
func (SetHealth) event()    {}
func (Drain) event()        {}
func (Resume) event()       {}
func (Retire) event()       {}
func (Unfit) event()        {}
func (Live) event()         {}
func (Hold) event()         {}
func (Unhold) event()       {}
func (Remembered) event()   {}
func (Stop) event()         {}

// Effects are carried out in the order given; a Send is never carried out
// before a SetTable that precedes it has taken effect in the datapath.
type (
	// SetTable replaces one pool's table in the datapath. States is owned by the receiver.
	SetTable struct {
		Pool   int
		States []BucketState
	}
	// RenewLease: the datapath may accept until Until (this node's clock). Earlier than the
	// lease before it only after a restart or a bar; 0: expire at once.
	RenewLease struct{ Until Time }
	// Send broadcasts the beat to all nodes, by all paths there are, and sends it
	// to each of Direct by unicast as well.
	Send struct {
		Beat   *Beat
		Direct []Recipient
	}
	// SetIncarnation: from the next Send on this node speaks as a later incarnation.
	// Another host used its name, under one that peers hold for the newer.
	SetIncarnation struct{ Incarnation uint64 }
	// Remember: the next start of this host's daemon must know that this one promised
	// something until Until (Config.Promised), however this one ends. Remembered answers.
	Remember struct{ Until Time }
	// Held answers Hold: the peers hold what this node owns, and its datapath goes on
	// without it, until Until. Then a Snapshot may be taken, and the daemon end.
	Held struct{ Until Time }
	// NotHeld answers Hold: the daemon must go on.
	NotHeld struct{ Why string }
	// Replay: this host may give itself the SYNs that it dropped in these buckets since a
	// time. Their owner is dead and has not answered them.
	Replay struct {
		Pool    int
		Buckets Bitmap
		Since   Time
	}
	// Resend: a peer has begun to accept these buckets, which this node handed over. The SYNs
	// that this host dropped in them since a time, lingering, may be sent to it.
	Resend struct {
		Pool    int
		Buckets Bitmap
		Since   Time
	}
	// WakeAt asks for a Wake at At, replacing any earlier wish.
	WakeAt struct{ At Time }
	// Note is a change that a person can read afterwards.
	Note struct {
		Kind  NoteKind
		Node  string // whom it is about, "" for the node itself
		View  ViewID // in which view, zero if none
		Text  string // one line in plain words
		Moved int    // buckets gained (+) or given away (-), if any
	}
)

func (SetTable) effect()       {}
func (RenewLease) effect()     {}
func (Send) effect()           {}
func (SetIncarnation) effect() {}
func (Remember) effect()       {}
func (Held) effect()           {}
func (NotHeld) effect()        {}
func (Replay) effect()         {}
func (Resend) effect()         {}
func (WakeAt) effect()         {}
func (Note) effect()           {}

// NoteKind says what a Note is about.
type NoteKind uint8

const (
	NotePeerHeard        NoteKind = iota // a peer is heard (again), or restarted
	NotePeerSilent                       // a peer has been silent for L_take
	NotePeerLeft                         // a peer said goodbye
	NotePeerIncompatible                 // a peer's configuration of a pool differs
	NoteDuplicateName                    // another host uses this node's name
	NoteViewProposed
	NoteViewJoined
	NoteViewCleared
	NoteViewActive
	NoteLeaseLost
	NoteStandby
	NoteDeaf
	NoteDrain
	NoteResume
	NoteWeight
	NoteLingering // stopped lingering on something
	NoteStopped
	NotePins     // an operator pinned buckets, or took pins off
	NoteOrder    // an order for another node, or from one
	NotePinsLost // of two such orders, neither of whose writers knew of the other, one is lost
	NoteReload   // the configuration was changed
	NoteHold     // the daemon restarts, or has
	NotePeerHold // a peer's does
	NoteReplay   // SYNs were sent again that nobody had answered
	NoteHealth   // what this node's health makes of its weight, or that it serves on although ill
	NotePeerHealth
)

var noteKindNames = [...]string{
	"peer-heard", "peer-silent", "peer-left", "peer-incompatible", "duplicate-name",
	"view-proposed", "view-joined", "view-cleared", "view-active", "lease-lost",
	"standby", "deaf", "drain", "resume", "weight", "lingering", "stopped", "pins", "order", "pins-lost", "reload", "hold", "peer-hold", "replay",
	"health", "peer-health",
}

func (k NoteKind) String() string {
	if int(k) < len(noteKindNames) {
		return noteKindNames[k]
	}
	return "unknown"
}
