package wire

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

func TestSealRefusesWhatOpenWouldRefuse(t *testing.T) {
	many := func(n int) []ownership.PoolBeat {
		pools := make([]ownership.PoolBeat, n)
		for i := range pools {
			pools[i].Name = fmt.Sprintf("pool-%02d", i)
		}
		return pools
	}
	rows := []struct {
		name   string
		change func(*ownership.Beat)
		is     error
	}{
		{"another sender", func(b *ownership.Beat) { b.From = peerRef }, nil},
		{"sequence number 0", func(b *ownership.Beat) { b.Seq = 0 }, ErrSequence},
		{"a negative lease", func(b *ownership.Beat) { b.Lease = -1 }, nil},
		{"a negative hold", func(b *ownership.Beat) { b.Hold = -1 }, nil},
		{"a hold for hours", func(b *ownership.Beat) { b.Hold = ownership.MaxHold + 1 }, nil},
		{"an unknown stage", func(b *ownership.Beat) { b.Stage = ownership.StageActive + 1 }, nil},
		{"a view without a number", func(b *ownership.Beat) { b.View.ID.Number = 0 }, nil},
		{"a view without members", func(b *ownership.Beat) { b.View.Members = nil }, nil},
		{"a view without a proposer", func(b *ownership.Beat) { b.View.ID.Proposer.Name = "" }, nil},
		{"a member without a name", func(b *ownership.Beat) { b.View.Members[0].Name = "" }, nil},
		{"members out of order", func(b *ownership.Beat) { slices.Reverse(b.View.Members) }, nil},
		{"one member twice", func(b *ownership.Beat) { b.View.Members[1] = b.View.Members[0] }, nil},
		{"a member's weight", func(b *ownership.Beat) { b.View.Members[0].Weights[0] = 1001 }, nil},
		{"too many weights", func(b *ownership.Beat) { b.View.Members[0].Weights = make([]uint16, 4) }, nil},
		{"too few weights", func(b *ownership.Beat) { b.View.Members[0].Weights = make([]uint16, 2) }, nil},
		{"a view's pools out of order", func(b *ownership.Beat) { slices.Reverse(b.View.Pools) }, nil},
		{"a view's pool without a name", func(b *ownership.Beat) { b.View.Pools[0] = "" }, nil},
		{"too many expected nodes", func(b *ownership.Beat) { b.Expected = ownership.MaxNodes + 1 }, nil},
		{"too many members", func(b *ownership.Beat) { b.View.Members = plainBeat(65).View.Members }, nil},
		{"pins out of order", func(b *ownership.Beat) { slices.Reverse(b.View.Pins) }, nil},
		{"two pins on one bucket", func(b *ownership.Beat) { b.View.Pins[1] = b.View.Pins[0] }, nil},
		{"a pin beyond the buckets", func(b *ownership.Beat) { b.View.Pins[3].Bucket = maxBuckets }, nil},
		{"a pin beyond the pools", func(b *ownership.Beat) { b.View.Pins[3].Pool = 3 }, nil},
		{"active nodes out of order", func(b *ownership.Beat) { slices.Reverse(b.View.Actives) }, nil},
		{"two active nodes of one pool", func(b *ownership.Beat) { b.View.Actives[1].Pool = 0 }, nil},
		{"an active node beyond the pools", func(b *ownership.Beat) { b.View.Actives[1].Pool = 3 }, nil},
		{"an active node without a name", func(b *ownership.Beat) { b.View.Actives[0].Node = "" }, nil},
		{"a pin to nobody", func(b *ownership.Beat) { b.View.Pins[0].Node = "" }, nil},
		{"too many pools", func(b *ownership.Beat) { b.Pools = many(ownership.MaxPools + 1) }, nil},
		{"pools out of order", func(b *ownership.Beat) { slices.Reverse(b.Pools) }, nil},
		{"a pool without a name", func(b *ownership.Beat) { b.Pools[0].Name = "" }, nil},
		{"a pool whose name has a space", func(b *ownership.Beat) { b.Pools[0].Name = "a b" }, nil},
		{"a pool whose name is not UTF-8", func(b *ownership.Beat) { b.Pools[0].Name = "a\xff" }, nil},
		{"a pool's weight", func(b *ownership.Beat) { b.Pools[0].Weight = 1001 }, nil},
		{"a pool's priority", func(b *ownership.Beat) { b.Pools[0].Priority = 1001 }, nil},
		{"a claim beyond the buckets", func(b *ownership.Beat) {
			b.Pools[0].Claims = ownership.NewBitmap(maxBuckets + 64)
			b.Pools[0].Claims.Set(maxBuckets)
		}, nil},
		{"echoes out of order", func(b *ownership.Beat) { slices.Reverse(b.Echo) }, nil},
		{"an echo of nobody", func(b *ownership.Beat) { b.Echo[0].Name = "" }, nil},
		{"an order without a number", func(b *ownership.Beat) { b.Orders[0].ID = 0 }, nil},
		{"orders out of order", func(b *ownership.Beat) { slices.Reverse(b.Orders) }, nil},
		{"an order of a weight too much", func(b *ownership.Beat) { b.Orders[2].Weight = 1001 }, nil},
		{"an order that ends before it begins", func(b *ownership.Beat) { b.Orders[1].Timeout = -1 }, nil},
		{"an order to a node whose name has a space", func(b *ownership.Beat) { b.Orders[1].To.Name = "a b" }, nil},
		{"too many answers", func(b *ownership.Beat) { b.Answers = slices.Repeat(b.Answers, ownership.MaxOrders) }, nil},
		{"an answer to nobody", func(b *ownership.Beat) { b.Answers[0].To.Name = "" }, nil},
		{"an answer to no order", func(b *ownership.Beat) { b.Answers[0].ID = 0 }, nil},
		{"pins of no pool", func(b *ownership.Beat) { b.Pins.Orders[0].Pool = "" }, nil},
		{"pins to a node whose name has a space", func(b *ownership.Beat) { b.Pins.Orders[0].Node = "a b" }, nil},
		{"pins by nobody", func(b *ownership.Beat) { b.Pins.Orders[0].Version.Writer.Name = "" }, nil},
		{"pins over those of a node whose name has a space", func(b *ownership.Beat) { b.Pins.Orders[0].Over.Writer.Name = "a b" }, nil},
		{"pins of no version", func(b *ownership.Beat) { b.Pins.Orders[1].Version.Counter = 0 }, nil},
		{"pins after which no other version can come", func(b *ownership.Beat) { b.Pins.Orders[0].Version.Counter = ownership.MaxPinCounter + 1 }, nil},
		{"pins that replace a later version", func(b *ownership.Beat) { b.Pins.Orders[0].Over.Counter = 301 }, nil},
		{"pins of a time before times", func(b *ownership.Beat) { b.Pins.Orders[0].At = -1 }, nil},
		{"pins of no bucket", func(b *ownership.Beat) { b.Pins.Orders[0].Buckets = nil }, nil},
		{"pins whose buckets are out of order", func(b *ownership.Beat) { b.Pins.Orders[0].Buckets = []uint32{2, 1} }, nil},
		{"pins of a bucket too high", func(b *ownership.Beat) { b.Pins.Orders[1].Buckets[0] = maxBuckets }, nil},
		{"too many orders about pins", func(b *ownership.Beat) {
			b.Pins.Orders = slices.Repeat(b.Pins.Orders[:1], maxPinOrders+1)
		}, nil},
		{"too many echoes", func(b *ownership.Beat) { b.Echo = plainBeat(66).Echo }, nil},
		{"more than fits", func(b *ownership.Beat) {
			b.Pools = many(ownership.MaxPools)
			for i := range b.Pools {
				b.Pools[i].Claims = ownership.NewBitmap(maxBuckets)
				for bucket := uint32(0); bucket < maxBuckets; bucket += 2 {
					b.Pools[i].Claims.Set(bucket)
				}
			}
		}, ErrTooLarge},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := fullBeat()
			row.change(b)
			parts, err := mustSealer(t, selfRef).Seal(b)
			if err == nil {
				t.Fatalf("sealed in %d parts", len(parts))
			}
			if row.is != nil && !errors.Is(err, row.is) {
				t.Errorf("got %v, want %v", err, row.is)
			}
		})
	}
}

