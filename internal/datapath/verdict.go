package datapath

// Verdict is what became of a packet, and why. The list is bpf/verdict.h's.
type Verdict uint8

// What is accepted.
const (
	// PassUntouched: not for a shared address, none of our business, not counted.
	PassUntouched Verdict = 0
	// PassBeat: a heartbeat, for the daemon.
	PassBeat Verdict = 1
	// PassNeighbour: neighbour discovery (ICMPv6 133 … 137).
	PassNeighbour Verdict = 2
	// PassMine: the bucket is mine.
	PassMine Verdict = 3
	// PassLingering: the bucket was handed over, the packet has a socket here.
	PassLingering Verdict = 4
	// PassContested: another node lingers on the bucket, the packet has a socket here.
	PassContested Verdict = 5
	// PassContestedNew: another node lingers on the bucket, the packet begins something.
	PassContestedNew Verdict = 6
	// PassAnnounced: an outgoing ARP or ND message that got the cluster's MAC.
	PassAnnounced Verdict = 7
)

// What is dropped.
const (
	// DropForeign: another node's bucket.
	DropForeign Verdict = 16
	// DropLease: no lease is in force.
	DropLease Verdict = 17
	// DropLingeringNew: the packet begins something in a bucket that was handed over.
	DropLingeringNew Verdict = 18
	// DropLingeringNoSocket: the packet goes on with what has no socket here, in a bucket that was handed over.
	DropLingeringNoSocket Verdict = 19
	// DropContestedNoSocket: the packet goes on with what has no socket here, but may have one where the bucket came from.
	DropContestedNoSocket Verdict = 20
	// DropFragment: a fragment whose first one is not known.
	DropFragment Verdict = 21
	// DropTruncated: the packet ends within its headers, or before the length that it gives.
	DropTruncated Verdict = 22
	// DropMalformed: headers that contradict themselves.
	DropMalformed Verdict = 23
	// DropExtensions: more IPv6 extension headers than the programs follow.
	DropExtensions Verdict = 24
	// DropICMPInner: an ICMP error that does not tell which flow it is about.
	DropICMPInner Verdict = 25
	// DropBeat: a heartbeat whose copy the daemon already has.
	DropBeat Verdict = 26
	// DropUnannounceable: an outgoing ARP or ND message that would bind a shared address to another MAC.
	DropUnannounceable Verdict = 27
	// DropGuard: an outgoing ARP or ND message about a shared address on an interface that does not serve it.
	DropGuard Verdict = 28
	// DropInternal: a fault of rota's own.
	DropInternal Verdict = 29
	// DropRetiring: the packet begins something, at an address that is about to go.
	DropRetiring Verdict = 30
)

// Verdicts is the room for verdicts; every Verdict is below it.
const Verdicts = 32

var verdictNames = [Verdicts]string{
	PassUntouched:         "pass-untouched",
	PassBeat:              "pass-beat",
	PassNeighbour:         "pass-neighbour",
	PassMine:              "pass-mine",
	PassLingering:         "pass-lingering",
	PassContested:         "pass-contested",
	PassContestedNew:      "pass-contested-new",
	PassAnnounced:         "pass-announced",
	DropForeign:           "drop-foreign",
	DropLease:             "drop-lease",
	DropLingeringNew:      "drop-lingering-new",
	DropLingeringNoSocket: "drop-lingering-no-socket",
	DropContestedNoSocket: "drop-contested-no-socket",
	DropFragment:          "drop-fragment",
	DropTruncated:         "drop-truncated",
	DropMalformed:         "drop-malformed",
	DropExtensions:        "drop-extensions",
	DropICMPInner:         "drop-icmp-inner",
	DropBeat:              "drop-beat",
	DropUnannounceable:    "drop-unannounceable",
	DropGuard:             "drop-guard",
	DropInternal:          "drop-internal",
	DropRetiring:          "drop-retiring",
}

func (v Verdict) String() string {
	if v < Verdicts && verdictNames[v] != "" {
		return verdictNames[v]
	}
	return "unknown"
}

// Drops tells whether the packet goes no further.
func (v Verdict) Drops() bool { return v >= DropForeign }

// AllVerdicts are the verdicts that there are, in their order.
func AllVerdicts() []Verdict {
	var all []Verdict
	for v := range Verdict(Verdicts) {
		if verdictNames[v] != "" {
			all = append(all, v)
		}
	}
	return all
}
