package api

import "time"

// Status is a snapshot of one node and what it knows of the others. Fields
// are added over time, never renamed.
type Status struct {
	Cluster string    `json:"cluster"`
	Node    string    `json:"node"`
	State   State     `json:"state"`
	Since   time.Time `json:"since"`   // when State began
	Now     time.Time `json:"now"`     // of the snapshot
	Started time.Time `json:"started"` // of the daemon
	Version string    `json:"version"` // of the daemon
	// Degraded: serving, but not as it should be; Warnings say why.
	Degraded bool      `json:"degraded"`
	Warnings []Warning `json:"warnings"`

	Drain Drain `json:"drain"`
	View  View  `json:"view"`
	// LeaseMS is how long this node may still accept if it hears nothing more; 0 if it may not.
	LeaseMS   int64     `json:"lease_ms"`
	Heartbeat Heartbeat `json:"heartbeat"`
	Quorum    string    `json:"quorum"` // none, majority
	Interface string    `json:"interface"`

	Nodes []Node `json:"nodes"` // sorted by name, this one included
	Pools []Pool `json:"pools"` // sorted by name

	// Checks and Signs are all of this node's, those that are well too.
	Checks []Finding `json:"checks"`
	Signs  []Finding `json:"signs"`
}

// State is what a node does.
type State string

// A node's own states are the first five; the others are what it says of its peers.
const (
	Joining  State = "joining"  // hears the others first; owns nothing yet
	Serving  State = "serving"  // owns its share
	Draining State = "draining" // has handed over, or is about to
	Standby  State = "standby"  // owns nothing: a better view is near
	Fenced   State = "fenced"   // its lease ran out: owns nothing until the others take it back

	Deaf         State = "deaf"         // receives no frame, or the service's network leaves it out: owns nothing
	Silent       State = "silent"       // not heard for a lease
	Left         State = "left"         // said goodbye
	Incompatible State = "incompatible" // its pools or quorum differ; nothing is shared with it
)

// Warning is something that a person should know.
type Warning struct {
	Code string `json:"code"` // stays the same, for programs: e.g. datapath-generic
	Text string `json:"text"` // one line in plain words
}

// Drain is why State is draining, or would be if the node were not fenced or standing by. Each is "" if it
// is no reason.
type Drain struct {
	Order string `json:"order"` // an operator's, in his words; rota resume ends it
	Host  string `json:"host"`  // what keeps this host from serving; it comes back by itself
	Stop  string `json:"stop"`  // the daemon stops or restarts; nothing ends that
}

// View is the agreed set of nodes.
type View struct {
	ID       string   `json:"id"`     // identifies the view on all nodes; "" if none
	Number   uint64   `json:"number"` // rises
	Proposer string   `json:"proposer"`
	Stage    string   `json:"stage"` // none, joined, ready, cleared, active
	Agreed   bool     `json:"agreed"`
	Members  []string `json:"members"`
}

// Heartbeat is the configured beat and what became of the beats.
type Heartbeat struct {
	IntervalMS float64           `json:"interval_ms"`
	LeaseMS    float64           `json:"lease_ms"`
	Sent       uint64            `json:"sent"`
	Received   uint64            `json:"received"`
	Dropped    map[string]uint64 `json:"dropped"` // by reason
	// Keys are the ids of the cluster keys whose beats are accepted. The first
	// is the one that this node seals with.
	Keys []string `json:"keys"`
	// LateMaxMS is how late the daemon came to what it had to do at a time, at worst since its
	// start; LateRecentMS in the last minute or two. Late is the histogram.
	LateMaxMS    float64   `json:"late_ms_max"`
	LateRecentMS float64   `json:"late_ms_recent"`
	Late         []LateBin `json:"late"`
	// Paths are those beside the service's, unicast last.
	Paths []Path `json:"paths"`
}

// LateBin counts the times that the daemon was late by at most UptoMS, and by more than the
// bin before; UptoMS is 0 in the last, which has no limit.
type LateBin struct {
	UptoMS float64 `json:"upto_ms"`
	Wakes  uint64  `json:"wakes"`
}

// Path is what became of beats by a path beside the service's. The numbers count
// frames (of unicast: datagrams) since the path last began to work.
type Path struct {
	Path      string `json:"path"`      // second, unicast
	Interface string `json:"interface"` // of second
	Address   string `json:"address"`   // of unicast: this node's own, "" if it has none
	Sent      uint64 `json:"sent"`
	Unsent    uint64 `json:"unsent"` // not taken by the interface, or nobody there
	Received  uint64 `json:"received"`
	Trouble   string `json:"trouble"` // why it does not work, "" if it does
}

