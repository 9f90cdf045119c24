package wire

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// FuzzOpen gives raw bytes to an opener that knows a sender: nothing but what
// was sealed is ever opened.
func FuzzOpen(f *testing.F) {
	beat := plainBeat(2)
	good := slices.Concat(mustSeal(f, mustSealer(f, peerRef), beat, 2), mustSeal(f, mustSealer(f, peerRef, smallParts), beat, 3))
	for _, p := range good {
		f.Add(p)
		f.Add(p[:len(p)/2])
		f.Add(flip(p, 4, 1))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, payload []byte) {
		o := mustOpener(t)
		if _, reason := o.Open(mustSeal(t, mustSealer(t, peerRef), beat, 1)[0]); reason != ReasonAccepted {
			t.Fatal(reason)
		}
		was := bytes.Clone(payload)
		got, reason := o.Open(payload)
		if !bytes.Equal(payload, was) {
			t.Error("the payload was changed")
		}
		sealed := slices.ContainsFunc(good, func(p []byte) bool { return bytes.Equal(p, payload) })
		if !sealed && (got != nil || !reason.Dropped()) {
			t.Errorf("%v: %+v", reason, got)
		}
		if ref, ok := Claimed(payload); ok && checkName(ref.Name) != nil {
			t.Errorf("claimed: %q", ref.Name)
		}
	})
}

// FuzzBody reads bytes that were well sealed: what is read is within bounds
// and comes out of another journey as it is.
func FuzzBody(f *testing.F) {
	for _, b := range []*ownership.Beat{fullBeat(), plainBeat(1), plainBeat(3)} {
		f.Add(appendBeat(nil, b))
		for _, field := range [][]byte{
			appendView(nil, beatView, &b.View),
			appendPool(nil, beatPool, &ownership.PoolBeat{Name: "w", Weight: 9, Claims: ownership.Bitmap{0xff00ff}}),
			appendPins(nil, beatView, b.View.Pins), // pins in place of a view
			appendPinNews(nil, beatPins, &b.Pins),
			appendOrder(nil, beatOrder, &ownership.SentOrder{To: selfRef, ID: 1, Order: ownership.Order{Kind: ownership.OrderDrain, Force: true}}),
			appendAnswer(nil, beatAnswer, &ownership.OrderAnswer{To: selfRef, ID: 1, Refused: true, Why: "w"}),
		} {
			f.Add(field)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var m memory
		b, err := readBeat(body, selfRef, 1, &m)
		if err != nil {
			return
		}
		if err := checkBeat(b); err != nil {
			t.Fatal(err)
		}
		again, err := readBeat(appendBeat(nil, b), selfRef, 1, &m)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(normal(again), normal(b)) {
			t.Errorf("got\n%+v\nwant\n%+v", again, b)
		}
	})
}

// FuzzRoundTrip sends random beats, in parts of random size and order.
func FuzzRoundTrip(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, uint16(MinPart+150*seed))
	}
	f.Fuzz(func(t *testing.T, seed uint64, size uint16) {
		rng := rand.New(rand.NewPCG(seed, 0))
		beat := randomBeat(rng)
		if err := checkBeat(beat); err != nil {
			t.Fatal(err)
		}
		s := mustSealer(t, beat.From, func(c *SealerConfig) { c.PartSize = MinPart + int(size)%(MaxPart-MinPart+1) })
		parts, err := s.Seal(beat)
		if err != nil {
			return // larger than so many parts of that size
		}
		rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		o := mustOpener(t)
		for i, p := range parts {
			got, reason := o.Open(p)
			if i < len(parts)-1 {
				if reason != ReasonIncomplete {
					t.Fatalf("part %d of %d: %v", i, len(parts), reason)
				}
				continue
			}
			if reason != ReasonAccepted {
				t.Fatal(reason)
			}
			if !reflect.DeepEqual(got, normal(beat)) {
				t.Errorf("got\n%+v\nwant\n%+v", got, beat)
			}
		}
	})
}

