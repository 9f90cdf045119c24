package wire

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// Orders and the answers to them.
const (
	orderTo          = 1 // text; left out: to all
	orderIncarnation = 2 // integer, of the one it is for
	orderID          = 3 // integer
	orderKind        = 4 // integer
	orderWeight      = 5 // integer
	orderReason      = 6 // text
	orderTimeout     = 7 // integer, nanoseconds
	orderFlags       = 8 // integer, bits

	answerTo          = 1 // text
	answerIncarnation = 2 // integer
	answerID          = 3 // integer
	answerFlags       = 4 // integer, bits
	answerWhy         = 5 // text

	orderForce    = 1 << 0
	answerRefused = 1 << 0
)

// maxWhy is the longest reason of a refusal, in bytes; longer ones are cut.
const maxWhy = 512

func appendOrder(b []byte, tag byte, o *ownership.SentOrder) []byte {
	b, start := open(b, tag)
	b = appendText(b, orderTo, o.To.Name)
	b = appendUint(b, orderIncarnation, o.To.Incarnation)
	b = appendUint(b, orderID, o.ID)
	b = appendUint(b, orderKind, uint64(o.Kind))
	b = appendUint(b, orderWeight, uint64(o.Weight))
	b = appendText(b, orderReason, cleanText(o.Reason))
	b = appendUint(b, orderTimeout, uint64(o.Timeout))
	if o.Force {
		b = appendUint(b, orderFlags, orderForce)
	}
	return closeAt(b, start)
}

func appendAnswer(b []byte, tag byte, a *ownership.OrderAnswer) []byte {
	b, start := open(b, tag)
	b = appendText(b, answerTo, a.To.Name)
	b = appendUint(b, answerIncarnation, a.To.Incarnation)
	b = appendUint(b, answerID, a.ID)
	if a.Refused {
		b = appendUint(b, answerFlags, answerRefused)
	}
	b = appendText(b, answerWhy, cleanTextTo(a.Why, maxWhy))
	return closeAt(b, start)
}

// order reads one; a kind of a later day is left to the one whom it is for.
func (r *reader) order(msg []byte) (o ownership.SentOrder) {
	for f := range r.fields(msg) {
		switch f.tag {
		case orderTo:
			o.To.Name = r.memory.name(f.value)
		case orderIncarnation:
			o.To.Incarnation = r.uint(f, math.MaxUint64)
		case orderID:
			o.ID = r.uint(f, math.MaxUint64)
		case orderKind:
			o.Kind = ownership.OrderKind(r.uint(f, math.MaxUint8))
		case orderWeight:
			o.Weight = uint16(r.uint(f, uint64(ownership.MaxWeight)))
		case orderReason:
			o.Reason = cleanText(string(f.value))
		case orderTimeout:
			o.Timeout = time.Duration(r.uint(f, math.MaxInt64))
		case orderFlags:
			o.Force = r.uint(f, math.MaxUint64)&orderForce != 0
		}
	}
	return o
}

func (r *reader) answer(msg []byte) (a ownership.OrderAnswer) {
	for f := range r.fields(msg) {
		switch f.tag {
		case answerTo:
			a.To.Name = r.memory.name(f.value)
		case answerIncarnation:
			a.To.Incarnation = r.uint(f, math.MaxUint64)
		case answerID:
			a.ID = r.uint(f, math.MaxUint64)
		case answerFlags:
			a.Refused = r.uint(f, math.MaxUint64)&answerRefused != 0
		case answerWhy:
			a.Why = cleanTextTo(string(f.value), maxWhy)
		}
	}
	return a
}

func checkOrders(orders []ownership.SentOrder, answers []ownership.OrderAnswer) error {
	if len(orders) > ownership.MaxOrders || len(answers) > ownership.MaxOrders {
		return fmt.Errorf("beat: %d orders and %d answers, not 0 to %d", len(orders), len(answers), ownership.MaxOrders)
	}
	for i := range orders {
		o := &orders[i]
		switch {
		case o.ID == 0 || i > 0 && orders[i-1].ID >= o.ID:
			return fmt.Errorf("beat: order %d is not in its place", o.ID)
		case o.Weight > ownership.MaxWeight || o.Timeout < 0:
			return fmt.Errorf("beat: order %d: weight %d or timeout %v out of range", o.ID, o.Weight, o.Timeout)
		case o.To == ownership.Ref{}:
		case checkName(o.To.Name) != nil:
			return fmt.Errorf("beat: order %d to %q: %w", o.ID, o.To.Name, checkName(o.To.Name))
		}
	}
	for i := range answers {
		a := &answers[i]
		if a.ID == 0 {
			return errors.New("beat: an answer to no order")
		}
		if err := checkName(a.To.Name); err != nil {
			return fmt.Errorf("beat: answer to %q: %w", a.To.Name, err)
		}
	}
	return nil
}
