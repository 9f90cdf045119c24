package wire

import (
	"fmt"
	"slices"
	"testing"

	"github.com/rota-cluster/rota/internal/ownership"
)

// TestAnOpenerAfterARestart refuses what the one before it has heard or could
// have, and nothing else.
func TestAnOpenerAfterARestart(t *testing.T) {
	beat := plainBeat(3)
	s := mustSealer(t, peerRef)
	earlier := mustSealer(t, ownership.Ref{Name: peerRef.Name, Incarnation: peerRef.Incarnation - 1})
	later := mustSealer(t, ownership.Ref{Name: peerRef.Name, Incarnation: peerRef.Incarnation + 1})
	first, second, third := mustSeal(t, s, beat, 1)[0], mustSeal(t, s, beat, 2)[0], mustSeal(t, s, beat, 3)[0]
	before := mustOpener(t)
	before.Open(first)
	before.Open(second)
	heard := before.Heard()
	if want := []Heard{{From: peerRef, Seq: 2}}; !slices.Equal(heard, want) {
		t.Fatalf("%v, want %v", heard, want)
	}
	o, err := NewOpener(OpenerConfig{Keys: [][]byte{testKey}, Cluster: before.cluster, Self: before.self, Heard: heard})
	if err != nil {
		t.Fatal(err)
	}
	if id, known := o.KeyOf(peerRef); known {
		t.Errorf("knows the key %s of somebody heard by an earlier start only", id)
	}
	for _, row := range []struct {
		what    string
		payload []byte
		want    Reason
	}{
		{"a recorded beat", first, ReasonReplayed},
		{"the newest", second, ReasonReplayed},
		{"of an earlier start", mustSeal(t, earlier, beat, 9)[0], ReasonStale},
		{"the next", third, ReasonAccepted},
		{"the next again", third, ReasonReplayed},
		{"of a later start", mustSeal(t, later, beat, 1)[0], ReasonAccepted},
	} {
		if _, reason := o.Open(row.payload); reason != row.want {
			t.Errorf("%s: %v, want %v", row.what, reason, row.want)
		}
	}
	if _, known := mustOpener(t).KeyOf(peerRef); known {
		t.Error("knows the key of somebody never heard")
	}
}

// TestHeardIsBounded: those who were heard last stay.
func TestHeardIsBounded(t *testing.T) {
	o := mustOpener(t)
	for i := range MaxHeard + 10 {
		s := mustSealer(t, ownership.Ref{Name: fmt.Sprintf("node-%d", i), Incarnation: 1})
		if _, reason := o.Open(mustSeal(t, s, plainBeat(1), 7)[0]); reason != ReasonAccepted {
			t.Fatal(reason)
		}
	}
	heard := o.Heard()
	if len(heard) != MaxHeard || heard[0].From.Name != fmt.Sprintf("node-%d", MaxHeard+9) || heard[0].Seq != 7 {
		t.Errorf("%d, the first %v", len(heard), heard[0])
	}
}
