package sign

import (
	"context"
	"errors"
	"path/filepath"
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

// What is announced is not kept waiting for the next look.
func TestShutdownCalls(t *testing.T) {
	bus, err := fake.Listen(filepath.Join(t.TempDir(), "bus"))
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	var signs []config.SignInForce
	for _, s := range new(config.Config).SignsInForce() {
		if s.Name == "shutdown" {
			s.Interval = 24 * time.Hour
			signs = append(signs, s)
		}
	}
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
