package check

import (
	"context"
	"errors"
	"net"
)

// talk is a check that says one thing over TCP and judges what comes back.
type talk struct {
	address string // host and port
	says    []byte // may be nothing
	judge   func() judge
	past    any // what is kept of one answer for the next, a pointer; nil: nothing
}

func (t talk) memory() any { return t.past }

// judge of one answer is given all that has come of it so far. While end is nil it may ask for
// more by not being done; else end is io.EOF, or why no more comes.
type judge func(answer []byte, end error) (out Outcome, done bool)

// always is for judges that keep nothing of an answer.
func always(j judge) func() judge { return func() judge { return j } }

// mostHeard is how much of an answer is listened to: more than maxBody, long headers, and
// what chunks of one byte each put around it.
const mostHeard = 512 << 10

var errTooLong = errors.New("it is too long")

// probe talks on a connection of its own.
func (t talk) probe(ctx context.Context) Outcome {
	conn, err := dial(ctx, "tcp", t.address)
	if err != nil {
		return failedBy(ctx, "connect to "+t.address, err)
	}
	defer conn.Close()
	return t.on(conn)
}

// on talks on a connection that is open, and ends in time.
func (t talk) on(conn net.Conn) Outcome {
	if len(t.says) > 0 {
		if _, err := conn.Write(t.says); err != nil {
			return failure("ask "+t.address, err)
		}
	}
	judge := t.judge()
	var answer []byte
	var end error
	buffer := make([]byte, 4096)
	for {
		if out, done := judge(answer, end); done {
			return out
		}
		var n int
		n, end = conn.Read(buffer)
		answer = append(answer, buffer[:n]...)
		if end == nil && len(answer) > mostHeard {
			end = errTooLong
		}
	}
}
