package wire

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/rota-cluster/rota/internal/ownership"
)

// flip returns a copy of payload with a byte changed.
func flip(payload []byte, at int, bits byte) []byte {
	p := slices.Clone(payload)
	p[at] ^= bits
	return p
}

// big is a beat of three parts of MinPart.
func big(tb testing.TB, s *Sealer, seq uint64) [][]byte {
	tb.Helper()
	parts := mustSeal(tb, s, plainBeat(5), seq)
	if len(parts) < 3 {
		tb.Fatalf("%d parts", len(parts))
	}
	return parts
}

func smallParts(c *SealerConfig) { c.PartSize = MinPart }

// sealBody seals any text as a one-part beat: what a node of the cluster
// that is broken, or newer than this one, might send.
func sealBody(s *Sealer, seq uint64, body []byte) []byte {
	s.body = append(s.body[:0], body...)
	return s.sealParts(seq, 1, MaxPart)[0]
}

// TestOpenSaysWhy gives an opener that has heard beat 10 of node-b one more payload.
func TestOpenSaysWhy(t *testing.T) {
	beat := plainBeat(3)
	b := mustSealer(t, peerRef, smallParts)
	whole := mustSealer(t, peerRef)
	first := mustSeal(t, whole, beat, 10)[0]
	next := mustSeal(t, whole, beat, 11)[0]
	nextName := fixedBytes + len(peerRef.Name)
	earlier := ownership.Ref{Name: peerRef.Name, Incarnation: peerRef.Incarnation - 1}
	later := ownership.Ref{Name: peerRef.Name, Incarnation: peerRef.Incarnation + 1}
	otherParts := mustSealer(t, peerRef) // same session as b, other part size: cannot happen with a whole Sealer
	otherParts.partSize = MinPart + 200

	rows := []struct {
		name    string
		before  [][]byte
		payload []byte
		want    Reason
	}{
		{name: "the next beat is accepted", payload: next, want: ReasonAccepted},
		{name: "the first beat of a restarted node is accepted", payload: mustSeal(t, mustSealer(t, later), beat, 1)[0], want: ReasonAccepted},
		{name: "a first part waits for the others", payload: big(t, b, 12)[0], want: ReasonIncomplete},
		{name: "nothing at all", payload: nil, want: ReasonTooShort},
		{name: "a header alone", payload: next[:nextName], want: ReasonTooShort},
		{name: "a header and an empty seal", payload: next[:nextName+tagBytes-1], want: ReasonTooShort},
		{name: "one byte cut off", payload: next[:len(next)-1], want: ReasonForged},
		{name: "one byte more", payload: append(slices.Clone(next), 0), want: ReasonForged},
		{name: "longer than any part", payload: make([]byte, MaxPart+1), want: ReasonOversized},
		{name: "somebody else's protocol", payload: flip(next, 0, 1), want: ReasonBadMagic},
		{name: "a version of a later day", payload: flip(next, 4, 2), want: ReasonUnknownVersion},
		{name: "a cluster of another name", payload: mustSeal(t, mustSealer(t, peerRef, func(c *SealerConfig) { c.Cluster = "mail" }), beat, 11)[0], want: ReasonOtherCluster},
		{name: "part 1 of 1", payload: flip(next, 5, 1), want: ReasonBadHeader},
		{name: "no parts", payload: flip(next, 6, 1), want: ReasonBadHeader},
		{name: "too many parts", payload: flip(next, 6, 0x80), want: ReasonBadHeader},
		{name: "no name", payload: flip(next, 7, byte(len(peerRef.Name))), want: ReasonBadHeader},
		{name: "a name too long", payload: flip(next, 7, 0x80), want: ReasonBadHeader},
		{name: "sequence number 0", payload: flip(next, 43, 11), want: ReasonBadHeader},
		{name: "my own beat comes back", payload: mustSeal(t, mustSealer(t, ownership.Ref{Name: "node-z", Incarnation: 1}), beat, 11)[0], want: ReasonReflected},
		{name: "another host with my name is heard", payload: mustSeal(t, mustSealer(t, ownership.Ref{Name: "node-z", Incarnation: 2}), beat, 11)[0], want: ReasonAccepted},
		{name: "a wrong key", payload: mustSeal(t, mustSealer(t, peerRef, func(c *SealerConfig) { c.Key = otherKey }), beat, 11)[0], want: ReasonUnknownKey},
		{name: "a bit flipped in the seal", payload: flip(next, len(next)-1, 1), want: ReasonForged},
		{name: "a bit flipped in the body", payload: flip(next, nextName, 1), want: ReasonForged},
		{name: "a later sequence number written over the old", payload: flip(next, 42, 1), want: ReasonForged},
		{name: "an earlier sequence number written over it", payload: flip(next, 43, 3), want: ReasonForged},
		{name: "an earlier incarnation written over it", payload: flip(next, 35, 1), want: ReasonForged},
		{name: "another salt written over it", payload: flip(next, 20, 1), want: ReasonForged},
		{name: "another node's name written over it", payload: flip(next, nextName-1, 1), want: ReasonForged},
		{name: "one of one made one of two", payload: flip(next, 6, 3), want: ReasonForged},
		{name: "the same beat again", payload: first, want: ReasonReplayed},
		{name: "an older beat", payload: mustSeal(t, mustSealer(t, peerRef), beat, 9)[0], want: ReasonReplayed},
		{name: "an older beat of another host with name and incarnation the same", payload: mustSeal(t, mustSealer(t, peerRef, func(c *SealerConfig) { c.Random = salt(2) }), beat, 10)[0], want: ReasonReplayed},
		{name: "an earlier incarnation", payload: mustSeal(t, mustSealer(t, earlier), beat, 99)[0], want: ReasonStale},
		{name: "the same part again", before: big(t, b, 13)[:1], payload: big(t, mustSealer(t, peerRef, smallParts), 13)[0], want: ReasonReplayed},
		{name: "a part of a beat before the one begun", before: big(t, b, 15)[:1], payload: big(t, mustSealer(t, peerRef, smallParts), 14)[0], want: ReasonReplayed},
		{name: "a beat begun in five parts goes on in three", before: big(t, b, 16)[:1], payload: mustSeal(t, otherParts, plainBeat(5), 16)[1], want: ReasonPartMismatch},
		{name: "a field cut off in a good seal", payload: sealBody(whole, 17, []byte{beatHost, 8, 1}), want: ReasonMalformed},
		{name: "a field without a tag in a good seal", payload: sealBody(whole, 18, []byte{0, 0}), want: ReasonMalformed},
		{name: "nothing in a good seal", payload: sealBody(whole, 19, nil), want: ReasonAccepted},
		{name: "a name that breaks lines", payload: mustSealAs(t, "node\nb", beat), want: ReasonBadHeader},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			o := mustOpener(t)
			if _, reason := o.Open(first); reason != ReasonAccepted {
				t.Fatalf("beat 10: %v", reason)
			}
			for _, p := range row.before {
				if _, reason := o.Open(p); reason != ReasonIncomplete {
					t.Fatalf("before: %v", reason)
				}
			}
			was := o.Counts()
			payload := slices.Clone(row.payload)
			got, reason := o.Open(payload)
			if reason != row.want {
				t.Errorf("got %v, want %v", reason, row.want)
			}
			if (got != nil) != (reason == ReasonAccepted) {
				t.Errorf("%v with beat %v", reason, got)
			}
			if !slices.Equal(payload, row.payload) {
				t.Error("the payload was changed")
			}
			was[row.want]++
			if o.Counts() != was {
				t.Errorf("counts %v, want %v", o.Counts(), was)
			}
		})
	}
	covered := make(map[Reason]bool)
	for _, row := range rows {
		covered[row.want] = true
	}
	covered[ReasonTooManySenders] = true // TestSendersAreBounded
	for r := range Reason(Reasons) {
		if !covered[r] {
			t.Errorf("no row for %v", r)
		}
		if r.Dropped() != (r != ReasonAccepted && r != ReasonIncomplete) {
			t.Errorf("%v: dropped %v", r, r.Dropped())
		}
	}
}

