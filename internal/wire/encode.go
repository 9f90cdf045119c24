package wire

import (
	"encoding/binary"

	"github.com/rota-cluster/rota/internal/ownership"
)

// The tags of the fields. To add one: a tag here, a line in the message's
// append function below, a line in its read function in decode.go. Sender and
// sequence number stand in the header.
const (
	beatHost     = 1  // integer
	beatView     = 2  // message
	beatStage    = 3  // integer
	beatFlags    = 4  // integer, bits
	beatPool     = 5  // message, one per pool
	beatEcho     = 6  // message, one per peer
	beatAddress  = 7  // text
	beatHealth   = 8  // text, one per line
	beatLease    = 9  // integer, nanoseconds
	beatHold     = 10 // integer, nanoseconds
	beatPins     = 11 // message, see pins.go
	beatOrder    = 12 // message, one per order, see orders.go
	beatAnswer   = 13 // message, one per answer
	beatExpected = 14 // integer
	beatAsks     = 15 // integer, nanoseconds
	beatSees     = 16 // text, one per sign and target

	viewNumber      = 1 // integer
	viewProposer    = 2 // text
	viewIncarnation = 3 // integer, the proposer's
	viewMember      = 4 // message, one per member
	viewPins        = 5 // message, one per pool and node
	viewPool        = 6 // text, one per pool
	viewActives     = 7 // message, one per pool with one owner

	memberName        = 1 // text
	memberIncarnation = 2 // integer
	memberWeights     = 3 // two bytes each, big-endian, in the order of the view's pools

	pinsPool    = 1 // integer
	pinsNode    = 2 // text
	pinsBuckets = 3 // set of buckets

	activePool = 1 // integer
	activeNode = 2 // text

	poolName        = 1 // text
	poolFingerprint = 2 // integer
	poolWeight      = 3 // integer
	poolClaims      = 4 // set of buckets
	poolLingers     = 5 // set of buckets
	poolPriority    = 6 // integer
	poolAddresses   = 7 // integer
	poolSpread      = 8 // integer
	poolIllness     = 9 // integer

	spreadEven    = 0
	spreadSingle  = 1
	spreadPreempt = 2

	echoName        = 1 // text
	echoIncarnation = 2 // integer
	echoSeq         = 3 // integer
	echoFlags       = 4 // integer, bits

	echoMutual   = 1 << 0
	echoSilent   = 1 << 1
	echoWithheld = 1 << 2
	echoSecond   = 1 << 3
	echoHeld     = 1 << 4
)

// appendBeat writes a beat that has passed checkBeat.
func appendBeat(b []byte, beat *ownership.Beat) []byte {
	return appendBeatOf(b, beat, appendView(nil, beatView, &beat.View))
}

// appendBeatOf is appendBeat for one whose view's field has been written before.
func appendBeatOf(b []byte, beat *ownership.Beat, view []byte) []byte {
	b = appendUint(b, beatHost, beat.Host)
	b = append(b, view...)
	b = appendUint(b, beatStage, uint64(beat.Stage))
	b = appendUint(b, beatFlags, uint64(beat.Flags))
	for i := range beat.Pools {
		b = appendPool(b, beatPool, &beat.Pools[i])
	}
	for i := range beat.Echo {
		b = appendEcho(b, beatEcho, &beat.Echo[i])
	}
	b = appendText(b, beatAddress, cleanText(beat.Address))
	for _, line := range beat.Health[:min(len(beat.Health), maxHealth)] {
		b = appendText(b, beatHealth, cleanTextTo(line, maxCause))
	}
	b = appendUint(b, beatLease, uint64(beat.Lease))
	b = appendUint(b, beatExpected, uint64(beat.Expected))
	b = appendUint(b, beatAsks, uint64(beat.Asks))
	b = appendUint(b, beatHold, uint64(beat.Hold))
	for _, sign := range beat.Sees[:min(len(beat.Sees), maxSees)] {
		b = appendText(b, beatSees, cleanText(sign))
	}
	b = appendPinNews(b, beatPins, &beat.Pins)
	for i := range beat.Orders {
		b = appendOrder(b, beatOrder, &beat.Orders[i])
	}
	for i := range beat.Answers {
		b = appendAnswer(b, beatAnswer, &beat.Answers[i])
	}
	return b
}

