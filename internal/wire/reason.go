package wire

import "sync/atomic"

// Reason says what Open made of a payload. All but ReasonAccepted and
// ReasonIncomplete mean that the payload was dropped.
type Reason uint8

const (
	// ReasonAccepted: the payload completed a beat.
	ReasonAccepted Reason = iota
	// ReasonIncomplete: a good part of a beat whose other parts are missing so far.
	ReasonIncomplete
	// ReasonTooShort: ends before its header or its seal does.
	ReasonTooShort
	// ReasonOversized: longer than MaxPart, which no sender makes.
	ReasonOversized
	// ReasonBadMagic: not rota's.
	ReasonBadMagic
	// ReasonUnknownVersion: rota's, in a version this node does not speak.
	ReasonUnknownVersion
	// ReasonOtherCluster: of a cluster with another name on the same segment.
	ReasonOtherCluster
	// ReasonBadHeader: a name or a part number that no sender writes.
	ReasonBadHeader
	// ReasonReflected: this node's own incarnation coming back.
	ReasonReflected
	// ReasonUnknownKey: of this cluster by its name, sealed with a key this node does not have.
	ReasonUnknownKey
	// ReasonForged: the seal does not fit.
	ReasonForged
	// ReasonTooManySenders: authentic, but MaxSenders others were heard lately.
	ReasonTooManySenders
	// ReasonStale: authentic, of an earlier incarnation than the newest one heard.
	ReasonStale
	// ReasonReplayed: authentic, not newer than what was already received.
	ReasonReplayed
	// ReasonPartMismatch: authentic, but its beat began with another number of parts.
	ReasonPartMismatch
	// ReasonMalformed: authentic, but what is inside breaks the format's bounds.
	ReasonMalformed

	// Reasons is how many there are.
	Reasons = iota
)

var reasonNames = [Reasons]string{
	"accepted", "incomplete", "too-short", "oversized", "bad-magic", "unknown-version",
	"other-cluster", "bad-header", "reflected", "unknown-key", "forged", "too-many-senders",
	"stale", "replayed", "part-mismatch", "malformed",
}

// String is the reason's name in logs, status and metrics.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "unknown"
}

// Dropped tells whether the payload was of no use.
func (r Reason) Dropped() bool { return r > ReasonIncomplete }

// Counts holds how many payloads met each Reason.
type Counts [Reasons]uint64

// counters may be read while the Opener works.
type counters [Reasons]atomic.Uint64

func (c *counters) snapshot() (s Counts) {
	for i := range c {
		s[i] = c[i].Load()
	}
	return s
}