// mustSealAs seals under a name that NewSealer refuses.
func mustSealAs(tb testing.TB, name string, beat *ownership.Beat) []byte {
	tb.Helper()
	s := mustSealer(tb, peerRef)
	s.header.from.Name = name
	if err := s.SetKey(testKey); err != nil {
		tb.Fatal(err)
	}
	s.body = appendBeat(nil, beat)
	return s.sealParts(1, 1, MaxPart)[0]
}

func TestPartsComeInAnyOrder(t *testing.T) {
	beat := plainBeat(5)
	rows := []struct {
		name  string
		order func(first, second [][]byte) [][]byte
		want  []uint64 // the beats opened
		lost  uint64   // the beats abandoned
	}{
		{"in order", func(a, b [][]byte) [][]byte { return slices.Concat(a, b) }, []uint64{1, 2}, 0},
		{"backwards", func(a, b [][]byte) [][]byte {
			slices.Reverse(a)
			slices.Reverse(b)
			return slices.Concat(a, b)
		}, []uint64{1, 2}, 0},
		{"each twice", func(a, b [][]byte) [][]byte { return slices.Concat(a, a, b, b) }, []uint64{1, 2}, 0},
		{"the second first", func(a, b [][]byte) [][]byte { return slices.Concat(b, a) }, []uint64{2}, 0},
		{"mixed: the older is given up", func(a, b [][]byte) [][]byte {
			var mixed [][]byte
			for i := range a {
				mixed = append(mixed, a[i], b[i])
			}
			return mixed
		}, []uint64{2}, 1},
		{"the first lost its last part", func(a, b [][]byte) [][]byte { return slices.Concat(a[:len(a)-1], b) }, []uint64{2}, 1},
		{"the second lost its last part, then nothing", func(a, b [][]byte) [][]byte { return slices.Concat(a, b[:len(b)-1]) }, []uint64{1}, 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s, o := mustSealer(t, peerRef, smallParts), mustOpener(t)
			var got []uint64
			for _, p := range row.order(mustSeal(t, s, beat, 1), mustSeal(t, s, beat, 2)) {
				if b, _ := o.Open(p); b != nil {
					got = append(got, b.Seq)
				}
			}
			if !slices.Equal(got, row.want) || o.Abandoned() != row.lost {
				t.Errorf("opened %v and gave up %d, want %v and %d", got, o.Abandoned(), row.want, row.lost)
			}
		})
	}
}

