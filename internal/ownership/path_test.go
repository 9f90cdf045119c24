package ownership

import (
	"testing"
	"time"
)

// directTo runs for d and returns how many beats of a node went by unicast, and when
// its first did.
func directTo(w *net, name string, d time.Duration) (sent int, first Time) {
	w.direct = func(from string, to []Recipient) {
		if from != name || len(to) == 0 {
			return
		}
		if sent++; first == 0 {
			first = w.now
		}
	}
	w.run(d, nil)
	return sent, first
}

// TestUnicastIsForThoseWhomTheServicePathDoesNotReach, and for nobody else.
func TestUnicastIsForThoseWhomTheServicePathDoesNotReach(t *testing.T) {
	w := newNet(t)
	for i, name := range []string{"node-a", "node-b", "node-c"} {
		cfg := testConfig(name, uint64(i+1))
		cfg.Address = "192.0.2." + name[5:]
		cfg.Quorum, cfg.ExpectedNodes = QuorumMajority, 3 // or node-b would go on alone
		w.start(cfg)
	}
	if n, _ := directTo(w, "node-a", 5*time.Second); n != 0 {
		t.Errorf("%d beats by unicast while all is well", n)
	}
	at := w.now
	w.cut = func(from, _ string) bool { return from == "node-b" }
	if n, first := directTo(w, "node-a", 250*time.Millisecond); n == 0 || first-at > 4*50*time.Millisecond {
		t.Errorf("%d beats by unicast to who is not heard, the first after %v", n, first-at)
	}
	w.run(time.Second, nil) // silent by now
	if n, _ := directTo(w, "node-a", 10*time.Second); n < 9 || n > 11 {
		t.Errorf("%d beats by unicast in 10 s to who is silent", n)
	}
	w.cut = func(from, _ string) bool { return from == "node-a" } // node-b and node-c do not hear it
	w.run(time.Second, nil)
	if n, _ := directTo(w, "node-a", time.Second); n < 10 {
		t.Errorf("%d beats by unicast in 1 s to who does not hear", n)
	}
}

// TestWithoutAnAddressThereIsNoUnicast: nobody knows where to send it.
func TestWithoutAnAddressThereIsNoUnicast(t *testing.T) {
	w := newNet(t)
	for i, name := range []string{"node-a", "node-b"} {
		cfg := testConfig(name, uint64(i+1))
		cfg.Quorum, cfg.ExpectedNodes = QuorumMajority, 2
		w.start(cfg)
	}
	w.run(2*time.Second, nil)
	w.cut = func(from, _ string) bool { return from == "node-b" }
	if n, _ := directTo(w, "node-a", 2*time.Second); n != 0 {
		t.Errorf("%d beats by unicast to nowhere", n)
	}
}

// TestTheSameBeatByAnotherPathIsNoNews: it costs no step and asks for nothing.
func TestTheSameBeatByAnotherPathIsNoNews(t *testing.T) {
	w := newNet(t)
	a := w.start(testConfig("node-a", 1))
	b := w.start(testConfig("node-b", 2))
	w.run(2*time.Second, nil)
	p := a.n.peer("node-b")
	beat := *p.beat
	if got := a.n.Step(w.now, BeatReceived{Beat: &beat, Path: PathSecond}); got != nil {
		t.Errorf("asks for %v", got)
	}
	if a.n.pathOf(p) != PathService || a.n.InDoubt() || b.n.InDoubt() {
		t.Error("doubts a service path that works")
	}
}
