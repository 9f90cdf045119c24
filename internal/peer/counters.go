package peer

import (
	"errors"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// SendFailure says why a frame was not sent.
type SendFailure uint8

const (
	// SendDown: the interface is down.
	SendDown SendFailure = iota
	// SendGone: there is no such interface any more.
	SendGone
	// SendFull: the interface takes no more frames for now, or has no carrier.
	SendFull
	// SendTooLong: the frame is longer than the interface's MTU.
	SendTooLong
	// SendOther: anything else.
	SendOther

	// SendFailures is how many there are.
	SendFailures = iota
)

var sendFailureNames = [SendFailures]string{"down", "gone", "full", "too-long", "other"}

// String is the failure's name in logs, status and metrics.
func (f SendFailure) String() string {
	if int(f) < len(sendFailureNames) {
		return sendFailureNames[f]
	}
	return "unknown"
}

func classify(err error) SendFailure {
	switch {
	case errors.Is(err, unix.ENETDOWN):
		return SendDown
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return SendGone
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS):
		return SendFull
	case errors.Is(err, unix.EMSGSIZE):
		return SendTooLong
	}
	return SendOther
}

// Counters say what became of frames since Open.
type Counters struct {
	Sent     uint64               // frames given to the interface
	Unsent   [SendFailures]uint64 // frames it did not take
	Received uint64               // payloads handed over
	Faults   [Faults]uint64       // frames that passed the filter and were dropped
	Overruns uint64               // frames that the kernel dropped because Run was too slow
	Downs    uint64               // times the interface went down
}

// counters are those that change while the Transport works.
type counters struct {
	sent     atomic.Uint64
	unsent   [SendFailures]atomic.Uint64
	received atomic.Uint64
	faults   [Faults]atomic.Uint64
	overruns atomic.Uint64
	downs    atomic.Uint64
}

func (c *counters) snapshot() Counters {
	s := Counters{
		Sent: c.sent.Load(), Received: c.received.Load(), Overruns: c.overruns.Load(), Downs: c.downs.Load(),
	}
	for i := range c.unsent {
		s.Unsent[i] = c.unsent[i].Load()
	}
	for i := range c.faults {
		s.Faults[i] = c.faults[i].Load()
	}
	return s
}