func TestOneShortBeatGivesUpTheLongOneBegun(t *testing.T) {
	o := mustOpener(t)
	long := big(t, mustSealer(t, peerRef, smallParts), 1)
	for _, p := range long[:len(long)-1] {
		o.Open(p)
	}
	if _, reason := o.Open(mustSeal(t, mustSealer(t, peerRef), plainBeat(1), 2)[0]); reason != ReasonAccepted || o.Abandoned() != 1 {
		t.Errorf("%v, gave up %d", reason, o.Abandoned())
	}
	if _, reason := o.Open(long[len(long)-1]); reason != ReasonReplayed {
		t.Errorf("the last part of the long one: %v", reason)
	}
}

// Two hosts that by misfortune share name and incarnation still have sessions
// of their own.
func TestPartsOfTwoSessionsAreNotJoined(t *testing.T) {
	o := mustOpener(t)
	one := big(t, mustSealer(t, peerRef, smallParts), 1)
	two := big(t, mustSealer(t, peerRef, smallParts, func(c *SealerConfig) { c.Random = salt(2) }), 1)
	for i := range one {
		p := one
		if i%2 == 1 {
			p = two
		}
		if b, reason := o.Open(p[i]); b != nil || reason != ReasonIncomplete {
			t.Fatalf("part %d: %v", i, reason)
		}
	}
	if o.Abandoned() == 0 {
		t.Error("nothing was given up")
	}
}

