package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/rota-cluster/rota/internal/lab/probe"
	"github.com/rota-cluster/rota/internal/lab/service"
)

// ClientOptions of a cluster's clients. They are spread over the shared addresses.
type ClientOptions struct {
	Live     int           // connections that stay open
	Every    time.Duration // a question on each of them
	NewEvery time.Duration // a new connection of all clients together
	SlowOver time.Duration // new ones that waited for longer are told one by one
}

// Clients of a cluster: connections that stay open and are asked all the time,
// new ones that come all the time, and a tap that reads what sockets hide.
type Clients struct {
	held     []*probe.Held
	arrivals []*probe.Arrivals
	tap      *probe.Tap

	holding  []*probe.Running[probe.HeldReport]
	arriving []*probe.Running[probe.ArrivalReport]
	tapping  *probe.Running[probe.TapReport]
}

// ClientReport is what clients saw in one lap.
type ClientReport struct {
	Live    int // connections that stay, those that broke included
	Asked   int // questions on them
	Broken  []probe.Break
	Longest time.Duration // that a live connection waited for an answer

	New     int // connections that came
	Failed  int // of those that ended
	Slowest time.Duration
	Slow    []probe.Arrival // slow ones and failed ones

	Tapped  probe.TapReport
	Stalled time.Duration // see probe.FlowReport; of all probes
	Took    time.Duration
}

// StartClients starts the clients and returns when the connections that stay are open.
func (l *Lab) StartClients(ctx context.Context, o ClientOptions) (*Clients, error) {
	c := new(Clients)
	shared := l.Shared()
	for i, a := range shared {
		live := (o.Live + i) / len(shared)
		held, err := l.client.Held(probe.HeldOptions{To: netip.AddrPortFrom(a, service.LinePort), Connections: live, Every: o.Every})
		if err != nil {
			return nil, err
		}
		c.held = append(c.held, held)
		arrivals, err := l.client.Arrivals(probe.ArrivalOptions{
			To: netip.AddrPortFrom(a, service.HTTPPort), Every: o.NewEvery * time.Duration(len(shared)), SlowOver: o.SlowOver,
		})
		if err != nil {
			return nil, err
		}
		c.arrivals = append(c.arrivals, arrivals)
	}
	var err error
	if c.tap, err = l.OpenTap(); err != nil {
		return nil, err
	}
	running := context.WithoutCancel(ctx)
	c.tapping = probe.Start(running, c.tap.Run)
	for _, held := range c.held {
		c.holding = append(c.holding, probe.Start(running, held.Run))
	}
	for _, arrivals := range c.arrivals {
		c.arriving = append(c.arriving, probe.Start(running, arrivals.Run))
	}
	for _, held := range c.held {
		if err := held.WaitOpen(ctx); err != nil {
			_, stopErr := c.Stop()
			return nil, errors.Join(err, stopErr)
		}
	}
	return c, nil
}

// WaitNew waits until so many more new connections have come to each shared
// address, and have been answered or have failed.
func (c *Clients) WaitNew(ctx context.Context, more int) error {
	for _, arrivals := range c.arrivals {
		if err := arrivals.WaitEnded(ctx, more); err != nil {
			return err
		}
	}
	return nil
}

// Lap reports what the clients saw since the last call, or since the start.
func (c *Clients) Lap() (r ClientReport, err error) {
	r.Tapped, err = c.tap.Lap()
	for _, held := range c.held {
		r.addHeld(held.Lap())
	}
	for _, arrivals := range c.arrivals {
		r.addArrivals(arrivals.Lap())
	}
	return r, err
}

// Stop ends the clients, once the last of those that came have been answered,
// and reports what they saw since the last Lap.
func (c *Clients) Stop() (r ClientReport, err error) {
	for _, arriving := range c.arriving {
		report, failed := arriving.Stop()
		r.addArrivals(report)
		err = errors.Join(err, failed)
	}
	for _, holding := range c.holding {
		report, failed := holding.Stop()
		r.addHeld(report)
		err = errors.Join(err, failed)
	}
	tapped, failed := c.tapping.Stop()
	r.Tapped = tapped
	return r, errors.Join(err, failed)
}

func (r *ClientReport) addHeld(h probe.HeldReport) {
	r.Live += h.Opened
	r.Asked += h.Asked
	r.Broken = append(r.Broken, h.Broken...)
	r.Longest = max(r.Longest, h.Longest)
	r.Stalled, r.Took = max(r.Stalled, h.Stalled), max(r.Took, h.Took)
}

func (r *ClientReport) addArrivals(a probe.ArrivalReport) {
	r.New += a.Asked
	r.Failed += a.Failed()
	r.Slowest = max(r.Slowest, a.Latency.Max)
	r.Slow = append(r.Slow, a.Slow...)
	r.Stalled, r.Took = max(r.Stalled, a.Stalled), max(r.Took, a.Took)
}

// Check tells what a user would call wrong, but for slowness.
func (r ClientReport) Check() error {
	err := r.Tapped.Check()
	if len(r.Broken) > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d live connections broke; the first: %+v", len(r.Broken), r.Live, r.Broken[0]))
	}
	if r.Failed > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d new connections were not answered; slow or failed: %v", r.Failed, r.New, r.Slow))
	}
	return err
}

func (r ClientReport) String() string {
	short := func(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
	return fmt.Sprintf("%d live asked %d times: %d broken, slowest answer %s; %d new: %d failed, slowest %s; %d answered twice; in %s, the probe stalled up to %s",
		r.Live, r.Asked, len(r.Broken), short(r.Longest), r.New, r.Failed, short(r.Slowest), r.Tapped.Twice, r.Took.Round(time.Millisecond), short(r.Stalled))
}
