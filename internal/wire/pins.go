package wire

import (
	"errors"
	"fmt"
	"math"

	"github.com/rota-cluster/rota/internal/ownership"
)

// What a beat tells about pins.
const (
	newsDigest = 1 // integer
	newsOrder  = 2 // message, one per order and version that it replaced

	pinPool            = 1  // text
	pinNode            = 2  // text
	pinCounter         = 3  // integer
	pinWriter          = 4  // text
	pinIncarnation     = 5  // integer, the writer's
	pinOverCounter     = 6  // integer
	pinOverWriter      = 7  // text
	pinOverIncarnation = 8  // integer
	pinAt              = 9  // integer, Unix time in milliseconds
	pinBuckets         = 10 // set of buckets
)

// Bounds of what one beat tells about pins; the rest comes with the next ones.
const (
	maxPinOrders  = 512
	maxPinBuckets = 2 * maxBuckets // of all its orders together
)

var errPinOrders = fmt.Errorf("pins: at most %d orders about %d buckets in a beat", maxPinOrders, maxPinBuckets)

func appendPinNews(b []byte, tag byte, news *ownership.PinNews) []byte {
	if news.Digest == 0 && len(news.Orders) == 0 {
		return b
	}
	b, start := open(b, tag)
	b = appendUint(b, newsDigest, news.Digest)
	for i := range news.Orders {
		b = appendPinOrder(b, newsOrder, &news.Orders[i])
	}
	return closeAt(b, start)
}

func appendPinOrder(b []byte, tag byte, o *ownership.PinOrder) []byte {
	b, start := open(b, tag)
	b = appendText(b, pinPool, o.Pool)
	b = appendText(b, pinNode, o.Node)
	b = appendUint(b, pinCounter, o.Version.Counter)
	b = appendText(b, pinWriter, o.Version.Writer.Name)
	b = appendUint(b, pinIncarnation, o.Version.Writer.Incarnation)
	b = appendUint(b, pinOverCounter, o.Over.Counter)
	b = appendText(b, pinOverWriter, o.Over.Writer.Name)
	b = appendUint(b, pinOverIncarnation, o.Over.Writer.Incarnation)
	b = appendUint(b, pinAt, uint64(o.At))
	set := ownership.NewBitmap(o.Buckets[len(o.Buckets)-1] + 1)
	for _, bucket := range o.Buckets {
		set.Set(bucket)
	}
	b = appendBuckets(b, pinBuckets, set)
	return closeAt(b, start)
}

func (r *reader) pinNews(msg []byte) (news ownership.PinNews) {
	if n := count(msg, newsOrder, maxPinOrders); n > 0 {
		news.Orders = make([]ownership.PinOrder, 0, n)
	}
	buckets := 0
	for f := range r.fields(msg) {
		switch f.tag {
		case newsDigest:
			news.Digest = r.uint(f, math.MaxUint64)
		case newsOrder:
			o := r.pinOrder(f.value)
			if buckets += len(o.Buckets); len(news.Orders) == maxPinOrders || buckets > maxPinBuckets {
				r.note(errPinOrders)
				return news
			}
			news.Orders = append(news.Orders, o)
		}
	}
	return news
}

func (r *reader) pinOrder(msg []byte) (o ownership.PinOrder) {
	for f := range r.fields(msg) {
		switch f.tag {
		case pinPool:
			o.Pool = r.memory.name(f.value)
		case pinNode:
			o.Node = r.memory.name(f.value)
		case pinCounter:
			o.Version.Counter = r.uint(f, ownership.MaxPinCounter)
		case pinWriter:
			o.Version.Writer.Name = r.memory.name(f.value)
		case pinIncarnation:
			o.Version.Writer.Incarnation = r.uint(f, math.MaxUint64)
		case pinOverCounter:
			o.Over.Counter = r.uint(f, ownership.MaxPinCounter)
		case pinOverWriter:
			o.Over.Writer.Name = r.memory.name(f.value)
		case pinOverIncarnation:
			o.Over.Writer.Incarnation = r.uint(f, math.MaxUint64)
		case pinAt:
			o.At = int64(r.uint(f, math.MaxInt64))
		case pinBuckets:
			o.Buckets = bucketList(r.buckets(f))
		}
	}
	return o
}

// bucketList is a set as ascending numbers.
func bucketList(m ownership.Bitmap) []uint32 {
	if m.Empty() {
		return nil
	}
	list := make([]uint32, 0, m.Count())
	for b := nextBit(m, 0, 0); b < 64*len(m); b = nextBit(m, b+1, 0) {
		list = append(list, uint32(b))
	}
	return list
}

// checkPinNews holds what is told about pins to its bounds.
func checkPinNews(news *ownership.PinNews) error {
	total := 0
	for i := range news.Orders {
		o := &news.Orders[i]
		if total += len(o.Buckets); i >= maxPinOrders || total > maxPinBuckets {
			return errPinOrders
		}
		if err := checkPinOrder(o); err != nil {
			return fmt.Errorf("order about pins of pool %q: %w", o.Pool, err)
		}
	}
	return nil
}

func checkPinOrder(o *ownership.PinOrder) error {
	if err := checkName(o.Pool); err != nil {
		return err
	}
	if o.Node != "" {
		if err := checkName(o.Node); err != nil {
			return fmt.Errorf("node %q: %w", o.Node, err)
		}
	}
	if err := checkName(o.Version.Writer.Name); err != nil {
		return fmt.Errorf("writer %q: %w", o.Version.Writer.Name, err)
	}
	if o.Over.Writer.Name != "" {
		if err := checkName(o.Over.Writer.Name); err != nil {
			return fmt.Errorf("earlier writer %q: %w", o.Over.Writer.Name, err)
		}
	}
	switch {
	case o.Version.Counter == 0 || o.Version.Counter > ownership.MaxPinCounter || o.Over.Compare(o.Version) >= 0:
		return errors.New("its version does not come after the one it replaces")
	case o.At < 0:
		return errors.New("a time before 1970")
	case len(o.Buckets) == 0:
		return errors.New("no bucket")
	}
	for i, b := range o.Buckets {
		if b >= maxBuckets || i > 0 && b <= o.Buckets[i-1] {
			return fmt.Errorf("bucket %d is out of range or not in its place", b)
		}
	}
	return nil
}
