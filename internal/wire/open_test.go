package wire

import (
	"bytes"
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
	return bytes.Clone(s.sealParts(seq, 1, MaxPart)[0])
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
