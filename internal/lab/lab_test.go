package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab/probe"
	"github.com/rota-cluster/rota/internal/lab/segment"
)

func TestNodesComeServeAndGo(t *testing.T) {
	l := startLab(t, Options{Nodes: 2})
	all, err := l.WaitAgreed(soon(t))
	must(t, err)
	if len(all) != 2 || Even(all[0].Pools[0], 2) != nil {
		t.Errorf("statuses %+v; want two nodes with even shares", all)
	}
	added, err := l.AddNode(soon(t))
	must(t, err)
	_, err = l.WaitAgreed(soon(t))
	must(t, err)
	for i, n := range l.Nodes() {
		for _, own := range n.Host().Addresses() {
			report, err := l.Client().Burst(soon(t), probe.Burst{To: web(own.Addr()), Connections: 5})
			must(t, err)
			if report.ByNode[nodeName(i)] != 5 {
				t.Errorf("%s: %s; want 5 answers by %s", own, report, nodeName(i))
			}
		}
	}
	must(t, added.Stop())
	_, err = l.WaitAgreed(soon(t), l.Others(added)...)
	must(t, err)
}

func TestDaemonsAreFrozenThawedKilledAndStarted(t *testing.T) {
	l := startLab(t, Options{Nodes: 1})
	n := l.Node(0)
	must(t, n.Freeze())
	waitFor(t, "a stopped process", func() bool { return processState(t, n) == "T" })
	if c := n.Condition(); c != "frozen" {
		t.Errorf("condition %q, want frozen", c)
	}
	must(t, n.Thaw())
	waitFor(t, "a process that goes on", func() bool { return processState(t, n) != "T" })
	before, err := n.Pid()
	must(t, err)
	must(t, n.Kill())
	if n.Running() || n.Condition() != "stopped" {
		t.Error("runs on after a kill")
	}
	for _, do := range []func() error{n.Kill, n.Stop, n.Freeze} {
		if err := do(); !errors.Is(err, errNotRunning) {
			t.Errorf("of a dead daemon: %v", err)
		}
	}
	must(t, n.Start())
	if err := n.Start(); err == nil {
		t.Error("started twice")
	}
	_, err = l.WaitAgreed(soon(t))
	must(t, err)
	must(t, n.Freeze())
	must(t, n.Stop()) // also when frozen
	must(t, n.Start())
	_, err = l.WaitAgreed(soon(t))
	must(t, err)
	if after, err := n.Pid(); err != nil || after == before {
		t.Errorf("process %d, %v; want another than %d", after, err, before)
	}
	use, err := n.Usage(soon(t), 100*time.Millisecond)
	must(t, err)
	if use.Resident < 1<<20 || use.CPU < 0 || use.CPU > 2 {
		t.Errorf("usage %s makes no sense", use)
	}
}

func TestCutPartitionAndHealReachTheWire(t *testing.T) {
	l := startLab(t, Options{Nodes: 3})
	a, b, c := l.Node(0), l.Node(1), l.Node(2)
	reach := func(from, to *Node) bool {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		conn, err := from.Host().Dial(ctx, "tcp", web(to.Host().Addresses()[0].Addr()).String())
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}
	expect := func(sentence string, from, to *Node, want bool) {
		t.Helper()
		waitFor(t, sentence, func() bool { return reach(from, to) == want })
	}
	expect("a reaches b", a, b, true)
	must(t, b.Cut())
	if b.Condition() != "cut" || len(l.healthy()) != 2 {
		t.Errorf("b is %s", b.Condition())
	}
	expect("b is cut", a, b, false)
	expect("c is not", a, c, true)
	must(t, b.Heal())
	expect("b is back", a, b, true)
	must(t, b.Unplug())
	expect("b is unplugged", a, b, false)
	must(t, b.Heal())
	expect("b is plugged in", a, b, true)
	must(t, l.Partition([]*Node{a}, []*Node{b, c}))
	expect("a is alone", a, b, false)
	expect("b and c are together", b, c, true)
	must(t, l.HealPartition())
	expect("all are together", a, b, true)
	must(t, l.Split([]*segment.Host{a.Host(), l.Client().Host()}, []*segment.Host{b.Host()}))
	for n, want := range map[*Node]int{a: 5, b: 0} {
		to := web(n.Host().Addresses()[0].Addr())
		report, err := l.Client().Burst(soon(t), probe.Burst{To: to, Connections: 5, Patience: 300 * time.Millisecond})
		must(t, err)
		if report.ByNode[n.Name()] != want {
			t.Errorf("parted with a, the client asked %s: %s; want %d answers", n.Name(), report, want)
		}
	}
	must(t, l.HealPartition())
	must(t, b.Lose(segment.Loss{Beats: segment.Certain}))
	expect("beats are not TCP", a, b, true)
}

