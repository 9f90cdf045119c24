package sign

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
	fake "github.com/rota-cluster/rota/internal/lab/logind"
)

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// shutdownAlone is that sign as it is without configuration.
func shutdownAlone() []config.SignInForce {
	return slices.DeleteFunc(new(config.Config).SignsInForce(), func(s config.SignInForce) bool { return s.Name != "shutdown" })
}

// What is announced is not kept waiting for the next look.
func TestShutdownCalls(t *testing.T) {
	bus, err := fake.Listen(filepath.Join(t.TempDir(), "bus"))
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	signs := shutdownAlone()
	signs[0].Interval = 24 * time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	New(signs, Env{Now: time.Now, Bus: bus.Address()}, func(r Report) {
		switch {
		case r.Answer != health.Measured:
			t.Errorf("%+v", r)
		case r.Value == 0:
			bus.Announce(true)
		case !bus.Held(): // after holdFor
			cancel()
		}
	}).Run(ctx)
	if bus.Held() || !errors.Is(context.Cause(ctx), context.Canceled) {
		t.Error("does not call in time")
	}
}

func TestShutdown(t *testing.T) {
	bus, err := fake.Listen(filepath.Join(t.TempDir(), "bus"))
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	c := newClock()
	s := newShutdown(Env{Now: c.now, Bus: bus.Address()}).(*shutdown)
	defer s.close()
	expect(t, "up", s.read(), health.Measured, 0, "logind has announced no shutdown")
	if !bus.Held() {
		t.Error("holds no inhibitor")
	}

	bus.Announce(true)
	eventually(t, "it is noticed", func() bool { return s.read().Value == 1 })
	if !bus.Held() {
		t.Error("lets go before anything can be handed over")
	}
	c.pass(holdFor)
	expect(t, "going down", s.read(), health.Measured, 1, "the host is going down")
	eventually(t, "lets go", func() bool { return !bus.Held() })

	// Called off: it holds a new inhibitor.
	bus.Announce(false)
	eventually(t, "called off", func() bool { return s.read().Value == 0 })
	eventually(t, "holds a new inhibitor", func() bool { s.read(); return bus.Held() })

	// The bus ends first, as in a shutdown: what was announced stays.
	bus.Announce(true)
	eventually(t, "it is noticed again", func() bool { return s.read().Value == 1 })
	bus.Hangup()
	s.bus = "unix:path=/no/such/bus"
	eventually(t, "the connection ends", func() bool { return !s.conn.Connected() })
	expect(t, "without a bus", s.read(), health.Measured, 1, "the host is going down")
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// A logind that gives the inhibitor and fails after it is asked again each second.
func TestShutdownKeepsNothingOfWhatFailed(t *testing.T) {
	bus, err := fake.Listen(filepath.Join(t.TempDir(), "bus"))
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	for _, method := range []string{"Hello", "AddMatch", "Inhibit", "Get"} {
		bus.Fail(method)
		c := newClock()
		s := newShutdown(Env{Now: c.now, Bus: bus.Address()}).(*shutdown)
		for range 3 {
			if r := s.read(); r.Answer != health.Broken {
				t.Errorf("%s fails: %+v", method, r)
			}
			c.pass(retry)
		}
		eventually(t, method+" fails, and no inhibitor is held", func() bool { return !bus.Held() })
		s.close()
	}
}

// What others on the bus forge is not believed, and descriptors that nobody has asked for are not taken.
func TestShutdownTakesNoLitter(t *testing.T) {
	bus, err := fake.Listen(filepath.Join(t.TempDir(), "bus"))
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	s := newShutdown(Env{Now: time.Now, Bus: bus.Address()}).(*shutdown)
	defer s.close()
	expect(t, "up", s.read(), health.Measured, 0, "logind has announced no shutdown")
	before := openDescriptors(t)
	for range 20 {
		if err := bus.Litter(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "they are heard", s.heard.Load)
	expect(t, "forged", s.read(), health.Measured, 0, "logind has announced no shutdown")
	bus.Announce(true) // behind them
	eventually(t, "it is noticed", func() bool { return s.read().Value == 1 })
	if after := openDescriptors(t); after > before {
		t.Errorf("%d descriptors more", after-before)
	}
}

// A look that is under way when the watcher ends leaves nothing when it comes back.
func TestWhatComesBackLateLeavesNothing(t *testing.T) {
	bus, err := fake.Listen(filepath.Join(t.TempDir(), "bus"))
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	signs := shutdownAlone()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	bus.Stall(func() { cancel(); <-ended })
	New(signs, Env{Now: time.Now, Bus: bus.Address()}, func(r Report) { t.Errorf("%+v", r) }).Run(ctx)
	close(ended)
	eventually(t, "an inhibitor is given, and let go", func() bool { return bus.Given() == 1 && !bus.Held() })
}

// However often signs are looked at anew, at each reload, nothing stays open of those before.
func TestNothingLeaks(t *testing.T) {
	bus, err := fake.Listen(filepath.Join(t.TempDir(), "bus"))
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	signs := new(config.Config).SignsInForce()
	for i := range signs {
		signs[i].Interval = 10 * time.Millisecond
		switch signs[i].Name {
		case "hosts":
			signs[i].Items = []string{"127.0.0.1", "::1", "192.0.2.1"}
		case "certificates":
			signs[i].Items = []string{"/dev/zero", "/no/such"}
		case "io_errors":
			signs[i].Interval = 15 * time.Millisecond // read apart from the other kernel records
		}
	}
	look := func() {
		ctx, cancel := context.WithCancel(t.Context())
		var looks atomic.Int32
		w := New(signs, Env{Roots: HostRoots(), Now: time.Now, Interface: "lo", Bus: bus.Address()}, func(Report) {
			if looks.Add(1) == 100 {
				cancel()
			}
		})
		w.Run(ctx)
		New(signs, Env{Roots: HostRoots(), Now: time.Now, Interface: "lo", Bus: bus.Address()}, func(Report) {}).Once(t.Context())
	}
	look()                                                         // what is made once, like the runtime's poller
	ours := func() int { return openDescriptors(t) - bus.Given() } // the bus keeps an end of each inhibitor
	before := -1
	eventually(t, "it is quiet", func() bool {
		was := before
		time.Sleep(50 * time.Millisecond)
		before = ours()
		return was == before && !bus.Held()
	})
	for range 5 {
		look()
	}
	eventually(t, "nothing of it is open", func() bool { return ours() <= before && !bus.Held() })
}
