package daemon

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/ownership"
	"github.com/rota-cluster/rota/internal/peer"
	"github.com/rota-cluster/rota/internal/wire"
)

// TestAComplaintIsToldWhenItBeginsAndEnds, however often it is found.
func TestAComplaintIsToldWhenItBeginsAndEnds(t *testing.T) {
	var log bytes.Buffer
	var events []string
	c := complaint{log: slog.New(slog.NewTextHandler(&log, nil)), what: "heartbeat on eth1", said: func(text string) { events = append(events, text) }}
	down, gone := errors.New("down"), errors.New("gone")
	for _, row := range []struct {
		err   error
		lines int
		text  string
	}{{nil, 0, ""}, {down, 1, "down"}, {down, 1, "down"}, {gone, 1, "gone"}, {nil, 2, ""}, {nil, 2, ""}, {down, 3, "down"}} {
		if err := c.tell(row.err); !errors.Is(err, row.err) {
			t.Errorf("returns %v for %v", err, row.err)
		}
		if n := strings.Count(log.String(), "\n"); n != row.lines || len(events) != row.lines || c.text() != row.text {
			t.Errorf("after %v: %d lines, %q; want %d, %q", row.err, n, c.text(), row.lines, row.text)
		}
	}
}

func TestWithoutAnAddressTheStatusSaysThatThereIsNoUnicast(t *testing.T) {
	cfg := &config.Config{Heartbeat: config.Heartbeat{Interfaces: []string{"eth1"}, Port: config.DefaultBeatPort}}
	d := newDetours(cfg, nil, netip.Addr{}, nil, nil, nil, slog.New(slog.DiscardHandler))
	d.send([][]byte{{1}}, []ownership.Recipient{{Name: "node-b", Address: "192.0.2.2"}}) // goes nowhere
	paths := d.status()
	if len(paths) != 2 || paths[0].Path != "second" || paths[0].Interface != "eth1" || paths[0].Trouble != "" ||
		paths[1].Path != "unicast" || !strings.Contains(paths[1].Trouble, "no address of its own") {
		t.Errorf("got %+v", paths)
	}
}

// TestABeatWaitsForTheLoop, and one too many is dropped rather than waited for.
func TestABeatWaitsForTheLoop(t *testing.T) {
	beat, woken := &ownership.Beat{Seq: 1}, 0
	open := func(p peer.Payload) *ownership.Beat {
		if len(p.Data) == 0 {
			return nil
		}
		return beat
	}
	d := newDetours(&config.Config{}, nil, netip.Addr{}, open, func() { woken++ }, nil, slog.New(slog.DiscardHandler))
	d.take(peer.Payload{}, ownership.PathSecond) // no beat
	for range beatsWaiting + 3 {
		d.take(peer.Payload{Data: []byte{1}}, ownership.PathUnicast)
	}
	if len(d.arrived) != beatsWaiting || woken != beatsWaiting || d.overruns.Load() != 3 {
		t.Errorf("%d wait, woken %d times, %d dropped", len(d.arrived), woken, d.overruns.Load())
	}
	if a := <-d.arrived; a.beat != beat || a.path != ownership.PathUnicast {
		t.Errorf("got %+v", a)
	}
}

// TestTheNewerOfTwoMemoriesCounts: what one path has heard is old on the other.
func TestTheNewerOfTwoMemoriesCounts(t *testing.T) {
	heard := func(name string, incarnation, seq uint64) wire.Heard {
		return wire.Heard{From: ownership.Ref{Name: name, Incarnation: incarnation}, Seq: seq}
	}
	got := newest(
		[]wire.Heard{heard("a", 2, 5), heard("b", 1, 9), heard("c", 3, 1)},
		[]wire.Heard{heard("a", 2, 7), heard("b", 1, 4), heard("c", 4, 0), heard("d", 1, 1)})
	want := []wire.Heard{heard("a", 2, 7), heard("b", 1, 9), heard("c", 4, 0), heard("d", 1, 1)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
