package test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
	"github.com/rota-cluster/rota/internal/wire"
)

// TestTheKeyIsRotated on all nodes, one after the other, as docs/operations.md
// says: nothing fails, and nobody is ever sent what it cannot open.
func TestTheKeyIsRotated(t *testing.T) {
	c := idle(t, lab.Options{Nodes: 3})
	master := filepath.Join(c.Dir(), "key")
	files := make(map[*lab.Node]string)
	for _, n := range c.Nodes() {
		files[n] = filepath.Join(filepath.Dir(n.ConfigFile()), "key")
		copyKey(t, master, files[n])
		edit(t, n, master, files[n])
	}
	var steps []string // key files; made now, because no process may begin while flows ask
	for i := range config.KeySteps {
		step := fmt.Sprintf("%s-%d", master, i+1)
		order(t, "key", "rotate", master)
		copyKey(t, master, step)
		steps = append(steps, step)
	}
	must(t, c.StartDaemons())
	c.even()
	before := statuses(t, c.Nodes()...)
	bucket := c.bucketOf("198.51.100.7:4711")
	c.judged(func() {
		release4, release6 := c.hold(c.Shared()[0], 30), c.hold(c.Shared()[1], 30)
		// 100 new connections a second.
		flows, err := c.Client().Flows(probe.FlowOptions{To: web(c.Shared()[0]), Flows: 100, Every: time.Second, Patience: 5 * time.Second})
		must(t, err)
		asking := probe.Start(context.Background(), flows.Run)
		t.Cleanup(func() { _, _ = asking.Stop() })
		must(t, flows.WaitAnswered(soon(t)))
		for _, step := range steps {
			for _, n := range c.Nodes() {
				copyKey(t, step, files[n])
				hangUp(t, n)
				c.uses(n, step)
			}
			must(t, flows.WaitAnswered(soon(t)))
		}
		report, err := asking.Stop()
		must(t, err)
		for outcome, n := range report.Outcomes {
			if outcome != probe.Answered && n > 0 {
				t.Errorf("%d new connections: %v", n, outcome)
			}
		}
		t.Logf("%d connections answered in %s, the key changed meanwhile; %s", report.Outcomes[probe.Answered], report.Took.Round(time.Millisecond), &report.Latency)
		release4()
		release6()
	})
	for i, s := range c.agreed() {
		if s.View.ID != before[i].View.ID || s.Pools[0].Owned != before[i].Pools[0].Owned || len(s.Warnings) != 0 {
			t.Errorf("%s: view %s became %s, warnings %v", s.Node, before[i].View.ID, s.View.ID, s.Warnings)
		}
		if len(s.Heartbeat.Dropped) != 0 {
			t.Errorf("%s has dropped beats: %v", s.Node, s.Heartbeat.Dropped)
		}
		if len(s.Heartbeat.Keys) != 1 || s.Heartbeat.Keys[0] == before[i].Heartbeat.Keys[0] {
			t.Errorf("%s uses the keys %v, before it was %v", s.Node, s.Heartbeat.Keys, before[i].Heartbeat.Keys)
		}
		if n := told(t, c.Node(i), "key file: now seals with"); n != config.KeySteps {
			t.Errorf("%s tells of %d changes of its keys, want %d", s.Node, n, config.KeySteps)
		}
		if n := c.Node(i); told(t, n, "uses the key file anew") != config.KeySteps {
			t.Errorf("%s has not told of %d changes", n.Name(), config.KeySteps)
		}
	}
	c.keepsItsKeys(files[c.Node(0)])

	// A daemon that starts with the rotated key hashes as the others do.
	must(t, c.Node(1).Restart())
	c.even()
	if now := c.bucketOf("198.51.100.7:4711"); now != bucket {
		t.Errorf("bucket %d has become %d", bucket, now)
	}
	for _, n := range c.Nodes() {
		c.keepsSecrets(n, files[n])
	}
}

// keepsItsKeys gives the first node bad key files, each of which it refuses
// with one line.
func (c *cluster) keepsItsKeys(file string) {
	c.t.Helper()
	n := c.Node(0)
	good, err := os.ReadFile(file)
	must(c.t, err)
	_, rest, _ := strings.Cut(string(good), "\n")
	stranger := order(c.t, "key", "generate")
	keys := statuses(c.t, n)[0].Heartbeat.Keys
	for i, bad := range []struct {
		text, says string
		mode       os.FileMode
	}{
		{"garbage\n", "is not base64", 0o600},
		{string(good), "can be used by others", 0o644},
		{stranger, "would change the seed of pool web", 0o600},
		{stranger + rest, "still seals with", 0o600}, // which its peers do not have
	} {
		must(c.t, os.WriteFile(file, []byte(bad.text), 0o600))
		must(c.t, os.Chmod(file, bad.mode))
		hangUp(c.t, n)
		waitFor(c.t, "a line about "+bad.says, func() bool { return told(c.t, n, "keeps the keys in use") == i+1 })
		toldOnce(c.t, n, bad.says)
	}
	if now := statuses(c.t, n)[0].Heartbeat.Keys; !slices.Equal(now, keys) {
		c.t.Errorf("%s uses %v after bad key files, before it was %v", n.Name(), now, keys)
	}
	must(c.t, os.WriteFile(file, good, 0o600))
	must(c.t, os.Chmod(file, 0o600))
	c.agreed()
}

// uses waits until a node uses the keys of a file.
func (c *cluster) uses(n *lab.Node, file string) {
	c.t.Helper()
	keys, err := config.LoadKeys(file)
	must(c.t, err)
	var want []string
	for _, key := range keys.Accepted() {
		id, err := wire.KeyID(key)
		must(c.t, err)
		want = append(want, id)
	}
	c.until(n, "the keys of the file", func(s *api.Status) bool { return slices.Equal(s.Heartbeat.Keys, want) })
}

// keepsSecrets expects that no key stands in a node's log.
func (c *cluster) keepsSecrets(n *lab.Node, file string) {
	c.t.Helper()
	text, err := os.ReadFile(file)
	must(c.t, err)
	for word := range strings.FieldsSeq(string(text)) {
		if len(word) > 6 && told(c.t, n, word) > 0 {
			c.t.Errorf("%s has a key in its log", n.Name())
		}
	}
}

// bucketOf a source that asks the first shared address.
func (c *cluster) bucketOf(from string) uint32 {
	c.t.Helper()
	src, dst := netip.MustParseAddrPort(from), web(c.Shared()[0])
	e, err := c.Node(1).API().Explain(soon(c.t), api.ExplainQuery{
		Src: api.Endpoint{Addr: src.Addr(), Port: src.Port(), HasPort: true}, Dst: api.Endpoint{Addr: dst.Addr(), Port: dst.Port(), HasPort: true},
	})
	must(c.t, err)
	return e.Bucket
}

// copyKey copies a key file as a person would, for its owner alone.
func copyKey(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, text, 0o600))
}
