package probe

import (
	"context"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/lab/segment"
)

// Client is a host from which probes run.
type Client struct {
	host    *segment.Host
	sources sources
}

// NewClient makes a client of a host; its probes take the host's own addresses.
func NewClient(h *segment.Host) *Client {
	c := &Client{host: h, sources: sources{handedOut: make(map[bool]int)}}
	for _, p := range h.Addresses() {
		c.sources.addresses = append(c.sources.addresses, p.Addr())
	}
	return c
}

// Host of the client.
func (c *Client) Host() *segment.Host { return c.host }

// Running is a probe at work beside its starter.
type Running[R any] struct {
	cancel context.CancelFunc
	done   chan struct{}
	report R
	err    error
}

// Start runs a probe's Run until Stop is called or ctx ends.
func Start[R any](ctx context.Context, run func(context.Context) (R, error)) *Running[R] {
	ctx, cancel := context.WithCancel(ctx)
	r := &Running[R]{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.report, r.err = run(ctx)
	}()
	return r
}

// Stop ends the probe and returns its report.
func (r *Running[R]) Stop() (R, error) {
	r.cancel()
	<-r.done
	return r.report, r.err
}

// Done is closed when the probe has ended by itself or by Stop.
func (r *Running[R]) Done() <-chan struct{} { return r.done }

// probeNice lets a probe look in time on a busy machine: what waits for the
// judge's processor is not the cluster's fault.
const probeNice = -10

// inHost runs a probe's loop on a thread of its own inside the client's host.
func inHost[R any](c *Client, loop func() (R, error)) (report R, err error) {
	err = c.host.Run(func() error {
		// Of this thread alone, which ends with the loop. Without the right to
		// it the probe is slower, and says so (FlowReport.Stalled).
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, probeNice)
		report, err = loop()
		return err
	})
	return report, err
}

// next source for a target.
func (c *Client) next(to netip.AddrPort) (netip.AddrPort, error) {
	return c.sources.next(to.Addr())
}
