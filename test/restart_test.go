package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
)

// held is for how long peers hold what a daemon owns that restarts, at the usual lease.
const held = 3 * time.Second

// TestARestartIsNoticedByNobody: of one daemon, and of all one after the other, under
// live connections and new ones; and the nodes go on as what they were.
func TestARestartIsNoticedByNobody(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3})
	clients := c.clients(lab.ClientOptions{Live: 60, Every: 50 * time.Millisecond, NewEvery: 20 * time.Millisecond})
	before, view := statuses(t, c.Nodes()...), c.view()
	pid, err := c.Node(0).Pid()
	must(t, err)
	for i, n := range c.Nodes() {
		if i == 1 {
			order(t, "restart", "--wait", "--socket", n.Socket())
		} else {
			must(t, n.Upgrade(soon(t)))
		}
		must(t, clients.WaitNew(soon(t), 20))
		c.unbroken("the restart of "+n.Name(), clients, 2*time.Second)
	}
	process, err := os.FindProcess(pid)
	must(t, err)
	started := statuses(t, c.Node(0))[0].Started
	must(t, process.Signal(syscall.SIGUSR2))
	c.until(c.Node(0), "another daemon", func(s *api.Status) bool { return !s.Started.Equal(started) })
	c.unbroken("a restart by signal", clients, 2*time.Second)

	c.even()
	for i, s := range statuses(t, c.Nodes()...) {
		if s.View.ID != view {
			t.Errorf("%s: view %s, was %s: the restarts moved something", s.Node, s.View.ID, view)
		}
		if was, is := self(before[i]), self(s); was.Incarnation != is.Incarnation || was.Incarnation == 0 {
			t.Errorf("%s: incarnation %d, was %d", s.Node, is.Incarnation, was.Incarnation)
		}
		if !strings.Contains(logOf(t, c.Nodes()[i]), "goes on after a restart") {
			t.Errorf("%s does not say that it goes on", s.Node)
		}
	}
	if now, err := c.Node(0).Pid(); err != nil || now != pid {
		t.Errorf("process %d, was %d: %v", now, pid, err)
	}
}

// self is what a node says of itself.
func self(s *api.Status) api.Node {
	for _, n := range s.Nodes {
		if n.Name == s.Node {
			return n
		}
	}
	return api.Node{}
}

func logOf(t *testing.T, n *lab.Node) string {
	t.Helper()
	text, err := os.ReadFile(n.LogFile())
	must(t, err)
	return string(text)
}

// TestARestartThatWouldFailIsRefused: the daemon says why in a line, and goes on.
func TestARestartThatWouldFailIsRefused(t *testing.T) {
	own := ownBinary(t)
	c := started(t, lab.Options{Nodes: 2, Binary: own.path})
	n := c.Node(0)
	clients := c.clients(lab.ClientOptions{Live: 20, Every: 50 * time.Millisecond, NewEvery: 50 * time.Millisecond})
	view := c.view()
	text, err := os.ReadFile(n.ConfigFile())
	must(t, err)
	for _, row := range []struct {
		what, word string
		spoil      func()
	}{
		{"a configuration with a mistake", "no_such_key", func() { edit(t, n, "cluster:", "no_such_key: 1\ncluster:") }},
		{"a program that is none", "exec format error", func() { own.write("nothing that runs\n") }},
		{"a program that fails", "exit status 3", func() { own.write("#!/bin/sh\nexit 3\n") }},
		{"another program", "is not rota", func() { own.write("#!/bin/sh\necho '{}'\n") }},
	} {
		row.spoil()
		o := rota(t, "restart", "--socket", n.Socket())
		if o.code != 1 || !strings.Contains(o.stderr, row.word) || strings.Count(o.stderr, "\n") != 1 {
			t.Errorf("%s: exit %d, %q; want 1 and a line with %q", row.what, o.code, o.stderr, row.word)
		}
		must(t, os.WriteFile(n.ConfigFile(), text, 0o600))
		own.restore()
	}
	c.unbroken("four restarts that are refused", clients, 2*time.Second)
	if now := c.view(); now != view {
		t.Errorf("view %s, was %s", now, view)
	}
	must(t, n.Upgrade(soon(t)))
	c.unbroken("one that is not", clients, 2*time.Second)
}

// TestAnotherConfiguration than one that can be carried on is taken up after a drain.
func TestAnotherConfiguration(t *testing.T) {
	c := started(t, lab.Options{Nodes: 2})
	n := c.Node(0)
	release := c.hold(c.Shared()[0], 20)
	asked, err := n.Status(soon(t))
	must(t, err)
	edit(t, n, "interface: ", "datapath: tc\nquorum: majority\nexpected_nodes: 2\ninterface: ")
	order(t, "restart", "--socket", n.Socket())
	c.until(n, "a drain", func(s *api.Status) bool { return s.State == api.Draining && s.Pools[0].Owned == "" })
	release()
	c.until(n, "another daemon, that starts anew", func(s *api.Status) bool {
		return !s.Started.Equal(asked.Started) && s.Quorum == "majority" && self(s).Incarnation > self(asked).Incarnation
	})
	if words := logOf(t, n); !strings.Contains(words, "drains before it restarts") {
		t.Errorf("does not say that it drains:\n%s", words)
	}
}

