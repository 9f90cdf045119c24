package test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
	"github.com/rota-cluster/rota/internal/wire"
)

// undisturbed runs f while connections are open and clients ask, and expects
// that no view, no owner and no client notices. f starts no process; see asking.
func (c *cluster) undisturbed(f func()) {
	c.t.Helper()
	before := c.agreed()
	c.judged(func() {
		release := c.hold(c.Shared()[0], 30)
		flows, err := c.Client().Flows(probe.FlowOptions{To: web(c.Shared()[1]), Flows: 30, Every: 50 * time.Millisecond})
		must(c.t, err)
		asking := probe.Start(context.Background(), flows.Run)
		c.t.Cleanup(func() { _, _ = asking.Stop() })
		must(c.t, flows.WaitAnswered(soon(c.t)))
		since := time.Now()
		f()
		if err := flows.WaitAnswered(soon(c.t)); err != nil {
			report, failed := asking.Stop()
			c.t.Fatalf("%v; %s, %v", err, report, failed)
		}
		report, err := asking.Stop()
		must(c.t, err)
		for _, gap := range report.Gaps(since) {
			if gap.Length > locality+report.Stalled {
				c.t.Errorf("a flow went unanswered for %s", gap.Length.Round(time.Millisecond))
			}
		}
		release()
	})
	for i, s := range c.agreed() {
		if b := before[i]; s.View.ID != b.View.ID || !maps.Equal(s.Pools[0].Owners, b.Pools[0].Owners) || s.Pools[0].Owned != b.Pools[0].Owned {
			c.t.Errorf("%s: view %s became %s, owners %v became %v", s.Node, b.View.ID, s.View.ID, b.Pools[0].Owners, s.Pools[0].Owners)
		}
	}
}

// dropped is how many beats a node has dropped, by reason.
func dropped(t *testing.T, n *lab.Node) map[string]uint64 {
	t.Helper()
	return statuses(t, n)[0].Heartbeat.Dropped
}

// spoilt are the ways to spoil a beat, or none, and how the node it claims to
// come from and the others count it.
var spoilt = []struct {
	what            string
	spoil           func(beat []byte) []byte
	sender, another string
}{
	{"heard before", func(b []byte) []byte { return b }, "reflected", "replayed"},
	{"nothing", func([]byte) []byte { return nil }, "too-short", "too-short"},
	{"cut in its header", func(b []byte) []byte { return b[:30] }, "too-short", "too-short"},
	{"cut in its text", func(b []byte) []byte { return b[:len(b)-20] }, "reflected", "forged"},
	{"a byte longer", func(b []byte) []byte { return append(b, 0) }, "reflected", "forged"},
	{"longer than beats are", func(b []byte) []byte { return append(b, make([]byte, wire.MaxPart+1-len(b))...) }, "oversized", "oversized"},
	{"random", func(b []byte) []byte { _, _ = rand.Read(b); b[0] = 0; return b }, "bad-magic", "bad-magic"},
	{"another version", flipped(4), "unknown-version", "unknown-version"},
	{"another part", flipped(5), "bad-header", "bad-header"},
	{"another cluster", flipped(8), "other-cluster", "other-cluster"},
	{"another key", flipped(16), "reflected", "unknown-key"},
	{"another salt", flipped(20), "reflected", "forged"},
	{"another incarnation", flipped(35), "forged", "forged"},
	{"another sequence number", flipped(42), "reflected", "forged"},
	{"another name", flipped(44 + 5), "forged", "forged"},
	{"another text", func(b []byte) []byte { b[len(b)-17] ^= 1; return b }, "reflected", "forged"},
	{"another seal", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, "reflected", "forged"},
}

// flipped changes a bit of the byte at an offset.
func flipped(at int) func([]byte) []byte {
	return func(b []byte) []byte { b[at] ^= 1; return b }
}

