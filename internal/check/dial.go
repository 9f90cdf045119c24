package check

import (
	"context"
	"net"
	"time"
)

// connection ends with its context, and by a reset.
type connection struct {
	net.Conn
	stop func() bool
}

func (c connection) Close() error {
	c.stop()
	return c.Conn.Close()
}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1, Resolver: resolver(ctx)}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if t, ok := conn.(*net.TCPConn); ok {
		if err := t.SetLinger(0); err != nil {
			_ = conn.Close() // the first error is the one to tell
			return nil, err
		}
	}
	// Whatever is read or written returns at once when the time is over.
	return connection{conn, context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })}, nil
}

// resolver looks a name up for no longer than ctx lasts. Go's own goes on for seconds when nobody waits any more, with
// its sockets, if the name server does not answer.
func resolver(ctx context.Context) *net.Resolver {
	ask := func(_ context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		until, bounded := ctx.Deadline()
		if err != nil || !bounded {
			return conn, err
		}
		if packets, ok := conn.(*net.UDPConn); ok { // which a resolver knows by its type
			return datagrams{packets, until}, nil
		}
		return stream{conn, until}, nil
	}
	return &net.Resolver{PreferGo: true, Dial: ask}
}

// datagrams and stream have no later deadline than until.
type (
	datagrams struct {
		*net.UDPConn
		until time.Time
	}
	stream struct {
		net.Conn
		until time.Time
	}
)

func (d datagrams) SetDeadline(t time.Time) error { return d.UDPConn.SetDeadline(earlier(t, d.until)) }
func (s stream) SetDeadline(t time.Time) error    { return s.Conn.SetDeadline(earlier(t, s.until)) }

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || a.After(b) { // zero: none
		return b
	}
	return a
}
