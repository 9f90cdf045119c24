package datapath

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/netcfg"
	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

// childWay makes TestDaemonInAProcessOfItsOwn serve in a namespace prepared by
// another test, which then kills it.
const childWay = "ROTA_DATAPATH_TEST_WAY"

// TestDaemonInAProcessOfItsOwn does something only as the child of another test.
func TestDaemonInAProcessOfItsOwn(t *testing.T) {
	i, err := strconv.Atoi(os.Getenv(childWay))
	if err != nil {
		return
	}
	link, err := netcfg.LinkByName("node0")
	if err != nil {
		t.Fatal(err)
	}
	// The namespace is the process's own.
	h := &host{Space: netnstest.Current(t), t: t, reception: multicastReception, link: link}
	h.attach(ways[i].wish, ways[i].clsact)
	h.share()
	h.own()
	fmt.Fprintln(os.Stdout, "serving")
	select {} // until it is killed
}

// startDaemon runs one and waits until it serves.
func startDaemon(t *testing.T, h *host, way int) *exec.Cmd {
	t.Helper()
	child := exec.Command("/proc/self/exe", "-test.run=^TestDaemonInAProcessOfItsOwn$")
	child.Env = append(os.Environ(), childWay+"="+strconv.Itoa(way))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.Start(child)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), "serving") {
			return child
		}
	}
	t.Fatal("the daemon does not serve")
	return nil
}

func TestWhatAKilledDaemonLeftServesOnAndIsAdopted(t *testing.T) {
	for i := range ways {
		t.Run(wayName(i), func(t *testing.T) {
			h, client := segment(t)
			h.echo()
			other := secondSegment(t, h, "second0")
			wires := []*netnstest.Capture{client.Capture("client0"), other.Capture("other0")}
			daemon := startDaemon(t, h, i)
			conn := mustConnect(t, client)
			if err := daemon.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_, _ = daemon.Process.Wait()

			stood := h.standing()
			if want := append(slices.Clone(ways[i].stand), "second0 tc egress rota_guard "+byOf(i)); !slices.Equal(stood, want) {
				t.Errorf("after the kill there stand %q, want %q", stood, want)
			}
			if err := exchange(conn); err != nil { // its lease is an hour
				t.Errorf("a connection does not outlive the daemon: %v", err)
			}

			h.Do(h.adopt)
			if !h.found.Reused || !slices.Equal(h.found.Addresses, []netip.Addr{shared4, shared6}) ||
				len(h.found.MACs) != 1 || h.found.MACs[0].String() != h.reception.MAC.String() {
				t.Errorf("found %+v", h.found)
			}
			if c, err := connect(client, shared4, 100*time.Millisecond); err == nil {
				_ = c.Close()
				t.Error("adopted, but the dead daemon's lease goes on")
			}
			h.Do(func() error { return h.complete(ways[i].wish, ways[i].clsact) })
			h.share()
			h.own()
			if after := h.standing(); !slices.Equal(stood, after) {
				t.Errorf("after adoption there stand %q, before %q", after, stood)
			}
			if err := exchange(conn); err != nil {
				t.Errorf("the old connection is broken: %v", err)
			}
			if err := exchange(mustConnect(t, client)); err != nil {
				t.Error(err)
			}
			h.leave()
			if left := h.standing(); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			if leaks := append(wrong(wires[0].Frames(), h.reception.MAC), wrong(wires[1].Frames(), nil)...); len(leaks) > 0 {
				t.Errorf("bound to another MAC: %v", leaks)
			}
		})
	}
}

func byOf(way int) string {
	if ways[way].clsact {
		return "clsact"
	}
	return "tcx"
}