// TestARestartKeepsOrders, and the journal, on a node that owns nothing: it is held like any other; and
// where it has to start anew it goes by them all the same.
func TestARestartKeepsOrders(t *testing.T) {
	c := started(t, lab.Options{Nodes: 2})
	n, other := c.Node(0), c.Node(1)
	order(t, "weight", "50", "--socket", n.Socket())
	order(t, "drain", "--wait", "--reason", "new kernel", "--socket", n.Socket())
	asked := statuses(t, n)[0]
	stands := func(what string) {
		t.Helper()
		if s := statuses(t, n)[0]; s.State != api.Draining || !slices.Equal(self(s).Health, []string{"drains: new kernel"}) || !warns(s, api.WarnWeight, "weight 50 by order") {
			t.Errorf("%s: %s, %q, %v", what, s.State, self(s).Health, s.Warnings)
		}
		if words := order(t, "events", "--socket", n.Socket()); !strings.Contains(words, "weight in pool "+asked.Pools[0].Name+": 50, was 100") {
			t.Errorf("%s: the journal has forgotten the weight:\n%s", what, words)
		}
	}
	order(t, "restart", "--wait", "--socket", n.Socket())
	stands("held")
	if was, is := self(asked), self(statuses(t, n)[0]); was.Incarnation != is.Incarnation {
		t.Errorf("incarnation %d, was %d: it has started anew", is.Incarnation, was.Incarnation)
	}
	if words := order(t, "events", "--socket", other.Socket()); strings.Contains(words, "goodbye") {
		t.Errorf("the other heard a goodbye:\n%s", words)
	}
	edit(t, n, "interface: ", "datapath: tc\nquorum: majority\nexpected_nodes: 2\ninterface: ")
	order(t, "restart", "--wait", "--socket", n.Socket())
	stands("anew")
	if was, is := self(asked), self(statuses(t, n)[0]); was.Incarnation == is.Incarnation {
		t.Error("it has not started anew")
	}
}

// TestAnotherVersion that cannot carry on what there is: the daemon says so and drains first, and
// refuses where nobody could take over.
func TestAnotherVersion(t *testing.T) {
	own := ownBinary(t)
	c := started(t, lab.Options{Nodes: 2, Binary: own.path})
	n := c.Node(0)
	c.even()
	own.write(fmt.Sprintf("#!/bin/sh\n[ \"$1\" = version ] && exec echo '{\"version\":\"99\",\"estate\":\"another\"}'\nexec %s \"$@\"\n", binary))
	release := c.hold(c.Shared()[0], 20)
	asked := statuses(t, n)[0]
	order(t, "restart", "--socket", n.Socket())
	c.until(n, "a drain", func(s *api.Status) bool { return s.State == api.Draining && s.Pools[0].Owned == "" })
	if health := healthOf(statuses(t, c.Node(1))[0], n.Name()); len(health) != 1 || health[0] != "drains: the daemon restarts" {
		t.Errorf("the other says %q", health)
	}
	release()
	c.until(n, "another daemon, that starts anew", func(s *api.Status) bool {
		return !s.Started.Equal(asked.Started) && self(s).Incarnation > self(asked).Incarnation
	})
	if words := logOf(t, n); !strings.Contains(words, "version 99 cannot carry on what version") {
		t.Errorf("does not say why it drains:\n%s", words)
	}
	c.even()

	alone := c.Node(1)
	must(t, n.Leave(soon(t)))
	c.agreed(alone)
	if o := rota(t, "restart", "--socket", alone.Socket()); o.code != 1 || !strings.Contains(o.stderr, "version 99 cannot carry on") || !strings.Contains(o.stderr, "nobody else can take over") {
		t.Errorf("alone: exit %d, %q", o.code, o.stderr)
	}
	if s := statuses(t, alone)[0]; s.State != api.Serving {
		t.Errorf("alone, and refused: %s", s.State)
	}
}

