package wire

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

var (
	testKey  = bytes.Repeat([]byte{0x5a}, KeyBytes)
	otherKey = bytes.Repeat([]byte{0xa5}, KeyBytes)
	selfRef  = ownership.Ref{Name: "node-a", Incarnation: 1700000000000000001}
	peerRef  = ownership.Ref{Name: "node-b", Incarnation: 1700000000000000002}
)

// salt is a source of known randomness.
func salt(b byte) *bytes.Reader { return bytes.NewReader(bytes.Repeat([]byte{b}, saltBytes)) }

// fullBeat has a value in every field that a beat has.
func fullBeat() *ownership.Beat {
	claims, lingers := ownership.NewBitmap(4096), ownership.NewBitmap(4096)
	for b := uint32(0); b < 2048; b += 3 {
		claims.Set(b)
	}
	lingers.Set(1)
	lingers.Set(4095)
	member := func(ref ownership.Ref) ownership.Member {
		return ownership.Member{Ref: ref, Weights: []uint16{100, 1000, ownership.NoShare}}
	}
	return &ownership.Beat{
		From: selfRef, Host: 0x1122334455667788, Seq: 42,
		View: ownership.View{
			ID:      ownership.ViewID{Number: 7, Proposer: peerRef},
			Pools:   []string{"mail", "web", "wiki"},
			Members: []ownership.Member{member(selfRef), member(peerRef)},
			Pins: []ownership.Pin{
				{Pool: 0, Bucket: 5, Node: "node-b"}, {Pool: 1, Bucket: 0, Node: "node-b"},
				{Pool: 1, Bucket: 1, Node: "node-a"}, {Pool: 1, Bucket: 4095, Node: "node-b"},
			},
			Actives: []ownership.Active{{Pool: 0, Node: "node-b"}, {Pool: 1, Node: "node-a"}},
		},
		Stage: ownership.StageActive,
		Flags: ownership.FlagFenced | ownership.FlagDraining,
		Pools: []ownership.PoolBeat{
			{Name: "mail", Fingerprint: 1 << 63, Addresses: 3, Weight: 1, Priority: 1, Claims: claims, Lingers: lingers},
			{
				Name: "web", Fingerprint: 2, Weight: 1000, Priority: 1000, Spread: ownership.SpreadSingle, Preempt: true, Illness: 512,
				Claims: lingers, Lingers: claims,
			},
		},
		Echo: []ownership.Echo{
			{Ref: peerRef, Seq: 41, Mutual: true, Held: true},
			{Ref: ownership.Ref{Name: "node-c", Incarnation: 3}, Seq: 1, Silent: true, Withheld: true, Second: true},
		},
		Pins: ownership.PinNews{Digest: 1 << 60, Orders: []ownership.PinOrder{
			{Pool: "web", Node: "node-b", Version: ownership.PinVersion{Counter: 300, Writer: peerRef}, At: 1795346981481,
				Over: ownership.PinVersion{Counter: 2, Writer: selfRef}, Buckets: []uint32{0, 1, 2, 3, 80}},
			{Pool: "mail", Version: ownership.PinVersion{Counter: 2, Writer: selfRef}, Buckets: []uint32{65535}},
		}},
		Orders: []ownership.SentOrder{
			{ID: 4, Order: ownership.Order{Kind: ownership.OrderStay}},
			{To: peerRef, ID: 5, Order: ownership.Order{Kind: ownership.OrderDrain, Reason: "new kernel", Timeout: time.Minute, Force: true}},
			{To: peerRef, ID: 6, Order: ownership.Order{Kind: ownership.OrderWeight, Weight: 50}},
		},
		Answers:  []ownership.OrderAnswer{{To: peerRef, ID: 9}, {To: peerRef, ID: 1, Refused: true, Why: "no"}},
		Lease:    300 * time.Millisecond,
		Asks:     200 * time.Millisecond,
		Hold:     3 * time.Second,
		Expected: 3,
		Sees:     []string{"gateway", "hosts"},
		Address:  "192.0.2.1",
		Health:   []string{"web: nginx fails: connection refused", "disk: 97 % full"},
	}
}

// plainBeat is what a node of a small cluster sends: nodes share one pool of 4096 buckets.
func plainBeat(nodes int) *ownership.Beat {
	b := &ownership.Beat{
		From: selfRef, Host: 0x1122334455667788, Seq: 1, Stage: ownership.StageActive,
		View:    ownership.View{ID: ownership.ViewID{Number: 12, Proposer: selfRef}, Pools: []string{"web"}},
		Lease:   300 * time.Millisecond,
		Address: "192.0.2.1",
	}
	for i := range nodes {
		ref := ownership.Ref{Name: fmt.Sprintf("node-%c%02d", 'a', i), Incarnation: selfRef.Incarnation + uint64(i)}
		if i == 0 {
			ref = selfRef
		}
		b.View.Members = append(b.View.Members, ownership.Member{Ref: ref, Weights: []uint16{100}})
		if i > 0 {
			b.Echo = append(b.Echo, ownership.Echo{Ref: ref, Seq: 123456, Mutual: true})
		}
	}
	claims := ownership.NewBitmap(4096)
	rng := rand.New(rand.NewPCG(1, 2))
	for bucket := range uint32(4096) {
		if rng.IntN(nodes) == 0 {
			claims.Set(bucket)
		}
	}
	b.Pools = []ownership.PoolBeat{{Name: "web", Fingerprint: 0x0123456789abcdef, Weight: 100, Claims: claims}}
	return b
}

