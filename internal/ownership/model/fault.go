package model

import (
	"math/bits"
	"strings"
)

// Fault is a rule of the protocol that a run leaves out. A model that cannot
// fail shows nothing, so a test asks for a violation under each of them.
type Fault uint16

// Each fault is a bit, so that they combine.
const (
	// LeaseOnSend renews the lease with each beat sent, promised on or not.
	LeaseOnSend Fault = 1 << iota
	// NoFence has a node ready in a view as soon as it adopts it.
	NoFence
	// SameViewAgain has a node whose lease ended let go, and own again under the
	// same view when a promise comes after all.
	SameViewAgain
	// KeepAfterLapse has a node not even let go when its lease ends.
	KeepAfterLapse
	// NewerPromise counts promises under views newer than the holder's own.
	NewerPromise
	// NoRelease accepts a bucket that another member still claims.
	NoRelease
	// NoStartWait forgets L_take after the own start.
	NoStartWait
	// EarlyPromise promises before L_take has passed since the own start.
	EarlyPromise
	// OldPromise counts, after a lapse, promises under the view in which the
	// node was barred and older ones.
	OldPromise
	// StickyFenced says "fenced" under a newer view too, until that is active.
	StickyFenced
	// Minority lets a single node propose a view of itself.
	Minority
	// StaleReady accepts on beats, however old, in which the members were ready.
	StaleReady
	// EarlyReturn promises at once to an owner that the view before left out.
	EarlyReturn
)

// String names the rules that are broken.
func (f Fault) String() string {
	names := [...]string{
		"lease on send", "no fence", "same view again", "keep after lapse", "newer promise", "no release",
		"no start wait", "early promise", "old promise", "sticky fenced", "minority", "stale ready", "early return",
	}
	var broken []string
	for ; f != 0; f &= f - 1 {
		broken = append(broken, names[bits.TrailingZeros16(uint16(f))])
	}
	return strings.Join(broken, ", ")
}