func TestLabsLiveSideBySide(t *testing.T) {
	root := shortDir(t)
	one := startLab(t, Options{Nodes: 1, Root: root})
	two := startLab(t, Options{Nodes: 1, Root: root})
	if one.Name() == two.Name() {
		t.Fatalf("both are %s", one.Name())
	}
	third, err := New(Options{Nodes: 1, Root: root, Name: one.Name()})
	must(t, err)
	err = third.Start(soon(t))
	if !errors.Is(err, errTaken) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("a third lab of a taken name: %v; want that process %d runs it", err, os.Getpid())
	}
	names := namespacesOf(t, one)
	must(t, one.Close())
	must(t, one.Close()) // twice is fine
	for _, ns := range names {
		if _, err := os.Stat("/run/netns/" + ns); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s outlives its lab: %v", ns, err)
		}
	}
	_, err = two.WaitAgreed(soon(t))
	must(t, err)
	must(t, two.Close())
	if left, err := os.ReadDir(root); err != nil || len(left) != 0 {
		t.Errorf("%v, %v left of the labs", left, err)
	}
}

func TestAKilledLabIsRemovedByTheNext(t *testing.T) {
	root := shortDir(t)
	living := startLab(t, Options{Nodes: 1, Root: root})
	name := fmt.Sprintf("kill%d", os.Getpid())
	cmd := exec.Command(os.Args[0], "lab-to-kill", root, name)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var pids []int
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "up" {
		pid, err := strconv.Atoi(lines.Text())
		must(t, err)
		pids = append(pids, pid)
	}
	if len(pids) != 2 {
		t.Fatalf("daemons %v of the lab to kill, want 2", pids)
	}
	must(t, syscall.Kill(pids[0], syscall.SIGSTOP)) // a frozen daemon dies as well
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for _, pid := range pids {
		waitFor(t, "daemons to die with their lab", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
	}
	left, err := filepath.Glob("/run/netns/rota-" + name + "-*")
	must(t, err)
	if len(left) != 4 {
		t.Fatalf("namespaces %v of the killed lab, want 4", left)
	}

	startLab(t, Options{Nodes: 1, Root: root})
	left, err = filepath.Glob("/run/netns/rota-" + name + "-*")
	must(t, err)
	if len(left) != 0 {
		t.Errorf("%v outlive the killed lab and the next one's start", left)
	}
	if _, err := os.Stat(filepath.Join(root, name)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory is left: %v", err)
	}
	_, err = living.WaitAgreed(soon(t))
	must(t, err)
}

func TestALabThatCannotStartLeavesNothing(t *testing.T) {
	root := shortDir(t)
	for _, o := range []Options{
		{Quorum: "most"},
		{Lease: time.Millisecond},
		{Name: "Not_A_Name"},
		{Binary: "/nowhere/rota"},
	} {
		o.Root, o.Nodes = root, 1
		l, err := New(o)
		must(t, err)
		if err := l.Start(soon(t)); err == nil {
			t.Errorf("%+v started", o)
		}
		if left, err := os.ReadDir(root); err != nil || len(left) != 0 {
			t.Errorf("%+v left %v, %v", o, left, err)
		}
	}
	for _, o := range []Options{{Nodes: 65}, {Nodes: -1}, {ClientAddresses: 100}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v accepted", o)
		}
	}
}