// randomBeat makes a beat within all bounds.
func randomBeat(rng *rand.Rand) *ownership.Beat {
	name := func(i int) string { return fmt.Sprintf("n%03d%s", i, "abcdefghijkl"[:rng.IntN(12)]) }
	ref := func(i int) ownership.Ref { return ownership.Ref{Name: name(i), Incarnation: rng.Uint64()} }
	set := func() ownership.Bitmap {
		m := ownership.NewBitmap(1 + uint32(rng.IntN(4096)))
		for i, of := 0, 1+rng.IntN(20); i < len(m)*64; i++ {
			if rng.IntN(of) == 0 {
				m.Set(uint32(i))
			}
		}
		return m
	}
	b := &ownership.Beat{
		From: ref(0), Host: rng.Uint64(), Seq: 1 + rng.Uint64()>>1,
		Stage: ownership.Stage(rng.IntN(int(ownership.StageActive) + 1)), Flags: ownership.Flags(rng.Uint32()),
	}
	if rng.IntN(4) > 0 {
		b.View.ID = ownership.ViewID{Number: 1 + rng.Uint64()>>1, Proposer: ref(0)}
		for i := range rng.IntN(4) {
			b.View.Pools = append(b.View.Pools, name(i))
		}
		for i := range 1 + rng.IntN(ownership.MaxNodes) {
			m := ownership.Member{Ref: ref(i)}
			for range b.View.Pools {
				m.Weights = append(m.Weights, uint16(rng.IntN(int(ownership.MaxWeight)+1)))
			}
			b.View.Members = append(b.View.Members, m)
		}
		for pool := range uint16(len(b.View.Pools)) {
			for bucket := uint32(0); bucket < 300; bucket += 1 + uint32(rng.IntN(9)) {
				b.View.Pins = append(b.View.Pins, ownership.Pin{Pool: pool, Bucket: bucket, Node: name(rng.IntN(3))})
			}
		}
	}
	for i := range rng.IntN(5) {
		b.Pools = append(b.Pools, ownership.PoolBeat{
			Name: name(i), Fingerprint: rng.Uint64(), Addresses: rng.Uint64(), Weight: uint16(rng.IntN(int(ownership.MaxWeight) + 1)), Claims: set(), Lingers: set(),
		})
	}
	for i := range rng.IntN(4) {
		o := ownership.SentOrder{ID: 1 + uint64(i)*3, Order: ownership.Order{
			Kind: ownership.OrderKind(rng.IntN(7)), Weight: uint16(rng.IntN(int(ownership.MaxWeight) + 1)), Timeout: time.Duration(rng.Int64()),
			Reason: name(i), Force: rng.IntN(2) == 0,
		}}
		if rng.IntN(2) == 0 {
			o.To = ref(i)
		}
		b.Orders = append(b.Orders, o)
		b.Answers = append(b.Answers, ownership.OrderAnswer{To: ref(i), ID: 1 + rng.Uint64()>>1, Refused: rng.IntN(2) == 0, Why: name(i)})
	}
	b.Pins.Digest = rng.Uint64()
	for range rng.IntN(4) {
		o := ownership.PinOrder{
			Pool: name(0), Node: name(1), At: rng.Int64(), Buckets: bucketList(set()),
			Version: ownership.PinVersion{Counter: 1<<20 + uint64(rng.IntN(1<<20)), Writer: ref(1)},
		}
		if rng.IntN(2) == 0 {
			o.Node, o.Over = "", ownership.PinVersion{Counter: uint64(rng.IntN(1 << 20)), Writer: ref(2)}
		}
		if len(o.Buckets) > 0 {
			b.Pins.Orders = append(b.Pins.Orders, o)
		}
	}
	for i := range rng.IntN(ownership.MaxNodes + 1) {
		b.Echo = append(b.Echo, ownership.Echo{Ref: ref(i), Seq: rng.Uint64(), Mutual: rng.IntN(2) == 0, Silent: rng.IntN(2) == 0, Withheld: rng.IntN(2) == 0, Second: rng.IntN(2) == 0, Held: rng.IntN(2) == 0})
	}
	return b
}

// FuzzSession plays a row of parts that someone with the key may have sealed,
// six bytes each: name and incarnation, salt, sequence number, part, parts,
// length of body. Per sender, what is opened only goes forward.
func FuzzSession(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 1, 0, 0, 0, 2, 0, 1, 0, 0, 0, 2, 0, 1, 0})
	f.Add([]byte{0, 0, 1, 0, 2, 0, 0, 0, 1, 1, 2, 0, 4, 0, 1, 0, 1, 0, 0, 0, 9, 0, 1, 0})
	f.Add([]byte{0, 0, 3, 0, 2, 0, 0, 1, 3, 1, 2, 0, 0, 0, 3, 1, 2, 0, 3, 0, 1, 0, 1, 0})
	names := []string{"node-a", "node-b", "node-c", "node-z"}
	root, err := newRootKey(testKey)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		o := mustOpener(t)
		newest := make(map[string][2]uint64) // incarnation, sequence number
		for ; len(script) >= 6; script = script[6:] {
			from := ownership.Ref{Name: names[script[0]&3], Incarnation: 1 + uint64(script[0]>>2&3)}
			h := header{
				part: script[3], parts: script[4], cluster: clusterID("web"), key: root.id,
				salt: [saltBytes]byte{script[1] & 1}, from: from, seq: uint64(script[2]),
			}
			aead, err := root.aead("web", from.Name, session{h.key, from.Incarnation, h.salt})
			if err != nil {
				t.Fatal(err)
			}
			clear, n := h.appendTo(nil), nonce(h.seq, h.part)
			body := bytes.Repeat([]byte{200, 1, 0}, int(script[5]))
			b, reason := o.Open(aead.Seal(clear, n[:], body, clear))
			if (b != nil) != (reason == ReasonAccepted) {
				t.Fatalf("%v with %v", reason, b)
			}
			if b == nil {
				continue
			}
			was, now := newest[b.From.Name], [2]uint64{b.From.Incarnation, b.Seq}
			if b.From != from || b.Seq != h.seq || slices.Compare(now[:], was[:]) <= 0 {
				t.Fatalf("%v, %d after %v", b.From, b.Seq, was)
			}
			if b.From == o.self {
				t.Fatal("a reflected beat was opened")
			}
			newest[b.From.Name] = now
		}
	})
}
