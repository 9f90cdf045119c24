package daemon

import (
	"bytes"
	"crypto/rand"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/ownership"
	"github.com/rota-cluster/rota/internal/peer"
	"github.com/rota-cluster/rota/internal/wire"
)

// TestStrangersAreToldOnce per kind and hour, however many come.
func TestStrangersAreToldOnce(t *testing.T) {
	shared := netip.MustParseAddr("192.0.2.10")
	var log bytes.Buffer
	s := newStrangers([]netip.Addr{shared}, slog.New(slog.NewTextHandler(&log, nil)))
	beat := peer.Payload{
		Data: sealed(t, "node-x"), SourceMAC: peer.MAC{2, 0, 0, 0, 0, 9},
		Source: netip.MustParseAddr("192.0.2.9"), Destination: netip.MustParseAddr("192.0.2.11"),
	}
	lines := func() int { return strings.Count(log.String(), "\n") }
	at := ownership.Time(time.Hour)
	if len(s.warnings(at)) != 0 || s.rivalWithin(time.Hour, at) {
		t.Error("warns of nobody")
	}
	for range 1000 {
		at += time.Millisecond
		for reason := range wire.Reason(wire.Reasons) {
			s.see(reason, beat, at)
		}
	}
	if lines() != 4 || !strings.Contains(log.String(), "node-x at 192.0.2.9, 02:00:00:00:00:09") {
		t.Errorf("four kinds, each a thousand times: %s", log.String())
	}
	if ws := s.warnings(at); len(ws) != 4 || ws[0].Code != "wrong-key" || ws[1].Code != "other-version" || ws[2].Code != "stale" || ws[3].Code != "other-cluster" {
		t.Errorf("%v", ws)
	}
	if ws := s.warnings(at + 42*time.Second); len(ws) != 4 || !strings.HasSuffix(ws[0].Text, "02:00:00:00:00:09, last 42 s ago)") {
		t.Errorf("not told how old that is, which may have been mended: %v", ws)
	}
	if s.rivalWithin(time.Hour, at) {
		t.Error("who sends elsewhere is no rival")
	}
	beat.Destination = shared
	s.see(wire.ReasonForged, beat, at)
	s.see(wire.ReasonStale, beat, at)
	if s.rivalWithin(time.Hour, at) {
		t.Error("a forger is no rival, nor is a recording")
	}
	s.see(wire.ReasonUnknownKey, beat, at)
	if !s.rivalWithin(time.Second, at) || s.rivalWithin(time.Second, at+time.Second) {
		t.Error("a rival is one for as long as it is asked for")
	}
	if ws := s.warnings(at + warnFor); len(ws) != 0 {
		t.Errorf("a minute after the last: %v", ws)
	}
	beat.Data = []byte("garbage")
	s.see(wire.ReasonUnknownKey, beat, at+tellAgain+time.Second)
	if lines() != 5 || !strings.Contains(log.String(), "somebody at 192.0.2.9") {
		t.Errorf("an hour later: %s", log.String())
	}
}

// sealed is a beat of a node.
func sealed(t *testing.T, name string) []byte {
	t.Helper()
	self := ownership.Ref{Name: name, Incarnation: 1}
	s, err := wire.NewSealer(wire.SealerConfig{Key: make([]byte, wire.KeyBytes), Cluster: "web", Self: self, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	parts, err := s.Seal(&ownership.Beat{From: self, Seq: 1, Lease: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return parts[0]
}

// What a node said of itself is over when it has said goodbye.
func TestWhoLeftIsNotIll(t *testing.T) {
	n := ownership.NodeStatus{Ref: ownership.Ref{Name: "node-b"}, Health: []string{"drains: the daemon stops"}}
	if got := nodeOf(n); len(got.Health) == 0 {
		t.Errorf("%+v", got)
	}
	n.Left = true
	if got := nodeOf(n); got.State != api.Left || len(got.Health) != 0 {
		t.Errorf("%+v", got)
	}
}