// normal is a deep copy in the form that a reader makes: empty slices are nil,
// sets have no empty words at their end.
func normal(b *ownership.Beat) *ownership.Beat {
	v := reflect.New(reflect.TypeOf(*b)).Elem()
	v.Set(reflect.ValueOf(*b))
	return copyNormal(v).Addr().Interface().(*ownership.Beat)
}

func copyNormal(v reflect.Value) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			c.Field(i).Set(copyNormal(v.Field(i)))
		}
	case reflect.Slice:
		n := v.Len()
		if v.Type() == reflect.TypeFor[ownership.Bitmap]() {
			for n > 0 && v.Index(n-1).IsZero() {
				n--
			}
		}
		for i := range n {
			c = reflect.Append(c, copyNormal(v.Index(i)))
		}
	default:
		c.Set(v)
	}
	return c
}

func mustSealer(tb testing.TB, self ownership.Ref, change ...func(*SealerConfig)) *Sealer {
	tb.Helper()
	cfg := SealerConfig{Key: testKey, Cluster: "web", Self: self, Random: salt(1)}
	for _, c := range change {
		c(&cfg)
	}
	s, err := NewSealer(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// mustOpener makes the opener of node-z.
func mustOpener(tb testing.TB, keys ...[]byte) *Opener {
	tb.Helper()
	if len(keys) == 0 {
		keys = [][]byte{testKey}
	}
	o, err := NewOpener(OpenerConfig{Keys: keys, Cluster: "web", Self: ownership.Ref{Name: "node-z", Incarnation: 1}})
	if err != nil {
		tb.Fatal(err)
	}
	return o
}

// mustSeal seals a beat of the sealer's node with the sequence number.
func mustSeal(tb testing.TB, s *Sealer, beat *ownership.Beat, seq uint64) [][]byte {
	tb.Helper()
	b := *beat
	b.From, b.Seq = s.header.from, seq
	parts, err := s.Seal(&b)
	if err != nil {
		tb.Fatal(err)
	}
	var kept [][]byte // over the next call
	for _, p := range parts {
		kept = append(kept, bytes.Clone(p))
	}
	return kept
}

func TestEveryFieldMakesTheJourney(t *testing.T) {
	beat := fullBeat()
	requireFilled(t, reflect.ValueOf(*beat), "Beat")
	for _, size := range []int{MinPart, 600, MaxPart} {
		s := mustSealer(t, selfRef, func(c *SealerConfig) { c.PartSize = size })
		parts, err := s.Seal(beat)
		if err != nil {
			t.Fatal(err)
		}
		o := mustOpener(t)
		for i, p := range parts {
			if len(p) > size {
				t.Errorf("part %d has %d bytes, more than %d", i, len(p), size)
			}
			got, reason := o.Open(p)
			if i < len(parts)-1 {
				if got != nil || reason != ReasonIncomplete {
					t.Fatalf("part %d of %d: %v, beat %v", i, len(parts), reason, got)
				}
				continue
			}
			if reason != ReasonAccepted {
				t.Fatalf("last part: %v", reason)
			}
			if want := normal(beat); !reflect.DeepEqual(got, want) {
				t.Errorf("part size %d: got\n%+v\nwant\n%+v", size, got, want)
			}
		}
	}
}

// requireFilled fails if any field within v is zero in all places: a field
// that was added to the types without a value in fullBeat, and perhaps
// without a line in the codec.
func requireFilled(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	filled := make(map[string]bool)
	markFilled(v, path, filled)
	for p, ok := range filled {
		if !ok {
			t.Errorf("fullBeat has no value for %s: give it one, and a line in encode.go and decode.go", p)
		}
	}
}

func markFilled(v reflect.Value, path string, filled map[string]bool) {
	switch {
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			markFilled(v.Field(i), path+"."+v.Type().Field(i).Name, filled)
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct && v.Len() > 0:
		for i := range v.Len() {
			markFilled(v.Index(i), path+"[]", filled)
		}
	default:
		filled[path] = filled[path] || !v.IsZero()
	}
}

func TestBeatsOfManySizesArriveWhole(t *testing.T) {
	s, o := mustSealer(t, selfRef), mustOpener(t)
	for seq, nodes := range []int{1, 2, 3, 8, 16, 64} {
		beat := plainBeat(nodes)
		beat.Seq = uint64(seq + 1)
		parts := mustSeal(t, s, beat, beat.Seq)
		var got *ownership.Beat
		for _, p := range parts {
			got, _ = o.Open(p)
		}
		if !reflect.DeepEqual(got, normal(beat)) {
			t.Errorf("%d nodes: got %+v", nodes, got)
		}
	}
}
