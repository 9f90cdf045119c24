package check

import (
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/health"
)

// lacks are errors that say nothing of a target: the daemon or its host has too little of something.
var lacks = [...]struct {
	errno unix.Errno
	cure  string
}{
	{unix.EMFILE, "raise LimitNOFILE of the daemon"},
	{unix.ENFILE, "raise fs.file-max"},
	{unix.ENOMEM, "this host is short of memory"},
	{unix.ENOBUFS, "this host is short of memory for its network"},
	{unix.ENOSPC, "raise fs.epoll.max_user_watches"},
	{unix.EADDRNOTAVAIL, "no local address or port is free to ask from, see net.ipv4.ip_local_port_range"},
}

// lackOf is what to say of an error that is of this host, not of the target; "" if it is not.
func lackOf(err error) string {
	var lookup *net.DNSError
	if errors.As(err, &lookup) { // it does not tell: "no such host" is what it says if no file can be read
		err = openAny()
	}
	if noWayTo(err) {
		return ""
	}
	for _, l := range lacks {
		if errors.Is(err, l.errno) {
			return l.errno.Error() + " (" + l.cure + ")"
		}
	}
	return ""
}

// noWayTo tells whether a target could not be called because this host has no address to call it from, as with IPv6
// switched off: so nobody here can be its service. The kernel says the same of a host that has no port left.
func noWayTo(err error) bool {
	var call *net.OpError
	if !errors.Is(err, unix.EADDRNOTAVAIL) || !errors.As(err, &call) || call.Addr == nil {
		return false
	}
	// This needs an address too, but a port of another protocol.
	conn, err := net.Dial("udp", call.Addr.String())
	if err == nil {
		_ = conn.Close() // nothing has been sent
	}
	return errors.Is(err, unix.EADDRNOTAVAIL)
}

// openAny is why no descriptor can be had, if none can.
func openAny() error {
	f, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	return f.Close()
}

// unlooked is the outcome of a probe that came to nothing for a lack: no verdict.
func unlooked(doing, lack string) Outcome {
	return Outcome{Result: health.Result{Text: "could not look: " + doing + ": " + lack}, Answer: health.Broken, Percent: 100}
}