// TestSpoiltBeats are counted, and nothing else happens; a person is told once
// of each kind of stranger that may be a mistake.
func TestSpoiltBeats(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3})
	m := c.addMallory()
	const beats = 20
	victim := c.Node(0)
	recorded := m.record(victim, beats)
	if name, _ := claimed(t, recorded[0]); name != victim.Name() {
		t.Fatalf("a beat of %s claims to be of %s", victim.Name(), name)
	}
	c.undisturbed(func() {
		for _, row := range spoilt {
			var frames [][]byte
			for _, b := range recorded {
				frames = append(frames, m.frame(row.spoil(slices.Clone(b))))
			}
			c.counted(row.what, beats, row.sender, row.another, func() { m.send(frames...) })
		}
		// In the reverse order, and as no node sends them.
		var backwards, routed, broken [][]byte
		for _, b := range recorded {
			f := m.frame(b)
			backwards = append([][]byte{f}, backwards...)
			routed = append(routed, ttl(f, 64))
			f = slices.Clone(f)
			f[len(f)-1] ^= 1
			broken = append(broken, f)
		}
		c.counted("reordered", beats, "reflected", "replayed", func() { m.send(backwards...) })
		c.counted("from beyond the segment", beats, "frame-routed", "frame-routed", func() { m.send(routed...) })
		c.counted("damaged on the way", beats, "frame-bad-checksum", "frame-bad-checksum", func() { m.send(broken...) })
	})
	for _, n := range c.Nodes() {
		var s api.Status
		must(t, json.Unmarshal([]byte(order(t, "status", "--json", "--socket", n.Socket())), &s))
		if s.Heartbeat.Dropped["bad-magic"] != beats || s.Heartbeat.Dropped["frame-routed"] != beats {
			t.Errorf("rota status of %s tells of dropped beats: %v", n.Name(), s.Heartbeat.Dropped)
		}
		for _, code := range []string{"wrong-key", "other-version", "other-cluster"} {
			if code == "wrong-key" && n == victim {
				continue // it takes these for its own
			}
			toldOnce(t, n, "code="+code)
			if !warns(&s, code, "") {
				t.Errorf("%s does not warn of %s: %v", n.Name(), code, s.Warnings)
			}
		}
	}
}

// counted expects that f raises one counter of each node by so many, and no other.
func (c *cluster) counted(what string, by uint64, atFirst, atOthers string, f func()) {
	c.t.Helper()
	before := make(map[*lab.Node]map[string]uint64)
	for _, n := range c.Nodes() {
		before[n] = dropped(c.t, n)
	}
	f()
	for i, n := range c.Nodes() {
		want := maps.Clone(before[n])
		if i == 0 {
			want[atFirst] += by
		} else {
			want[atOthers] += by
		}
		var got map[string]uint64
		if _, err := waitUntil(patience, func() bool {
			got = dropped(c.t, n)
			return maps.Equal(got, want)
		}); err != nil {
			c.t.Errorf("%s: %s counts %v, want %v", what, n.Name(), got, want)
		}
	}
}

// TestRecordedBeats are of no use later: not after their sender's restart, nor
// to a receiver that has been restarted itself.
func TestRecordedBeats(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3})
	m := c.addMallory()
	a, b, d := c.Node(0), c.Node(1), c.Node(2)
	const beats = 20
	old := m.record(b, beats)
	must(t, b.Restart())
	c.agreed()
	c.undisturbed(func() {
		c.replayedAs("stale", old, m, a, d)
		c.replayedAs("replayed", m.record(d, beats), m, a, b)
	})
	// Both kinds, from before its first moment on.
	stop := m.repeat(slices.Concat(old, m.record(a, beats), m.record(b, beats), m.record(d, beats)))
	c.judged(func() {
		must(t, a.Restart())
		c.even()
		c.answeredBy(c.Client(), c.Nodes()...)
	})
	c.undisturbed(func() {
		for _, reason := range []string{"stale", "replayed"} {
			was := dropped(t, a)[reason]
			c.until(a, "more "+reason, func(s *api.Status) bool { return s.Heartbeat.Dropped[reason] > was })
		}
	})
	stop()
	toldOnce(t, d, "code=stale")
}

// TestARecordingOfTheDead is not taken for them, nor waited for, by a node that
// starts when nobody else is left.
func TestARecordingOfTheDead(t *testing.T) {
	c := started(t, lab.Options{Nodes: 2})
	m := c.addMallory()
	alone, dead := c.Node(0), c.Node(1)
	// Played at the slowest pace that is no silence: for 15 s.
	const every, beats = 250 * time.Millisecond, 60
	var groups [][][]byte
	for _, p := range m.record(dead, beats) {
		groups = append(groups, [][]byte{p})
	}
	must(t, dead.Kill())
	must(t, alone.Stop())
	defer m.play(groups, every)()
	must(t, alone.Start())
	if _, err := c.WaitAgreed(soonBefore(t, beats*every/2), alone); err != nil {
		t.Fatal(err)
	}
	c.answeredBy(c.Client(), alone)
	c.until(alone, "recordings counted", func(s *api.Status) bool { return s.Heartbeat.Dropped["replayed"] > 0 })
}