func TestTextForPeopleNeverStopsABeat(t *testing.T) {
	s, o := mustSealer(t, peerRef), mustOpener(t)
	b := plainBeat(1)
	b.Address = "192.0.2.1\n"
	long := make([]byte, 2*maxCause)
	for i := range long {
		long[i] = "é"[i%2]
	}
	b.Health = append([]string{"tab\tand \xff byte", string(long)}, make([]string, 2*maxHealth)...)
	got, reason := o.Open(mustSeal(t, s, b, 1)[0])
	if reason != ReasonAccepted {
		t.Fatal(reason)
	}
	want := []string{"tab and \ufffd byte", string(long[:maxCause-len(cutOff)-1]) + cutOff}
	if got.Address != "192.0.2.1 " || !reflect.DeepEqual(got.Health, want) {
		t.Errorf("got %q, %q", got.Address, got.Health)
	}
}

// As many of everything as there may be, under names of the greatest length, and all in a form that
// cannot be shortened: buckets and pins lie scattered, and every pool is a single one.
func TestTheLongestNamesFit(t *testing.T) {
	name := func(kind string, i int) string { return fmt.Sprintf("%s-%0*d", kind, MaxName-len(kind)-1, i) }
	self := ownership.Ref{Name: name("node", 0), Incarnation: 1<<63 + 1}
	b := &ownership.Beat{
		From: self, Host: 1<<63 + 1, Seq: 1<<63 + 1, Stage: ownership.StageActive, Flags: 255,
		View:  ownership.View{ID: ownership.ViewID{Number: 1<<63 + 1, Proposer: self}},
		Lease: time.Hour, Asks: time.Hour, Hold: ownership.MaxHold, Expected: ownership.MaxNodes,
		Address: "2001:db8:1111:2222:3333:4444:5555:6666", Pins: ownership.PinNews{Digest: 1<<63 + 1},
	}
	for i := range ownership.MaxViewPools {
		b.View.Pools = append(b.View.Pools, name("pool", i))
		b.View.Actives = append(b.View.Actives, ownership.Active{Pool: uint16(i), Node: name("node", i%ownership.MaxNodes)})
	}
	for i := range ownership.MaxNodes {
		ref := ownership.Ref{Name: name("node", i), Incarnation: 1<<63 + 1}
		b.View.Members = append(b.View.Members, ownership.Member{Ref: ref, Weights: slices.Repeat([]uint16{1000}, ownership.MaxViewPools)})
		if i > 0 {
			b.Echo = append(b.Echo, ownership.Echo{Ref: ref, Seq: 1<<63 + 1, Mutual: true, Held: true, Second: true})
		}
	}
	const each = maxBuckets / ownership.MaxPools
	scattered := ownership.NewBitmap(each)
	for i := range scattered {
		scattered[i] = 0x5555555555555555
	}
	for i := range ownership.MaxPools {
		b.Pools = append(b.Pools, ownership.PoolBeat{
			Name: name("pool", i), Fingerprint: 1<<63 + 1, Addresses: 1<<63 + 1, Weight: 1000, Priority: 1000,
			Claims: scattered, Lingers: scattered, Spread: ownership.SpreadSingle, Preempt: true, Illness: 1000,
		})
	}
	// Three nodes have every bucket of a pool in turn, others one each of the next pool, as long as there is room.
	for i := range uint32(maxBuckets - 512) {
		b.View.Pins = append(b.View.Pins, ownership.Pin{Bucket: i, Node: name("node", int(i%3))})
	}
	for i := range (ownership.PinRoom - 3*(8+MaxName+8+maxBuckets/8)) / (8 + MaxName + 8 + 1) {
		b.View.Pins = append(b.View.Pins, ownership.Pin{Pool: 1, Bucket: uint32(i), Node: name("node", 3+i)})
	}
	for i := range ownership.MaxOrders {
		to, why := ownership.Ref{Name: name("node", i), Incarnation: 1<<63 + 1}, strings.Repeat("x", maxWhy)
		b.Orders = append(b.Orders, ownership.SentOrder{To: to, ID: uint64(i + 1), Order: ownership.Order{Kind: ownership.OrderDrain, Reason: why}})
		b.Answers = append(b.Answers, ownership.OrderAnswer{To: to, ID: uint64(i + 1), Refused: true, Why: why})
	}
	b.Health = slices.Repeat([]string{strings.Repeat("x", maxCause)}, maxHealth)
	o, got := mustOpener(t), (*ownership.Beat)(nil)
	for _, p := range mustSeal(t, mustSealer(t, self), b, b.Seq) {
		got, _ = o.Open(p)
	}
	if got == nil || !reflect.DeepEqual(got.View, normal(b).View) || !reflect.DeepEqual(got.Pools, normal(b).Pools) || !reflect.DeepEqual(got.Echo, normal(b).Echo) {
		t.Error("does not come as it was sent")
	}
}

