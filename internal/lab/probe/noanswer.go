package probe

import "net/netip"

// NoAnswerError tells of questions that got no answer, and where they came from: that
// tells whose they were.
type NoAnswerError struct {
	Text string
	To   netip.AddrPort
	From []netip.AddrPort // some of them
}

func (e *NoAnswerError) Error() string { return e.Text }