// TestADaemonThatDoesNotComeBack: its datapath goes on for as long as the peers hold
// what it owns. A start within that time carries on; after it they have taken over.
func TestADaemonThatDoesNotComeBack(t *testing.T) {
	own := ownBinary(t)
	c := started(t, lab.Options{Nodes: 3, Binary: own.path})
	n := c.Node(1)
	clients, err := c.StartClients(soon(t), lab.ClientOptions{Live: 30, Every: 50 * time.Millisecond, NewEvery: 20 * time.Millisecond})
	must(t, err)
	view := c.view()

	own.endsAtStart()
	must(t, n.API().Restart(soon(t)))
	waitFor(t, "the end of the daemon", func() bool { return !n.Running() })
	own.restore()
	must(t, n.Start())
	c.even()
	if now := c.view(); now != view {
		t.Errorf("view %s, was %s, after a start in time", now, view)
	}
	c.unbroken("a daemon that a supervisor starts again", clients, 2*time.Second)
	last, err := clients.Stop()
	must(t, err)
	must(t, last.Check())

	own.endsAtStart()
	c.judged(func() {
		went := time.Now()
		must(t, n.API().Restart(soon(t)))
		c.agreed(c.Others(n)...)
		took := time.Since(went)
		t.Logf("taken over %s after the restart that failed", took)
		if took < held || took > held+takeover {
			t.Errorf("taken over after %s; %s are promised, in which its datapath may go on", took, held)
		}
		c.answeredBy(c.Client(), c.Others(n)...)
	}, n.Name())
}

// TestAStopIsADrain: nobody notices, and the daemon waits for its connections; the
// second signal ends the waiting, with a goodbye all the same. The last node does not wait.
func TestAStopIsADrain(t *testing.T) {
	c := started(t, lab.Options{Nodes: 3})
	n := c.Node(0)
	stop := c.asking(c.Client())
	release := c.hold(c.Shared()[0], 60)
	ended := make(chan error, 1)
	go func() { ended <- n.Leave(soon(t)) }()
	s := c.until(n, "a drain", func(s *api.Status) bool { return s.State == api.Draining && s.Pools[0].Owned == "" })
	for _, args := range [][]string{{"resume"}, {"drain"}, {"weight", "50"}, {"resume", "--node", n.Name()}} {
		at := n
		if len(args) > 2 {
			at = c.Node(1)
		}
		if o := rota(t, append(args, "--socket", at.Socket())...); o.code != 1 || !strings.Contains(o.stderr, "the daemon stops: it takes no more orders") {
			t.Errorf("%q while it stops: exit %d, %q", args, o.code, o.stderr)
		}
	}
	if words := order(t, "status", "--socket", n.Socket()); strings.Contains(words, "rota resume") || !strings.Contains(words, "as the daemon stops") {
		t.Errorf("invites what is refused:\n%s", words)
	}
	c.until(n, "50 more beats", func(now *api.Status) bool { return now.Heartbeat.Sent > s.Heartbeat.Sent+50 })
	if len(ended) > 0 {
		t.Error("the daemon has ended although connections are open")
	}
	release()
	must(t, <-ended)
	stop()

	n = c.Node(1)
	c.hold(c.Shared()[0], 60)
	go func() { ended <- n.Leave(soon(t)) }()
	c.until(n, "a drain", func(s *api.Status) bool { return s.State == api.Draining && s.Pools[0].Owned == "" })
	pid, err := n.Pid()
	must(t, err)
	must(t, syscall.Kill(pid, syscall.SIGTERM))
	must(t, <-ended)
	s = c.until(c.Node(2), "its goodbye", func(s *api.Status) bool { return peerState(s, n.Name()) == api.Left })
	if s.Pools[0].Owners[c.Node(2).Name()] != int(s.Pools[0].Buckets) {
		t.Errorf("the last node owns %d buckets", s.Pools[0].Owners[c.Node(2).Name()])
	}

	last := c.Node(2)
	began := time.Now()
	must(t, last.Leave(soon(t)))
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the last node took %s to stop", took)
	}
	if words := logOf(t, last); !strings.Contains(words, "nobody else can take over") {
		t.Errorf("does not say why it does not wait:\n%s", words)
	}
}

func peerState(s *api.Status, name string) api.State {
	for _, n := range s.Nodes {
		if n.Name == name {
			return n.State
		}
	}
	return ""
}

// binaryFile is a copy of rota that a test may replace by something else.
type binaryFile struct {
	t    *testing.T
	path string
}

func ownBinary(t *testing.T) *binaryFile {
	t.Helper()
	dir, err := os.MkdirTemp("", "rota")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	b := &binaryFile{t, filepath.Join(dir, "rota")}
	b.restore()
	return b
}

// restore puts rota there, as an upgrade does: the file that runs is another.
func (b *binaryFile) restore() {
	b.t.Helper()
	text, err := os.ReadFile(binary)
	must(b.t, err)
	b.write(string(text))
}

func (b *binaryFile) write(text string) {
	b.t.Helper()
	must(b.t, os.WriteFile(b.path+".new", []byte(text), 0o755))
	must(b.t, os.Rename(b.path+".new", b.path))
}

// endsAtStart puts a program there that is rota in every way, but ends when it is to run.
func (b *binaryFile) endsAtStart() {
	b.t.Helper()
	b.write(fmt.Sprintf("#!/bin/sh\n[ \"$1\" = run ] && exit 1\nexec %s \"$@\"\n", binary))
}