// The largest cluster there may be, with pools of the default size and
// everything in a form that cannot be shortened.
func TestTheLargestClusterFits(t *testing.T) {
	b := plainBeat(ownership.MaxNodes)
	b.View.Pools = nil
	for i := range ownership.MaxViewPools {
		b.View.Pools = append(b.View.Pools, fmt.Sprintf("pool-%02d", i))
	}
	for i := range b.View.Members {
		b.View.Members[i].Weights = slices.Repeat([]uint16{1000}, ownership.MaxViewPools)
	}
	half := ownership.NewBitmap(4096)
	for i := range half {
		half[i] = 0x5555555555555555
	}
	pool := b.Pools[0]
	pool.Claims, pool.Lingers = half, half
	b.Pools = nil
	for i := range ownership.MaxPools {
		pool.Name = fmt.Sprintf("pool-%02d", i)
		b.Pools = append(b.Pools, pool)
	}
	s, o := mustSealer(t, peerRef), mustOpener(t)
	for range 10 * maxHealth {
		b.Health = append(b.Health, string(make([]byte, maxCause)))
	}
	var got *ownership.Beat
	for _, p := range mustSeal(t, s, b, 1) {
		got, _ = o.Open(p)
	}
	if got == nil || len(got.Pools) != ownership.MaxPools || !got.Pools[63].Lingers.Equal(half) {
		t.Fatalf("got %v", got)
	}

	// Text for people is left out where it would not fit.
	b.Pools[0].Claims = ownership.NewBitmap(maxBuckets / 2)
	for i := range b.Pools[0].Claims {
		b.Pools[0].Claims[i] = 0x5555555555555555
	}
	for _, p := range mustSeal(t, s, b, 2) {
		got, _ = o.Open(p)
	}
	if got == nil || got.Seq != 2 || got.Health != nil {
		t.Fatalf("got %v", got)
	}
}
