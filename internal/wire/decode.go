package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

var errWeights = errors.New("a member's weights are cut off")

// reader reads messages and remembers the first error; after it, it reads nothing.
type reader struct {
	memory *memory
	err    error
}

// fields yields the fields of a message in their order.
func (r *reader) fields(msg []byte) func(yield func(field) bool) {
	return func(yield func(field) bool) {
		for len(msg) > 0 && r.err == nil {
			var f field
			if f, msg, r.err = nextField(msg); r.err != nil || !yield(f) {
				return
			}
		}
	}
}

func (r *reader) uint(f field, limit uint64) uint64 {
	v, err := f.uint(limit)
	r.note(err)
	return v
}

func (r *reader) buckets(f field) ownership.Bitmap {
	m, err := r.memory.buckets(f.value)
	r.note(err)
	return m
}

func (r *reader) note(err error) {
	if r.err == nil {
		r.err = err
	}
}

// readBeat reads the body of a beat and checks it. Sender and sequence number
// come from the header. Nothing in the beat refers to body; its view may be
// one with an earlier beat's.
func readBeat(body []byte, from ownership.Ref, seq uint64, m *memory) (*ownership.Beat, error) {
	r := reader{memory: m}
	b := &ownership.Beat{From: from, Seq: seq}
	if n := count(body, beatPool, ownership.MaxPools); n > 0 {
		b.Pools = make([]ownership.PoolBeat, 0, n)
	}
	if n := count(body, beatEcho, ownership.MaxNodes); n > 0 {
		b.Echo = make([]ownership.Echo, 0, n)
	}
	for f := range r.fields(body) {
		switch f.tag {
		case beatHost:
			b.Host = r.uint(f, math.MaxUint64)
		case beatView:
			b.View = r.view(f.value)
		case beatStage:
			b.Stage = ownership.Stage(r.uint(f, math.MaxUint8))
		case beatFlags: // flags of later days beyond the eighth are passed over
			b.Flags = ownership.Flags(r.uint(f, math.MaxUint64))
		case beatPool:
			b.Pools = append(b.Pools, r.pool(f.value))
		case beatEcho:
			b.Echo = append(b.Echo, r.echo(f.value))
		case beatAddress:
			b.Address = cleanText(string(f.value))
		case beatHealth:
			if len(b.Health) < maxHealth && len(f.value) > 0 {
				b.Health = append(b.Health, cleanTextTo(string(f.value), maxCause))
			}
		case beatLease:
			b.Lease = time.Duration(r.uint(f, math.MaxInt64))
		case beatAsks:
			b.Asks = time.Duration(r.uint(f, math.MaxInt64))
		case beatExpected:
			b.Expected = uint16(r.uint(f, ownership.MaxNodes))
		case beatOrder:
			b.Orders = append(b.Orders, r.order(f.value))
		case beatAnswer:
			b.Answers = append(b.Answers, r.answer(f.value))
		case beatSees:
			if len(b.Sees) < maxSees && len(f.value) > 0 {
				b.Sees = append(b.Sees, cleanText(string(f.value)))
			}
		case beatPins:
			b.Pins = r.pinNews(f.value)
		case beatHold:
			b.Hold = time.Duration(r.uint(f, math.MaxInt64))
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if err := checkBeat(b); err != nil {
		return nil, err
	}
	return b, nil
}

func (r *reader) view(msg []byte) ownership.View {
	if v, ok := r.memory.knownView(msg); ok {
		return v
	}
	v := r.newView(msg)
	r.note(checkView(&v))
	if r.err == nil {
		r.memory.keepView(msg, v)
	}
	return v
}

func (r *reader) newView(msg []byte) (v ownership.View) {
	if n := count(msg, viewMember, ownership.MaxNodes); n > 0 {
		v.Members = make([]ownership.Member, 0, n)
	}
	if n := count(msg, viewPool, ownership.MaxViewPools); n > 0 {
		v.Pools = make([]string, 0, n)
	}
	for f := range r.fields(msg) {
		switch f.tag {
		case viewNumber:
			v.ID.Number = r.uint(f, math.MaxUint64)
		case viewProposer:
			v.ID.Proposer.Name = r.memory.name(f.value)
		case viewIncarnation:
			v.ID.Proposer.Incarnation = r.uint(f, math.MaxUint64)
		case viewPool:
			v.Pools = append(v.Pools, r.memory.name(f.value))
		case viewMember:
			v.Members = append(v.Members, r.member(f.value))
		case viewPins:
			v.Pins = r.pins(v.Pins, f.value)
		case viewActives:
			v.Actives = append(v.Actives, r.active(f.value))
		}
	}
	slices.SortFunc(v.Pins, comparePins)
	return v
}

func (r *reader) member(msg []byte) (m ownership.Member) {
	for f := range r.fields(msg) {
		switch f.tag {
		case memberName:
			m.Name = r.memory.name(f.value)
		case memberIncarnation:
			m.Incarnation = r.uint(f, math.MaxUint64)
		case memberWeights:
			m.Weights = r.weights(f.value)
		}
	}
	return m
}

func (r *reader) weights(raw []byte) []uint16 {
	if len(raw)%2 != 0 || len(raw) > 2*ownership.MaxViewPools {
		r.note(errWeights)
		return nil
	}
	weights := make([]uint16, len(raw)/2)
	for i := range weights {
		weights[i] = binary.BigEndian.Uint16(raw[2*i:])
	}
	return weights
}

// pins adds the pins of one pool and node, in the order of their buckets.
func (r *reader) pins(pins []ownership.Pin, msg []byte) []ownership.Pin {
	var pool uint16
	var node string
	var set ownership.Bitmap
	for f := range r.fields(msg) {
		switch f.tag {
		case pinsPool:
			pool = uint16(r.uint(f, ownership.MaxViewPools-1))
		case pinsNode:
			node = r.memory.name(f.value)
		case pinsBuckets:
			set = r.buckets(f)
		}
	}
	if len(pins)+set.Count() > maxPins {
		r.note(errPins)
		return pins
	}
	end := 64 * len(set)
	for b := nextBit(set, 0, 0); b < end; b = nextBit(set, b+1, 0) {
		pins = append(pins, ownership.Pin{Pool: pool, Bucket: uint32(b), Node: node})
	}
	return pins
}

func (r *reader) active(msg []byte) (a ownership.Active) {
	for f := range r.fields(msg) {
		switch f.tag {
		case activePool:
			a.Pool = uint16(r.uint(f, ownership.MaxViewPools-1))
		case activeNode:
			a.Node = r.memory.name(f.value)
		}
	}
	return a
}

func (r *reader) pool(msg []byte) (p ownership.PoolBeat) {
	for f := range r.fields(msg) {
		switch f.tag {
		case poolName:
			p.Name = r.memory.name(f.value)
		case poolFingerprint:
			p.Fingerprint = r.uint(f, math.MaxUint64)
		case poolAddresses:
			p.Addresses = r.uint(f, math.MaxUint64)
		case poolWeight:
			p.Weight = uint16(r.uint(f, math.MaxUint16))
		case poolIllness:
			p.Illness = uint16(r.uint(f, math.MaxUint16))
		case poolClaims:
			p.Claims = r.buckets(f)
		case poolLingers:
			p.Lingers = r.buckets(f)
		case poolPriority:
			p.Priority = uint16(r.uint(f, math.MaxUint16))
		case poolSpread:
			if how := r.uint(f, spreadPreempt); how != spreadEven {
				p.Spread, p.Preempt = ownership.SpreadSingle, how == spreadPreempt
			}
		}
	}
	return p
}

func (r *reader) echo(msg []byte) (e ownership.Echo) {
	for f := range r.fields(msg) {
		switch f.tag {
		case echoName:
			e.Name = r.memory.name(f.value)
		case echoIncarnation:
			e.Incarnation = r.uint(f, math.MaxUint64)
		case echoSeq:
			e.Seq = r.uint(f, math.MaxUint64)
		case echoFlags:
			flags := r.uint(f, math.MaxUint64)
			e.Mutual = flags&echoMutual != 0
			e.Silent = flags&echoSilent != 0
			e.Withheld = flags&echoWithheld != 0
			e.Second = flags&echoSecond != 0
			e.Held = flags&echoHeld != 0
		}
	}
	return e
}
