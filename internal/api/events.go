package api

import "time"

// Event is a change that a person can read afterwards.
type Event struct {
	Seq   uint64    `json:"seq"` // from 1, without gaps; a restart without a takeover goes on counting
	Time  time.Time `json:"time"`
	Kind  string    `json:"kind"`
	Node  string    `json:"node"` // whom it is about
	View  string    `json:"view,omitempty"`
	Text  string    `json:"text"`            // one line in plain words
	Moved int       `json:"moved,omitempty"` // buckets gained (+) or given away (-)
	// Finding is what the check or sign said then, in events of the kinds check and sign.
	Finding *Finding `json:"finding,omitempty"`
}