// What the package comment says an Opener does not promise.
func TestRestartedReceiverKnowsNoOldIncarnation(t *testing.T) {
	beat := plainBeat(3)
	old := ownership.Ref{Name: peerRef.Name, Incarnation: 1}
	recorded := mustSeal(t, mustSealer(t, old), beat, 7)[0]
	o := mustOpener(t)
	if _, reason := o.Open(recorded); reason != ReasonAccepted {
		t.Fatalf("before the present incarnation is heard: %v", reason)
	}
	if _, reason := o.Open(mustSeal(t, mustSealer(t, peerRef), beat, 1)[0]); reason != ReasonAccepted {
		t.Fatalf("the present incarnation: %v", reason)
	}
	if _, reason := o.Open(recorded); reason != ReasonStale {
		t.Errorf("after it: %v", reason)
	}
}

func TestKeysAreRotatedWithoutALostBeat(t *testing.T) {
	beat := plainBeat(3)
	s, o := mustSealer(t, peerRef), mustOpener(t)
	seq := uint64(0)
	open := func(want Reason, when string) []byte {
		t.Helper()
		seq++
		p := mustSeal(t, s, beat, seq)[0]
		if _, reason := o.Open(p); reason != want {
			t.Errorf("%s: %v, want %v", when, reason, want)
		}
		return p
	}
	setKeys := func(keys ...[]byte) {
		t.Helper()
		if err := o.SetKeys(keys); err != nil {
			t.Fatal(err)
		}
	}
	underOld := open(ReasonAccepted, "old key only")
	setKeys(testKey, otherKey)
	if _, reason := o.Open(underOld); reason != ReasonReplayed {
		t.Errorf("a replay after the change of keys: %v", reason)
	}
	open(ReasonAccepted, "both keys, sealed with the old")
	if err := s.SetKey(otherKey); err != nil {
		t.Fatal(err)
	}
	open(ReasonAccepted, "both keys, sealed with the new")
	open(ReasonAccepted, "again")
	if _, reason := o.Open(underOld); reason != ReasonReplayed {
		t.Errorf("a replay under the old key: %v", reason)
	}
	setKeys(otherKey)
	if _, reason := o.Open(underOld); reason != ReasonUnknownKey {
		t.Errorf("the old key after it is gone: %v", reason)
	}
	open(ReasonAccepted, "new key only")
	setKeys(testKey)
	open(ReasonUnknownKey, "a session whose key was taken away")
}

func TestSendersAreBounded(t *testing.T) {
	beat := plainBeat(1)
	o := mustOpener(t)
	sealers := make([]*Sealer, MaxSenders+1)
	for i := range sealers {
		sealers[i] = mustSealer(t, ownership.Ref{Name: fmt.Sprintf("node-%d", i), Incarnation: 1})
	}
	open := func(i int, seq uint64) Reason {
		_, reason := o.Open(mustSeal(t, sealers[i], beat, seq)[0])
		return reason
	}
	for i := range MaxSenders {
		if reason := open(i, 1); reason != ReasonAccepted {
			t.Fatalf("sender %d: %v", i, reason)
		}
	}
	if reason := open(MaxSenders, 1); reason != ReasonTooManySenders {
		t.Fatalf("one more sender: %v", reason)
	}
	for seq := uint64(2); seq < 2+forgetAfter/(MaxSenders-1)+1; seq++ {
		for i := 1; i < MaxSenders; i++ { // all but node-0
			if reason := open(i, seq); reason != ReasonAccepted {
				t.Fatalf("sender %d: %v", i, reason)
			}
		}
	}
	if reason := open(MaxSenders, 2); reason != ReasonAccepted {
		t.Errorf("one more sender, when node-0 has long been unheard: %v", reason)
	}
	if o.senders["node-0"] != nil || len(o.senders) != MaxSenders {
		t.Errorf("node-0 is still known, %d senders", len(o.senders))
	}
	if reason := open(0, 2); reason != ReasonTooManySenders {
		t.Errorf("node-0 comes back to a full house: %v", reason)
	}
}

func TestOpenerRefusesBadKeys(t *testing.T) {
	for _, keys := range [][][]byte{nil, {testKey[:31]}, {testKey, nil}} {
		if o, err := NewOpener(OpenerConfig{Keys: keys, Cluster: "web", Self: selfRef}); err == nil {
			t.Errorf("%d keys: %v", len(keys), o)
		}
	}
}