func TestADaemonThatFailsIsToldWithItsReason(t *testing.T) {
	t.Setenv(failing, "1")
	l := startLab(t, Options{Nodes: 1})
	begin := time.Now()
	_, err := l.WaitAgreed(soon(t))
	if !errors.Is(err, errEnded) || !strings.Contains(err.Error(), "this is the reason") {
		t.Errorf("got %v; want the daemon's own words", err)
	}
	if time.Since(begin) > 5*time.Second {
		t.Error("waited although the daemon had ended")
	}
}

// TestWhatNodesDisagreeAboutIsTold when there is no more time, although that cuts
// the last look off; that a daemon does not answer is told of one that does not.
func TestWhatNodesDisagreeAboutIsTold(t *testing.T) {
	l := new(Lab)
	within, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	looks := 0
	_, err := l.wait(within, nil, func(ctx context.Context) ([]*api.Status, error) {
		if looks++; looks == 1 {
			return nil, agreesOn(&api.Status{Node: "node-a", State: api.Draining, Warnings: []api.Warning{
				{Code: api.WarnNotServing, Text: "hands over: no route to the segment of 192.0.2.10"},
			}}, nil)
		}
		<-ctx.Done()
		return nil, errors.New("does not answer: is it stopped?")
	})
	if want := "node-a is draining (hands over: no route to the segment of 192.0.2.10)"; err == nil ||
		!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "does not answer") || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v; want %q", err, want)
	}

	frozen := startLab(t, Options{Nodes: 1})
	n := frozen.Node(0)
	_, err = frozen.WaitAgreed(soon(t))
	must(t, err)
	must(t, n.Freeze())
	within, cancel = context.WithTimeout(context.Background(), askPatience+200*time.Millisecond)
	defer cancel()
	_, err = frozen.WaitAgreed(within, n)
	if err == nil || !strings.Contains(err.Error(), "status of node-a: ") || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("of a frozen daemon: %v", err)
	}
}

func TestADemoThatTakesTooLongSaysWhatItWasAbout(t *testing.T) {
	var said strings.Builder
	err := demoWithin(context.Background(), time.Second, Options{Root: shortDir(t)}, &said)
	if want := "while the daemons were idle: the demo has 1s for everything"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v; want %s…, after\n%s", err, want, said.String())
	}
}

func TestIdleLabWaitsForItsDaemonsAndTakesMoreClients(t *testing.T) {
	l := startLab(t, Options{Nodes: 2, Idle: true, ClientAddresses: 60})
	if l.Node(0).Running() || len(l.healthy()) != 0 {
		t.Error("a daemon runs")
	}
	must(t, l.StartDaemons())
	_, err := l.WaitAgreed(soon(t))
	must(t, err)
	second, err := l.AddClient("client-2")
	must(t, err)
	report, err := second.Burst(soon(t), probe.Burst{To: web(l.Node(1).Host().Addresses()[0].Addr()), Connections: 5})
	must(t, err)
	must(t, report.Check())
	if _, err := l.AddClient("client-3"); err == nil {
		t.Error("a client beyond the network's addresses")
	}
}

func TestLoadRunsAndEnds(t *testing.T) {
	l := startLab(t, Options{Nodes: 1})
	stop, err := l.Load(2)
	must(t, err)
	must(t, stop())
	must(t, stop())
}

// startLab starts a lab that ends with the test.
func startLab(t *testing.T, o Options) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("a lab needs root: run the tests as root")
	}
	if o.Root == "" {
		o.Root = shortDir(t)
	}
	l, err := New(o)
	must(t, err)
	must(t, l.Start(soon(t)))
	t.Cleanup(func() { must(t, l.Close()) })
	return l
}

// shortDir is a directory whose sockets' paths fit sockaddr_un.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lab")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

func namespacesOf(t *testing.T, l *Lab) []string {
	t.Helper()
	names := []string{l.Segment().Namespace()}
	for _, h := range l.Segment().Hosts() {
		names = append(names, h.Namespace())
	}
	for _, ns := range names {
		if _, err := os.Stat("/run/netns/" + ns); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

func processState(t *testing.T, n *Node) string {
	t.Helper()
	pid, err := n.Pid()
	must(t, err)
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(t, err)
	_, after, _ := strings.Cut(string(stat), ") ")
	return after[:1]
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s for: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
