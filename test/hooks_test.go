package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
)

// hookDocument is what a hook reads, by the names that the documentation gives.
type hookDocument struct {
	Event, Kind, Cluster, Node, Peer, State, Reason string
	StateBefore                                     string `json:"state_before"`
	Degraded                                        bool
	View                                            struct {
		ID      string
		Members []string
	}
	Pools []struct {
		Name        string
		Addresses   []string
		Buckets     int
		Owned       int
		OwnedBefore int `json:"owned_before"`
	}
}

// hookOn puts an executable into a node's folder; read is what it was told so far.
func hookOn(t *testing.T, n *lab.Node, body string) (read func() []hookDocument) {
	t.Helper()
	out := filepath.Join(n.HooksDir(), ".out")
	must(t, os.WriteFile(filepath.Join(n.HooksDir(), "notify"), []byte("#!/bin/sh\n"+strings.ReplaceAll(body, "OUT", out)), 0o755))
	return func() (all []hookDocument) {
		text, err := os.ReadFile(out)
		if os.IsNotExist(err) {
			return nil
		}
		must(t, err)
		for line := range strings.Lines(string(text)) {
			var one hookDocument
			if json.Unmarshal([]byte(line), &one) == nil { // the last line may be half written
				all = append(all, one)
			}
		}
		return all
	}
}

// TestHooks are told of what happens to the cluster, in order.
func TestHooks(t *testing.T) {
	c := idle(t, lab.Options{Nodes: 2})
	a, b := c.Node(0), c.Node(1)
	read := hookOn(t, a, "cat >> OUT")
	must(t, c.StartDaemons())
	c.even()
	expect := func(what string, fits func(hookDocument) bool) {
		t.Helper()
		waitFor(t, "a hook that is told of "+what, func() bool { return slices.ContainsFunc(read(), fits) })
	}
	expect("its node that serves", func(e hookDocument) bool {
		return e.Event == "state" && e.State == "serving" && e.Node == a.Name() && e.Cluster == c.Name()
	})
	expect("half of the buckets", func(e hookDocument) bool {
		p := e.Pools[0]
		return e.Event == "ownership" && p.Owned == 2048 && p.OwnedBefore != 2048 && p.Buckets == 4096 && len(p.Addresses) == 2 &&
			slices.Equal(e.View.Members, []string{a.Name(), b.Name()})
	})
	order(t, "drain", "--reason", "new kernel", "--socket", a.Socket())
	expect("a drain and its reason", func(e hookDocument) bool {
		return e.Event == "state" && e.StateBefore == "serving" && e.State == "draining" && strings.Contains(e.Reason, "new kernel")
	})
	order(t, "resume", "--socket", a.Socket())
	c.even()
	must(t, a.Host().Run(func() error { return deleteAddress(first, lab.Shared4.String()+"/32") }))
	expect("drift", func(e hookDocument) bool {
		return e.Event == "drift" && e.Kind == "drift" && strings.Contains(e.Reason, lab.Shared4.String()) && strings.Contains(e.Reason, "put back")
	})
	must(t, b.Kill())
	expect("a peer that is silent", func(e hookDocument) bool { return e.Event == "peer" && e.Kind == "peer-silent" && e.Peer == b.Name() })
	expect("a takeover", func(e hookDocument) bool {
		return e.Event == "takeover" && e.Peer == b.Name() && e.Pools[0].Owned == 4096 && e.Pools[0].OwnedBefore < 4096
	})
	must(t, b.Start())
	c.even()
	expect("a peer that is back", func(e hookDocument) bool { return e.Event == "peer" && e.Kind == "peer-heard" && e.Peer == b.Name() })
	must(t, a.Stop())
	all := read()
	if last := all[len(all)-1]; last.State != "stopped" {
		t.Errorf("the last word is %+v, not that it has stopped", last)
	}
	for i, e := range all {
		if e.Event == "state" && e.State == e.StateBefore || e.Reason == "" && e.Event != "state" {
			t.Errorf("number %d: %+v", i, e)
		}
	}
}

// TestAHookIsNoBurdenToTheBeat: it runs at normal priority, with none of the
// daemon's privileges to be in a hurry, and one that hangs delays nothing.
func TestAHookIsNoBurdenToTheBeat(t *testing.T) {
	c := idle(t, lab.Options{Nodes: 2})
	n := c.Node(0)
	out := filepath.Join(n.HooksDir(), ".process")
	hookOn(t, n, fmt.Sprintf("{ cut -d' ' -f 18,19,41 /proc/$$/stat; grep VmLck /proc/$$/status; ls -l /proc/$$/fd; } > %s; sleep 1000", out))
	must(t, c.StartDaemons())
	c.even()
	var text string
	waitFor(t, "a hook that tells what it is", func() bool {
		b, err := os.ReadFile(out)
		text = string(b)
		return err == nil && strings.Count(text, "\n") >= 5
	})
	// Priority 20 is nice 0 without real time; policy 0 is SCHED_OTHER. The daemon has sockets, and BPF programs and maps.
	if lines := strings.Split(text, "\n"); lines[0] != "20 0 0" || strings.Join(strings.Fields(lines[1]), " ") != "VmLck: 0 kB" ||
		strings.Contains(text, "socket:") || strings.Contains(text, "anon_inode:") {
		t.Errorf("priority, nice value, policy, locked memory and descriptors of a hook: %q", text)
	}
	view := c.view()
	sent := c.until(n, "an answer", func(*api.Status) bool { return true }).Heartbeat.Sent
	c.until(n, "40 more beats", func(s *api.Status) bool { return s.Heartbeat.Sent > sent+40 })
	if now := c.view(); now != view {
		t.Errorf("the view changed from %s to %s", view, now)
	}
}