// Finding is what a check or sign says.
type Finding struct {
	Name string `json:"name"`
	Pool string `json:"pool"` // of a check; "" of a sign, which is about all of them
	Kind string `json:"kind"` // of a check: http, tcp, …
	// Answer is measured, cannot tell, switched off or broken; waiting until the first one.
	Answer string `json:"answer"`
	Level  string `json:"level"` // ok, warn, leave
	Text   string `json:"text"`  // what was seen
	// Value and Threshold, of signs, are in Unit. Threshold is the one that the level
	// stands for, absent while it is ok. Of a broken sign Value is of what can be read, or 0.
	Value     float64   `json:"value"`
	Threshold *float64  `json:"threshold,omitempty"`
	Unit      string    `json:"unit"`
	Since     time.Time `json:"since"` // when Level began; zero before the first answer
	// HeldMS is how much longer Level stays although what is seen is good again.
	HeldMS int64     `json:"held_ms"`
	At     time.Time `json:"at"` // of the newest look
	TookMS float64   `json:"took_ms"`
	// LastError and LastErrorAt are the newest failure of a check, past or present.
	LastError   string    `json:"last_error"`
	LastErrorAt time.Time `json:"last_error_at"`
}

// Node is what this node knows of one node.
type Node struct {
	Name        string `json:"name"`
	Incarnation uint64 `json:"incarnation"`
	State       State  `json:"state"`
	Address     string `json:"address"` // its own, "" if unknown
	Weight      int    `json:"weight"`
	// Owned and Lingering count buckets of all pools, by the node's own word.
	Owned     int      `json:"owned"`
	Lingering int      `json:"lingering"`
	HeardMS   int64    `json:"heard_ms_ago"` // 0 for this node itself
	Path      string   `json:"path"`         // by which it is heard: service, second, unicast; "" if it is not
	Health    []string `json:"health"`       // what ails it, in plain words
	Self      bool     `json:"self"`
}

// Pool is one pool as this node sees it.
type Pool struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
	MAC       string   `json:"mac"`
	Hash      string   `json:"hash"`
	Buckets   uint32   `json:"buckets"`
	// Owners counts the buckets that each node accepts new connections of, by
	// its own word; they sum to Buckets when the view is agreed.
	Owners map[string]int `json:"owners"`
	// Weights are the members' weights in this pool.
	Weights map[string]int `json:"weights"`
	// Spread is even, or single: one node has the whole pool. Active is that node by the view,
	// "" for nobody or an even pool, and Because why it is. Priorities are the members'.
	Spread     string         `json:"spread"`
	Active     string         `json:"active"`
	Because    string         `json:"active_because"`
	Preempt    bool           `json:"preempt"`
	Priorities map[string]int `json:"priorities"`
	// Owned and Lingering are this node's, as numbers and ranges: "0-12,17".
	// Contested are those of Owned that another node still lingers in.
	Owned     string `json:"owned"`
	Lingering string `json:"lingering"`
	// LingeringMS is for how long at most connections in these may go on.
	LingeringMS int64 `json:"lingering_ms"`
	// LingeringConnections are the open TCP connections in these, counted every second.
	LingeringConnections int    `json:"lingering_connections"`
	Contested            string `json:"contested"`
	// Pins are the buckets that operators have pinned to each node, whether it is
	// there or not. PinsLost are those that lost against others.
	Pins     map[string]string `json:"pins"`
	PinsLost []LostPins        `json:"pins_lost"`
	// Datapath is native, generic or tc; Reason why that one.
	Datapath string `json:"datapath"`
	Reason   string `json:"datapath_reason"`
	// Verdicts counts packets by what became of them.
	Verdicts map[string]uint64 `json:"verdicts"`
	// SYNs are those that were sent again because nobody had answered them.
	SYNs Replays `json:"syns"`
	// DrainTimeoutMS is how long connections may outlive a handover.
	DrainTimeoutMS int64 `json:"drain_timeout_ms"`
}

// Replays count SYNs since the daemon's start.
type Replays struct {
	Replayed uint64 `json:"replayed"` // to this host, after a takeover
	SentOn   uint64 `json:"sent_on"`  // to the new owner, in a handover
	LeftOut  uint64 `json:"left_out"` // too many, or too late
}

// Drained tells whether nothing is left on the node: it may be switched off.
func (s *Status) Drained() bool {
	for _, p := range s.Pools {
		if p.Owned != "" || p.Lingering != "" {
			return false
		}
	}
	return s.State == Draining
}

