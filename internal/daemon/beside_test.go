package daemon

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
	"github.com/rota-cluster/rota/internal/ownership"
	"github.com/rota-cluster/rota/internal/peer"
)

// logbook is a log that is written and read side by side.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logbook) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

// TestAnInterfaceThatComesAndGoes carries beats whenever it is there, and is told of once each time.
func TestAnInterfaceThatComesAndGoes(t *testing.T) {
	here, there := netnstest.New(t), netnstest.New(t)
	shared := []netip.Addr{netip.MustParseAddr("192.0.2.10")}
	log := &logbook{}
	cfg := &config.Config{Heartbeat: config.Heartbeat{Interfaces: []string{"eth1"}, Port: config.DefaultBeatPort}}
	open := func(peer.Payload) *ownership.Beat { return &ownership.Beat{Seq: 1} }
	d := newDetours(cfg, shared, netip.Addr{}, open, func() {}, func(string) {}, slog.New(slog.NewTextHandler(log, nil)))

	ctx, cancel := context.WithCancel(context.Background())
	here.Go(func() error { // run's only goroutine, on a thread inside the namespace
		d.beside[0].run(ctx, func(p peer.Payload) { d.take(p, ownership.PathSecond) })
		return nil
	})
	t.Cleanup(cancel)

	netnstest.Until(t, "it is told that the interface is missing", func() bool { return log.count("does not work") == 1 })
	for round := 1; round <= 2; round++ {
		netnstest.Veth(here, "eth1", there, "eth1")
		var other *peer.Transport
		there.Do(func() (err error) {
			other, err = peer.Open(peer.Options{Interface: "eth1", Addresses: shared, Port: cfg.Heartbeat.Port, Beside: true})
			return err
		})
		netnstest.Until(t, "a beat comes in", func() bool {
			d.send([][]byte{{1}}, nil)
			_ = other.Send([][]byte{{2}}) // lost while the interface is not opened yet
			return len(d.arrived) > 0
		})
		netnstest.Until(t, "beats go out", func() bool {
			d.send([][]byte{{1}}, nil)
			return d.status()[0].Sent > 0 && d.status()[0].Trouble == ""
		})
		if n := log.count("heartbeat on eth1 works"); n != round {
			t.Errorf("told %d times that it works, want %d", n, round)
		}
		here.Delete("eth1")
		netnstest.Until(t, "its going is told", func() bool {
			d.send([][]byte{{1}}, nil)
			return d.status()[0].Trouble != ""
		})
		if err := other.Close(); err != nil {
			t.Error(err)
		}
		for len(d.arrived) > 0 {
			<-d.arrived
		}
	}
}