func TestClaimedNamesWhomNobodyProved(t *testing.T) {
	p := mustSeal(t, mustSealer(t, peerRef, func(c *SealerConfig) { c.Key, c.Cluster = otherKey, "mail" }), plainBeat(1), 1)[0]
	p[4] = Version + 1
	if got, ok := Claimed(p); !ok || got != peerRef {
		t.Errorf("got %v, %v", got, ok)
	}
	p[fixedBytes] = '\n'
	if got, ok := Claimed(p); ok {
		t.Errorf("a name that breaks lines: %v", got)
	}
	if _, ok := Claimed(p[:10]); ok {
		t.Error("a payload cut off")
	}
}

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
		{"an unknown stage", func(b *ownership.Beat) { b.Stage = ownership.StageActive + 1 }, nil},
		{"a view without a number", func(b *ownership.Beat) { b.View.ID.Number = 0 }, nil},
		{"a view without members", func(b *ownership.Beat) { b.View.Members = nil }, nil},
		{"a view without a proposer", func(b *ownership.Beat) { b.View.ID.Proposer.Name = "" }, nil},
		{"a member without a name", func(b *ownership.Beat) { b.View.Members[0].Name = "" }, nil},
		{"members out of order", func(b *ownership.Beat) { slices.Reverse(b.View.Members) }, nil},
		{"one member twice", func(b *ownership.Beat) { b.View.Members[1] = b.View.Members[0] }, nil},
		{"a member's weight", func(b *ownership.Beat) { b.View.Members[0].Weights[0] = 1001 }, nil},
		{"too many weights", func(b *ownership.Beat) { b.View.Members[0].Weights = make([]uint16, ownership.MaxPools+1) }, nil},
		{"too many members", func(b *ownership.Beat) { b.View.Members = plainBeat(65).View.Members }, nil},
		{"pins out of order", func(b *ownership.Beat) { slices.Reverse(b.View.Pins) }, nil},
		{"two pins on one bucket", func(b *ownership.Beat) { b.View.Pins[1] = b.View.Pins[0] }, nil},
		{"a pin beyond the buckets", func(b *ownership.Beat) { b.View.Pins[3].Bucket = maxBuckets }, nil},
		{"a pin beyond the pools", func(b *ownership.Beat) { b.View.Pins[3].Pool = ownership.MaxPools }, nil},
		{"a pin to nobody", func(b *ownership.Beat) { b.View.Pins[0].Node = "" }, nil},
		{"too many pools", func(b *ownership.Beat) { b.Pools = many(ownership.MaxPools + 1) }, nil},
		{"pools out of order", func(b *ownership.Beat) { slices.Reverse(b.Pools) }, nil},
		{"a pool without a name", func(b *ownership.Beat) { b.Pools[0].Name = "" }, nil},
		{"a pool whose name has a space", func(b *ownership.Beat) { b.Pools[0].Name = "a b" }, nil},
		{"a pool whose name is not UTF-8", func(b *ownership.Beat) { b.Pools[0].Name = "a\xff" }, nil},
		{"a pool's weight", func(b *ownership.Beat) { b.Pools[0].Weight = 1001 }, nil},
		{"a claim beyond the buckets", func(b *ownership.Beat) {
			b.Pools[0].Claims = ownership.NewBitmap(maxBuckets + 64)
			b.Pools[0].Claims.Set(maxBuckets)
		}, nil},
		{"echoes out of order", func(b *ownership.Beat) { slices.Reverse(b.Echo) }, nil},
		{"an echo of nobody", func(b *ownership.Beat) { b.Echo[0].Name = "" }, nil},
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
	long := make([]byte, 2*maxText)
	for i := range long {
		long[i] = "é"[i%2]
	}
	b.Health = append([]string{"tab\tand \xff byte", string(long)}, make([]string, 2*maxHealth)...)
	got, reason := o.Open(mustSeal(t, s, b, 1)[0])
	if reason != ReasonAccepted {
		t.Fatal(reason)
	}
	want := []string{"tab and \ufffd byte", string(long[:maxText])}
	if got.Address != "192.0.2.1 " || !reflect.DeepEqual(got.Health, want) {
		t.Errorf("got %q, %q", got.Address, got.Health)
	}
}