// DrainOf tells how far another node's drain is, by what this node hears of it:
// whether nothing is left on it, and whether it serves on because nobody else can.
func (s *Status) DrainOf(node string) (state State, drained, servesOn bool) {
	for _, n := range s.Nodes {
		if n.Name == node {
			drains := n.State == Draining
			return n.State, drains && n.Owned+n.Lingering == 0, drains && n.Owned > 0 && s.View.Agreed
		}
	}
	return "", false, false
}

// ServesOn tells whether the node drains and accepts connections all the same,
// because all have agreed that nobody else can.
func (s *Status) ServesOn() bool {
	if s.State != Draining || !s.View.Agreed {
		return false
	}
	for _, p := range s.Pools {
		if p.Owned != "" {
			return true
		}
	}
	return false
}

// OwnsNothing tells whether the node takes part with weight 0 in every pool, because it
// is ill or somebody wants it so, and owns nothing.
func (s *Status) OwnsNothing() bool {
	for _, p := range s.Pools {
		if weight, member := p.Weights[s.Node]; !member || weight > 0 || p.Owned != "" {
			return false
		}
	}
	return s.State == Serving && len(s.Pools) > 0
}

// complete puts empty lists where there are none: programs expect lists, not null.
func (s *Status) complete() {
	notNil(&s.Warnings)
	notNil(&s.View.Members)
	notNil(&s.Nodes)
	notNil(&s.Checks)
	notNil(&s.Signs)
	notNil(&s.Pools)
	notNil(&s.Heartbeat.Paths)
	notNil(&s.Heartbeat.Late)
	mapNotNil(&s.Heartbeat.Dropped)
	notNil(&s.Heartbeat.Keys)
	for i := range s.Nodes {
		notNil(&s.Nodes[i].Health)
	}
	for i := range s.Pools {
		p := &s.Pools[i]
		notNil(&p.Addresses)
		mapNotNil(&p.Owners)
		mapNotNil(&p.Weights)
		mapNotNil(&p.Priorities)
		mapNotNil(&p.Verdicts)
		mapNotNil(&p.Pins)
		notNil(&p.PinsLost)
	}
}

func notNil[T any](s *[]T) {
	if *s == nil {
		*s = []T{}
	}
}

func mapNotNil[V any](m *map[string]V) {
	if *m == nil {
		*m = map[string]V{}
	}
}

// Nodes that share have not all the same: a pool, or an address in one.
const (
	WarnPoolsDiffer     = "pools-differ"
	WarnAddressesDiffer = "addresses-differ"
)

// WarnServesOn: the node drains, and accepts connections because nobody else can.
const WarnServesOn = "serves-on"

// Codes of warnings about pins.
const (
	WarnPinsLost    = "pins-lost"     // two operators said different things; PinsLost has them
	WarnPinsLeftOut = "pins-left-out" // there are more, and more scattered ones, than the nodes can tell each other
	WarnPinsUnkept  = "pins-unkept"   // the node cannot write them down
)

// WarnOwnsNothing: State is Serving, and OwnsNothing.
const WarnOwnsNothing = "owns-nothing"

// WarnNobodyWell: the node's health asks it to leave, and it serves on because no node is better.
const WarnNobodyWell = "nobody-well"

// WarnNoReplay: the kernel cannot give itself frames.
const WarnNoReplay = "no-replay"

// WarnForwarded: the host passes on connections to a shared address, and the programs cannot ask conntrack for them.
const WarnForwarded = "forwarded"

// WarnForeignAddress: somebody else has added a shared address to this host.
const WarnForeignAddress = "foreign-address"

// WarnSharedSource: connections that this host opens have a shared IPv6 address as their source.
const WarnSharedSource = "shared-source"

// WarnNoRoom: there are more nodes than expected_nodes.
const WarnNoRoom = "no-room"

// WarnNoCarrier: no frame can leave or reach the service's interface.
const WarnNoCarrier = "no-carrier"

// WarnSecondPath: an interface of heartbeat.interfaces does not work, or a peer does not come by it.
const WarnSecondPath = "second-path"

// WarnMute: this node's beats do not leave it.
const WarnMute = "mute"

// WarnWeight: the weight is another than the configuration's, by order.
const WarnWeight = "weight-ordered"

// WarnLate: the daemon ran late, by half of what its lease bears or more.
const WarnLate = "late"

// Codes of warnings that say in words what the numbers tell already.
const (
	WarnNotServing       = "not-serving"       // why State is not Serving
	WarnPeerSilent       = "peer-silent"       // a node's State is Silent
	WarnPeerIncompatible = "peer-incompatible" // a node's State is Incompatible, and its Health says why
	WarnOneWay           = "one-way"           // in a node's Health too
)
