package wire

import (
	"errors"
	"io"
	"testing"

	"github.com/rota-cluster/rota/internal/ownership"
)

// Key and nonce together are what must never come twice.
func TestNonceIsNeverUsedTwice(t *testing.T) {
	type use struct {
		salt  [saltBytes]byte
		nonce [12]byte
	}
	seen := make(map[use]bool)
	beat := plainBeat(16)
	for start := range byte(3) { // three starts with one incarnation, which must not happen but may
		s := mustSealer(t, selfRef, smallParts, func(c *SealerConfig) { c.Random = salt(start) })
		for seq := uint64(1); seq <= 50; seq++ {
			for _, p := range mustSeal(t, s, beat, seq) {
				r, _ := cut(p)
				u := use{r.salt(), nonce(r.seq(), r.part())}
				if seen[u] {
					t.Fatalf("twice: %x", u)
				}
				seen[u] = true
			}
			again := *beat
			again.Seq = seq
			if _, err := s.Seal(&again); !errors.Is(err, ErrSequence) {
				t.Fatalf("sealed beat %d again: %v", seq, err)
			}
		}
	}
}

// A beat that was refused has used no nonce; a lower number stays refused.
func TestSealGoesOnAfterARefusedBeat(t *testing.T) {
	s := mustSealer(t, selfRef)
	b := plainBeat(3)
	b.Seq, b.Stage = 5, 99
	if _, err := s.Seal(b); err == nil {
		t.Fatal("an unknown stage was sealed")
	}
	b.Stage = 0
	if _, err := s.Seal(b); err != nil {
		t.Error(err)
	}
}

func TestPayloadsEndWhereTheyEnd(t *testing.T) {
	beat := plainBeat(16)
	beat.From, beat.Seq = peerRef, 1
	parts, err := mustSealer(t, peerRef, smallParts).Seal(beat)
	if err != nil || len(parts) < 2 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	_ = append(parts[0], 1, 2, 3) // must not reach into the next part
	o := mustOpener(t)
	for i, p := range parts {
		if _, reason := o.Open(p); reason.Dropped() {
			t.Errorf("part %d: %v", i, reason)
		}
	}
}

func TestPartSizeFollowsTheMTU(t *testing.T) {
	rows := []struct{ mtu, want int }{{1500, 1452}, {9000, 1452}, {1499, 1451}, {1280, 1232}, {304, 256}, {303, 0}, {0, 0}, {-1, 0}}
	for _, row := range rows {
		got, err := PartSize(row.mtu)
		if got != row.want || (err != nil) != (row.want == 0) {
			t.Errorf("MTU %d: %d, %v; want %d", row.mtu, got, err, row.want)
		}
	}
	s := mustSealer(t, selfRef)
	for _, size := range []int{0, MinPart - 1, MaxPart + 1} {
		if err := s.SetPartSize(size); err == nil {
			t.Errorf("part size %d was taken", size)
		}
	}
}

func TestNewSealerRefuses(t *testing.T) {
	rows := []struct {
		name   string
		change func(*SealerConfig)
	}{
		{"a short key", func(c *SealerConfig) { c.Key = c.Key[:16] }},
		{"a node without a name", func(c *SealerConfig) { c.Self = ownership.Ref{Incarnation: 1} }},
		{"no randomness left", func(c *SealerConfig) { c.Random = io.LimitReader(salt(1), 3) }},
		{"a part size too small", func(c *SealerConfig) { c.PartSize = 1 }},
	}
	for _, row := range rows {
		cfg := SealerConfig{Key: testKey, Cluster: "web", Self: selfRef, Random: salt(1)}
		row.change(&cfg)
		if s, err := NewSealer(cfg); err == nil {
			t.Errorf("%s: made %v", row.name, s)
		}
	}
}

// A later incarnation begins anew, sequence numbers too, and is opened; an earlier is refused.
func TestALaterIncarnation(t *testing.T) {
	s := mustSealer(t, selfRef)
	o := mustOpener(t)
	beat := *plainBeat(3)
	open := func() {
		t.Helper()
		for _, part := range mustSeal(t, s, &beat, 1) {
			if got, reason := o.Open(part); got == nil || got.From != beat.From {
				t.Fatalf("opens as %v: %v", got, reason)
			}
		}
	}
	open()
	beat.From.Incarnation++
	if _, err := s.Seal(&beat); err == nil {
		t.Error("sealed for an incarnation that it does not speak for")
	}
	if err := s.SetIncarnation(beat.From.Incarnation); err != nil {
		t.Fatal(err)
	}
	open()
	if err := s.SetIncarnation(beat.From.Incarnation); err == nil {
		t.Error("took the same incarnation again: nonces would be used twice")
	}
}

// Every input of the key makes another key: none of these opens the other's beat.
func TestSessionsHaveTheirOwnKeys(t *testing.T) {
	root, err := newRootKey(testKey)
	if err != nil {
		t.Fatal(err)
	}
	other, err := newRootKey(otherKey)
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		root          rootKey
		cluster, name string
		id            session
	}{
		{root, "web", "node-a", session{incarnation: 1}},
		{other, "web", "node-a", session{incarnation: 1}},
		{root, "webn", "ode-a", session{incarnation: 1}},
		{root, "web", "node-b", session{incarnation: 1}},
		{root, "web", "node-a", session{incarnation: 2}},
		{root, "web", "node-a", session{incarnation: 1, salt: [saltBytes]byte{1}}},
	}
	n := nonce(1, 0)
	seen := make(map[string]int)
	for i, row := range rows {
		aead, err := row.root.aead(row.cluster, row.name, row.id)
		if err != nil {
			t.Fatal(err)
		}
		sealed := string(aead.Seal(nil, n[:], make([]byte, 32), nil))
		if j, ok := seen[sealed]; ok {
			t.Errorf("rows %d and %d have one key", i, j)
		}
		seen[sealed] = i
	}
}
