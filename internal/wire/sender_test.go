package wire

import (
	"fmt"
	"slices"
	"testing"

	"github.com/rota-cluster/rota/internal/ownership"
)

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

// TestAReplayUnderAnOldKeyDisturbsNothing: neither a beat that is being put
// together, nor what is known of its sender's key.
func TestAReplayUnderAnOldKeyDisturbsNothing(t *testing.T) {
	s, o := mustSealer(t, peerRef, smallParts), mustOpener(t)
	if err := o.SetKeys([][]byte{testKey, otherKey}); err != nil {
		t.Fatal(err)
	}
	old := big(t, s, 1)
	for _, p := range old {
		o.Open(p)
	}
	if err := s.SetKey(otherKey); err != nil {
		t.Fatal(err)
	}
	parts := big(t, s, 2)
	want, err := KeyID(otherKey)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range parts {
		beat, reason := o.Open(p)
		if last := i == len(parts)-1; last != (beat != nil) || last != (reason == ReasonAccepted) {
			t.Errorf("part %d: %v", i, reason)
		}
		if _, reason := o.Open(old[i]); reason != ReasonReplayed {
			t.Errorf("a replay of part %d: %v", i, reason)
		}
		if id, known := o.KeyOf(peerRef); !known || id != want {
			t.Errorf("after part %d its key is %q, %v", i, id, known)
		}
	}
	if n := o.Abandoned(); n != 0 {
		t.Errorf("%d beats abandoned", n)
	}
	if _, known := o.KeyOf(ownership.Ref{Name: peerRef.Name, Incarnation: peerRef.Incarnation + 1}); known {
		t.Error("knows the key of an incarnation that has not spoken")
	}
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
