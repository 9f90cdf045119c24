package probe

import (
	"bytes"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Outcome is what became of a connection that asked who answers.
type Outcome uint8

// Outcomes.
const (
	Answered    Outcome = iota // a node told its name
	Refused                    // the SYN was answered by a reset
	Reset                      // an open connection was reset
	Closed                     // an open connection was closed before the answer
	Unanswered                 // nothing came within the patience
	Unreachable                // the client's kernel knew no way (ARP or ND failed)
	Misanswered                // the answer was not a node's name
	outcomes
)

var outcomeNames = [outcomes]string{
	"answered", "refused", "reset", "closed", "unanswered", "unreachable", "misanswered",
}

func (o Outcome) String() string {
	if o < outcomes {
		return outcomeNames[o]
	}
	return "unknown"
}

// request is the smallest that HTTP knows; the server closes after its answer (RFC 1945).
var request = []byte("GET / HTTP/1.0\r\n\r\n")

type phase uint8

const (
	idle phase = iota
	connecting
	asking
)

// ask is one connection after the other, each asking who answers.
type ask struct {
	id         int32
	generation int32
	fd         int
	phase      phase
	started    time.Time
	from       netip.AddrPort
	reply      [512]byte
	got        int
}

func newAsk(id int) ask { return ask{id: int32(id), fd: -1} }

// start opens a connection. Outcome is Answered while it is under way.
func (a *ask) start(p *poller, now time.Time, from, to netip.AddrPort) (Outcome, error) {
	a.started, a.from = now, from
	fd, err := openSocket(from, to)
	if err != nil {
		return outcomeOf(err, connecting)
	}
	a.generation++
	a.fd, a.phase, a.got = fd, connecting, 0
	if err := p.add(fd, readiness{a.id, a.generation}); err != nil {
		a.abort()
		return Unreachable, err
	}
	return Answered, nil
}

// abort closes the connection, if there is one.
func (a *ask) abort() {
	if a.fd >= 0 {
		_ = unix.Close(a.fd) // nothing to lose: linger is 0
	}
	a.fd, a.phase = -1, idle
}

// advance goes as far as it can without waiting. Done means that the
// connection is closed and has the outcome; node is whose name it got.
func (a *ask) advance() (done bool, node string, outcome Outcome, err error) {
	node, err = a.step()
	switch {
	case err == nil && node == "":
		return false, "", Answered, nil
	case err != nil:
		outcome, err = outcomeOf(err, a.phase)
	}
	a.abort()
	return true, node, outcome, err
}

var (
	errClosed      = errors.New("closed before the answer")
	errMisanswered = errors.New("the answer is not a node's name")
)

func (a *ask) step() (node string, err error) {
	if a.phase == connecting {
		if err := socketError(a.fd); err != nil {
			return "", err
		}
		_, err := unix.Write(a.fd, request)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOTCONN) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		a.phase = asking
	}
	for {
		n, err := unix.Read(a.fd, a.reply[a.got:])
		if errors.Is(err, unix.EAGAIN) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		if n == 0 {
			if a.got == len(a.reply) {
				return "", errMisanswered
			}
			return "", errClosed
		}
		a.got += n
		if node, complete, err := nodeIn(a.reply[:a.got]); complete || err != nil {
			return node, err
		}
	}
}

// nodeIn finds the node's name in an HTTP response: a body of one line.
func nodeIn(response []byte) (node string, complete bool, err error) {
	head, body, found := bytes.Cut(response, []byte("\r\n\r\n"))
	if !found {
		return "", false, nil
	}
	if _, status, _ := bytes.Cut(head, []byte(" ")); !bytes.HasPrefix(status, []byte("200")) {
		return "", false, errMisanswered
	}
	name, _, found := bytes.Cut(body, []byte("\n"))
	if !found {
		return "", false, nil
	}
	if len(name) == 0 {
		return "", false, errMisanswered
	}
	return string(name), true, nil
}

// outcomeOf gives an error its outcome. The error stays if it is the probe's
// own fault rather than the network's.
func outcomeOf(err error, p phase) (Outcome, error) {
	switch {
	case errors.Is(err, errClosed):
		return Closed, nil
	case errors.Is(err, errMisanswered):
		return Misanswered, nil
	case errors.Is(err, unix.ECONNREFUSED):
		return Refused, nil
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		if p == connecting {
			return Refused, nil
		}
		return Reset, nil
	case errors.Is(err, unix.ETIMEDOUT):
		return Unanswered, nil
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH),
		errors.Is(err, unix.ENETDOWN), errors.Is(err, unix.EHOSTDOWN):
		return Unreachable, nil
	}
	return Unreachable, err
}
