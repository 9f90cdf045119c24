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
	d := net.Dialer{KeepAlive: -1}
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