func mustConnect(t *testing.T, client *netnstest.Space) net.Conn {
	t.Helper()
	conn, err := connect(client, shared4, netnstest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestALeaseLastsUntilProgramsAreLoaded: that takes long, and peers may hold for as long what the
// dead daemon had. When Adopt returns the lease is over.
func TestALeaseLastsUntilProgramsAreLoaded(t *testing.T) {
	h, client := segment(t)
	h.attach(config.DatapathTC, false)
	h.share()
	h.own()
	h.echo()
	mustConnect(t, client)
	next := &host{Space: h.Space, t: t, link: h.link, reception: h.reception}
	stop, last := make(chan struct{}), make(chan time.Time, 1)
	go func() {
		var at time.Time
		defer func() { last <- at }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			if c, err := connect(client, shared4, 20*time.Millisecond); err == nil {
				at = time.Now()
				_ = c.Close()
			}
		}
	}()
	began := time.Now()
	next.Do(next.adopt)
	took := time.Since(began)
	close(stop)
	if answered := (<-last).Sub(began); answered < took/2 {
		t.Errorf("nobody was answered later than %v after the beginning of an adoption that took %v", answered, took)
	}
	if c, err := connect(client, shared4, 100*time.Millisecond); err == nil {
		_ = c.Close()
		t.Error("adopted, but the lease of before goes on")
	}
	next.Do(func() error { return next.complete(config.DatapathTC, false) })
	next.leave()
}

func TestOtherOptionsReplaceWhatWasLeft(t *testing.T) {
	h, client := segment(t)
	h.attach(config.DatapathXDP, false)
	h.share()
	h.own()
	h.echo()
	old := mustConnect(t, client)

	changed := &host{Space: h.Space, t: t, link: h.link, reception: unicastReception}
	changed.Do(changed.adopt)
	if changed.found.Reused || changed.found.Filters != 2 || len(changed.found.Addresses) != 2 || changed.found.MACs[0].String() != h.reception.MAC.String() {
		t.Errorf("found %+v", changed.found)
	}
	// What was left accepts nothing from the moment it was found.
	if c, err := connect(client, shared4, 100*time.Millisecond); err == nil {
		_ = c.Close()
		t.Error("the old programs' lease goes on")
	}
	changed.Do(func() error { return changed.complete(config.DatapathTC, false) })
	h.Do(func() error { return netcfg.StopReceiving(h.link, h.reception.MAC) })
	changed.share()
	changed.own()
	if want := ways[4].stand; !slices.Equal(changed.standing(), want) {
		t.Errorf("there stand %q, want %q", changed.standing(), want)
	}
	if err := exchange(old); err != nil {
		t.Errorf("the old connection, now by another MAC and at tc: %v", err)
	}
	changed.leave()
	if left := changed.standing(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// Every change of mode, while a client knocks without pause: nothing may answer
// that is not let in, neither the stack with a reset nor the service.
func TestNoChangeOfModeIsAMomentUnfiltered(t *testing.T) {
	h, client := segment(t)
	h.attach(config.DatapathTC, false)
	h.share()
	h.echo()
	knocks := knock(t, client, h)
	const xdp, xdpClsact, generic, genericClsact, atTC, atTCClsact = 0, 1, 2, 3, 4, 5 // in ways
	for _, i := range []int{
		// Every change between the three by TCX, into itself too; then by clsact; then across.
		atTC, xdp, xdp, generic, generic, atTC, generic, xdp, atTC,
		atTCClsact, atTCClsact, xdpClsact, xdpClsact, genericClsact, genericClsact, atTCClsact, genericClsact, xdpClsact, atTCClsact,
		xdp, xdpClsact, generic, genericClsact, atTC,
	} {
		h.attach(ways[i].wish, ways[i].clsact)
		knocks.wait(20)
		if got := h.standing(); !slices.Equal(got, ways[i].stand) {
			t.Fatalf("%s: there stand %q, want %q", wayName(i), got, ways[i].stand)
		}
	}
	if answers := knocks.answers(); len(answers) > 0 {
		t.Errorf("%d answers though nothing may be accepted, first %x", len(answers), answers[0].Bytes)
	}
	h.own()
	knocks.wire.Await("an answer, now that there may be one", isAnswer)
	h.leave()
}

func TestAbandonedInterfacesAreFound(t *testing.T) {
	h, _ := segment(t)
	secondSegment(t, h, "second0")
	h.attach(config.DatapathTC, false)
	h.share()
	var second netcfg.Link
	abandoned := func() (names []string) {
		h.Do(func() (err error) {
			if second, err = netcfg.LinkByName("second0"); err != nil {
				return err
			}
			all, err := Abandoned(second)
			for _, l := range all {
				names = append(names, l.Name)
			}
			return err
		})
		return names
	}
	if got := abandoned(); !slices.Equal(got, []string{"node0"}) {
		t.Errorf("abandoned: %q", got)
	}
	var lock *netcfg.Lock
	h.Do(func() (err error) {
		lock, err = netcfg.TakeLock(h.link)
		return err
	})
	if got := abandoned(); len(got) != 0 {
		t.Errorf("with a daemon: %q", got)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	h.leave()
	if got := abandoned(); len(got) != 0 {
		t.Errorf("after removal: %q", got)
	}
}