// soonBefore is a context for what has a limit of its own.
func soonBefore(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// replayedAs expects that these nodes count recorded beats for a reason.
func (c *cluster) replayedAs(reason string, recorded [][]byte, m *mallory, nodes ...*lab.Node) {
	c.t.Helper()
	var want []uint64
	for _, n := range nodes {
		want = append(want, dropped(c.t, n)[reason]+uint64(len(recorded)))
	}
	for _, p := range recorded {
		m.send(m.frame(p))
	}
	for i, n := range nodes {
		c.until(n, reason, func(s *api.Status) bool { return s.Heartbeat.Dropped[reason] == want[i] })
	}
}

// TestAFlood on the beat's port, as fast as one sender can, costs the nodes
// time and nothing else.
func TestAFlood(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3})
	m := c.addMallory()
	beat := m.record(c.Node(0), 1)[0]
	garbage := make([]byte, len(beat))
	_, err := rand.Read(garbage)
	must(t, err)
	for _, flood := range []struct {
		what    string
		payload []byte
	}{
		{"garbage", garbage},
		{"forgeries", flipped(20)(slices.Clone(beat))}, // for each, a key is derived in vain
		{"replays", beat},
	} {
		t.Run(flood.what, func(t *testing.T) {
			c := c.in(t)
			frame := m.frame(flood.payload)
			c.undisturbed(func() {
				const lasts = 600 * time.Millisecond
				sent, begin := 0, time.Now()
				for ; time.Since(begin) < lasts; sent++ {
					m.send(frame)
				}
				t.Logf("%d frames a second", int(float64(sent)/time.Since(begin).Seconds()))
			})
			for _, n := range c.Nodes() {
				t.Logf("%s has dropped %v", n.Name(), dropped(t, n))
			}
		})
	}
}

// TestAPeerWithAWrongKey does not serve beside the others, and all say why.
// With the right one it is taken in.
func TestAPeerWithAWrongKey(t *testing.T) {
	c := idle(t, lab.Options{Nodes: 3})
	a, b, wrong := c.Node(0), c.Node(1), c.Node(2)
	right, other := filepath.Join(c.Dir(), "key"), filepath.Join(c.Dir(), "other-key")
	must(t, os.WriteFile(other, []byte(order(t, "key", "generate")), 0o600))
	edit(t, wrong, right, other)
	must(t, a.Start())
	must(t, b.Start())
	view := c.agreed(a, b)[0].View.ID
	c.judged(func() {
		release := c.hold(c.Shared()[0], 30)
		must(t, wrong.Start())
		held := c.until(wrong, "held back, and a reason", func(s *api.Status) bool {
			return s.State == api.Joining && !owning(s) && warns(s, "wrong-key", "node-") && warns(s, api.WarnNotServing, "does not serve beside them")
		})
		for _, n := range []*lab.Node{a, b} {
			c.until(n, "word of the wrong key", func(s *api.Status) bool { return warns(s, "wrong-key", wrong.Name()) })
		}
		// For longer than a node listens that is alone.
		c.until(wrong, "more time", func(s *api.Status) bool { return s.Now.Sub(held.Now) > 3*time.Second })
		c.answeredBy(c.Client(), a, b)
		if s := statuses(t, wrong)[0]; owning(s) || s.State != api.Joining {
			t.Errorf("%s is %s and owns %q", s.Node, s.State, s.Pools[0].Owned)
		}
		if now := c.agreed(a, b)[0].View.ID; now != view {
			t.Errorf("the others' view changed from %s to %s", view, now)
		}
		for _, n := range c.Nodes() {
			toldOnce(t, n, "code=wrong-key")
		}
		edit(t, wrong, other, right)
		must(t, wrong.Restart())
		c.even()
		release()
	})
}

// hangUp sends SIGHUP to a node's daemon.
func hangUp(t *testing.T, n *lab.Node) {
	t.Helper()
	pid, err := n.Pid()
	must(t, err)
	must(t, unix.Kill(pid, unix.SIGHUP))
}
