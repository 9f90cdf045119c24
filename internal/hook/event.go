package hook

import "time"

// Event is the document that a command reads. Fields are added over time,
// never renamed.
type Event struct {
	Event string `json:"event"` // what changed, one of config.HookEvents
	// Kind says more of a peer, health or drift event, in the words of `rota events`:
	// peer-silent, peer-heard, …
	Kind    string    `json:"kind"`
	Time    time.Time `json:"time"`
	Cluster string    `json:"cluster"`
	Node    string    `json:"node"` // where the command runs
	Peer    string    `json:"peer"` // whom it is about if that is another node, else ""
	// State and StateBefore are this node's; they are equal unless that is what changed.
	State       string `json:"state"`
	StateBefore string `json:"state_before"`
	Degraded    bool   `json:"degraded"` // serves, but something is wrong
	Reason      string `json:"reason"`   // one line in plain words
	View        View   `json:"view"`
	Pools       []Pool `json:"pools"` // sorted by name
}

// View is the set of nodes that this one announces.
type View struct {
	ID      string   `json:"id"` // "" if there is none yet
	Number  uint64   `json:"number"`
	Members []string `json:"members"`
}

// Pool is this node's part in one pool, in buckets.
type Pool struct {
	Name        string   `json:"name"`
	Addresses   []string `json:"addresses"`
	Buckets     int      `json:"buckets"` // in all
	Owned       int      `json:"owned"`
	OwnedBefore int      `json:"owned_before"` // equal unless that is what changed
	Lingering   int      `json:"lingering"`
}

// environment says the most of it to commands that read no JSON.
func (e *Event) environment() []string {
	return []string{
		"ROTA_EVENT=" + e.Event, "ROTA_KIND=" + e.Kind, "ROTA_CLUSTER=" + e.Cluster, "ROTA_NODE=" + e.Node, "ROTA_PEER=" + e.Peer,
		"ROTA_STATE=" + e.State, "ROTA_STATE_BEFORE=" + e.StateBefore, "ROTA_REASON=" + e.Reason,
	}
}
