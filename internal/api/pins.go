package api

import "time"

// PinsRequest orders that buckets belong to a node, or takes pins off.
type PinsRequest struct {
	Pool    string `json:"pool,omitempty"` // may be left out where there is one
	Buckets string `json:"buckets"`        // "0-63,80"
	// Node is whom they are pinned to, or whose pins are taken off. "": the one
	// that is asked.
	Node    string `json:"node,omitempty"`
	Release bool   `json:"release,omitempty"` // take the pins off
	Present bool   `json:"present,omitempty"` // refuse if the node is not there, and return when it knows
	Force   bool   `json:"force,omitempty"`   // although nobody has heard of such a node
}

// PinsDone tells what was ordered.
type PinsDone struct {
	Pool    string `json:"pool"`
	Node    string `json:"node"`
	Buckets int    `json:"buckets"` // how many
}

// LostPins are pins that lost against others: two operators spoke about the same
// buckets, neither knowing of the other. They are told of until somebody speaks
// about the buckets again, or the daemon starts anew.
type LostPins struct {
	Buckets string    `json:"buckets"`
	Node    string    `json:"node"` // whom they were pinned to, "" if the pins were taken off
	By      string    `json:"by"`   // where that was ordered
	At      time.Time `json:"at"`
	// What holds instead.
	HoldsNode string    `json:"holds_node"`
	HoldsBy   string    `json:"holds_by"`
	HoldsAt   time.Time `json:"holds_at"`
}
