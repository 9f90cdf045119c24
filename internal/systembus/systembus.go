// Package systembus connects to the D-Bus system bus. It knows nothing of what is asked there.
//
// Its one invariant: nobody else on the bus can make this process keep a descriptor. Any user may
// send signals with some along, and the D-Bus library would keep them open for ever.
package systembus

import (
	"cmp"
	"context"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/godbus/dbus/v5"
)

// Address of the bus.
func Address() string {
	return cmp.Or(os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"), "unix:path=/run/dbus/system_bus_socket")
}

// Connect opens a connection that takes no descriptors, and ends when ctx does.
func Connect(ctx context.Context, address string, options ...dbus.ConnOption) (*dbus.Conn, error) {
	options = append(options, dbus.WithContext(ctx))
	path, ok := socketOf(address)
	if !ok {
		return dbus.Connect(address, options...) // not by a socket that can carry any
	}
	socket, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	conn, err := dbus.NewConn(socket, options...)
	if err != nil {
		_ = socket.Close() // the first error is the one to tell
		return nil, err
	}
	if err = conn.Auth(nil); err == nil {
		err = conn.Hello()
	}
	if err != nil {
		_ = conn.Close() // the first error is the one to tell
		return nil, err
	}
	return conn, nil
}

// socketOf is the first Unix socket of an address, "Server Addresses" of the D-Bus specification.
func socketOf(address string) (path string, ok bool) {
	for one := range strings.SplitSeq(address, ";") {
		keys, isUnix := strings.CutPrefix(one, "unix:")
		for pair := range strings.SplitSeq(keys, ",") {
			key, value, _ := strings.Cut(pair, "=")
			value, err := url.PathUnescape(value)
			switch {
			case !isUnix || err != nil:
			case key == "path":
				return value, true
			case key == "abstract":
				return "@" + value, true
			}
		}
	}
	return "", false
}
