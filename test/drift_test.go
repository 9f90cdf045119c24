package test

import (
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/rota-cluster/rota/internal/lab"
)

// TestALostAddressIsPutBack: whoever took it away, it is there again within a
// second, the log says so, and clients are answered.
func TestALostAddressIsPutBack(t *testing.T) {
	m := newMachine(t)
	d := m.start(t, m.usual()).serving()
	complete := snap(t, m.host)
	for _, c := range []struct {
		what, said string
		ownStays   bool // the kernel drops the node's own IPv6 address with the link, too
		lose       func() error
	}{
		{"an IPv4 address is deleted", lab.Shared4.String(), true, func() error { return deleteAddress("eth0", lab.Shared4.String()+"/32") }},
		{"an IPv6 address is deleted", lab.Shared6.String(), true, func() error { return deleteAddress("eth0", lab.Shared6.String()+"/128") }},
		{"the link goes down and up", lab.Shared6.String(), false, func() error {
			if err := setLink("eth0", netlink.LinkSetDown); err != nil {
				return err
			}
			return setLink("eth0", netlink.LinkSetUp)
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			before := strings.Count(d.output(), "address="+c.said)
			m.do(t, c.lose)
			told := func() bool { return strings.Count(d.output(), "address="+c.said) > before }
			if waited, err := waitUntil(5*time.Second, told); err != nil {
				t.Fatalf("not put back after %s:\n%s", waited, d.output())
			}
			back := func() bool {
				for _, line := range snap(t, m.host).changes(complete) {
					if strings.Contains(line, "address "+c.said) {
						return false
					}
				}
				return true
			}
			if waited, err := waitUntil(5*time.Second, back); err != nil {
				t.Errorf("after %s the host has: %v", waited, snap(t, m.host).changes(complete))
			}
			if c.ownStays {
				m.expectAnswers(t)
			}
		})
	}
	d.stop()
}
