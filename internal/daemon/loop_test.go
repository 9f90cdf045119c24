package daemon

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
	"github.com/rota-cluster/rota/internal/peer"
)

func TestALoopThatHasEndedAnswersAtOnce(t *testing.T) {
	l := &loop{orders: make(chan func() error), done: make(chan struct{})}
	close(l.done)
	err := l.ask(context.Background(), func() error { t.Error("runs although nobody may"); return nil })
	if !errors.Is(err, errStopping) {
		t.Errorf("got %v", err)
	}
}

func TestWhenTheInterfaceIsLookedAt(t *testing.T) {
	const ms = time.Millisecond
	rows := []struct {
		words           string
		interval, lease time.Duration
		beat            time.Duration // ago
		outage          error
		want            bool
	}{
		{"a beat has just come", 50 * ms, 300 * ms, 10 * ms, nil, false},
		{"none for half of what is left of the lease", 50 * ms, 300 * ms, 25 * ms, nil, true},
		{"a beat has come, but the cable was dead", 50 * ms, 300 * ms, 10 * ms, peer.ErrNoCarrier, true},
		{"five intervals in a lease: nothing to spare", 10 * ms, 50 * ms, 0, nil, true},
		{"four", 10 * ms, 40 * ms, 0, nil, true},
	}
	for _, r := range rows {
		t.Run(r.words, func(t *testing.T) {
			const now = ownership.Time(time.Hour)
			l := &loop{interval: r.interval, lease: r.lease, beatAt: now - r.beat, outage: outage{why: r.outage}}
			if got := l.looksAtFrames(now); got != r.want {
				t.Errorf("%v", got)
			}
		})
	}
}