func appendView(b []byte, tag byte, v *ownership.View) []byte {
	if v.ID.Number == 0 {
		return b
	}
	b, start := open(b, tag)
	b = appendUint(b, viewNumber, v.ID.Number)
	b = appendText(b, viewProposer, v.ID.Proposer.Name)
	b = appendUint(b, viewIncarnation, v.ID.Proposer.Incarnation)
	for _, pool := range v.Pools {
		b = appendText(b, viewPool, pool)
	}
	for i := range v.Members {
		b = appendMember(b, viewMember, &v.Members[i])
	}
	b = appendPins(b, viewPins, v.Pins)
	for _, a := range v.Actives {
		b = appendActive(b, viewActives, a)
	}
	return closeAt(b, start)
}

func appendMember(b []byte, tag byte, m *ownership.Member) []byte {
	b, start := open(b, tag)
	b = appendText(b, memberName, m.Name)
	b = appendUint(b, memberIncarnation, m.Incarnation)
	if len(m.Weights) > 0 {
		var at int
		b, at = open(b, memberWeights)
		for _, w := range m.Weights {
			b = binary.BigEndian.AppendUint16(b, w)
		}
		b = closeAt(b, at)
	}
	return closeAt(b, start)
}

func appendActive(b []byte, tag byte, a ownership.Active) []byte {
	b, start := open(b, tag)
	b = appendUint(b, activePool, uint64(a.Pool))
	b = appendText(b, activeNode, a.Node)
	return closeAt(b, start)
}

func appendPool(b []byte, tag byte, p *ownership.PoolBeat) []byte {
	b, start := open(b, tag)
	b = appendText(b, poolName, p.Name)
	b = appendUint(b, poolFingerprint, p.Fingerprint)
	b = appendUint(b, poolAddresses, p.Addresses)
	b = appendUint(b, poolWeight, uint64(p.Weight))
	b = appendBuckets(b, poolClaims, p.Claims)
	b = appendBuckets(b, poolLingers, p.Lingers)
	b = appendUint(b, poolPriority, uint64(p.Priority))
	b = appendUint(b, poolSpread, spreadOf(p))
	b = appendUint(b, poolIllness, uint64(p.Illness))
	return closeAt(b, start)
}

func spreadOf(p *ownership.PoolBeat) uint64 {
	switch {
	case p.Spread != ownership.SpreadSingle:
		return spreadEven
	case p.Preempt:
		return spreadPreempt
	default:
		return spreadSingle
	}
}

func appendEcho(b []byte, tag byte, e *ownership.Echo) []byte {
	b, start := open(b, tag)
	b = appendText(b, echoName, e.Name)
	b = appendUint(b, echoIncarnation, e.Incarnation)
	b = appendUint(b, echoSeq, e.Seq)
	var flags uint64
	if e.Mutual {
		flags |= echoMutual
	}
	if e.Silent {
		flags |= echoSilent
	}
	if e.Withheld {
		flags |= echoWithheld
	}
	if e.Second {
		flags |= echoSecond
	}
	if e.Held {
		flags |= echoHeld
	}
	b = appendUint(b, echoFlags, flags)
	return closeAt(b, start)
}

// appendPins writes the pins, sorted by pool and bucket, as one set of buckets
// per pool and node: people pin ranges.
func appendPins(b []byte, tag byte, pins []ownership.Pin) []byte {
	for len(pins) > 0 {
		n := 1
		for n < len(pins) && pins[n].Pool == pins[0].Pool {
			n++
		}
		b = appendPoolPins(b, tag, pins[:n])
		pins = pins[n:]
	}
	return b
}

// appendPoolPins writes the pins of one pool, the nodes in the order of their first bucket.
func appendPoolPins(b []byte, tag byte, pins []ownership.Pin) []byte {
	room := pins[len(pins)-1].Bucket + 1
	var order []string
	sets := make(map[string]ownership.Bitmap)
	for _, p := range pins {
		set := sets[p.Node]
		if set == nil {
			set = ownership.NewBitmap(room)
			sets[p.Node] = set
			order = append(order, p.Node)
		}
		set.Set(p.Bucket)
	}
	for _, node := range order {
		var start int
		b, start = open(b, tag)
		b = appendUint(b, pinsPool, uint64(pins[0].Pool))
		b = appendText(b, pinsNode, node)
		b = appendBuckets(b, pinsBuckets, sets[node])
		b = closeAt(b, start)
	}
	return b
}
