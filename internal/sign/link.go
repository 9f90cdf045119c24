package sign

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/health"
)

// link is what the kernel counts about an interface.
type link struct {
	carrierChanges uint64
	errors         uint64 // received and sent
}

var errNotCounted = errors.New("this kernel does not count it")

// askLink asks by netlink, which, unlike /sys/class/net, tells of this network namespace.
func askLink(name string) (link, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_ACK)
	request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	request.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	answers, err := request.Execute(unix.NETLINK_ROUTE, 0)
	if err != nil || len(answers) == 0 {
		return link{}, fmt.Errorf("ask for interface %s: %w", name, err)
	}
	attributes, err := nl.ParseRouteAttr(answers[0][unix.SizeofIfInfomsg:])
	if err != nil {
		return link{}, fmt.Errorf("ask for interface %s: %w", name, err)
	}
	found, counted := link{}, 0
	for _, a := range attributes {
		switch {
		case a.Attr.Type == unix.IFLA_CARRIER_CHANGES && len(a.Value) >= 4:
			found.carrierChanges = uint64(binary.NativeEndian.Uint32(a.Value))
			counted++
		case a.Attr.Type == unix.IFLA_STATS64 && len(a.Value) >= 48:
			// struct rtnl_link_stats64 of linux/if_link.h: packets, bytes and errors, each received and sent.
			found.errors = binary.NativeEndian.Uint64(a.Value[32:]) + binary.NativeEndian.Uint64(a.Value[40:])
			counted++
		}
	}
	if counted < 2 {
		return link{}, errNotCounted
	}
	return found, nil
}

// counted is what was counted of an interface: another one counts anew.
type counted struct {
	Interface string
	Recent    recent
}

func (c *counted) add(name string, now time.Time, total uint64) uint64 {
	if c.Interface != name {
		*c = counted{name, recent{span: c.Recent.span}}
	}
	return c.Recent.add(now, total)
}

// linkFlaps is how often the carrier came or went lately.
type linkFlaps struct {
	ask     func() (link, error)
	name    string
	now     func() time.Time
	changes counted
}

func newLinkFlaps(e Env) sensor {
	return &linkFlaps{ask: e.link, name: e.Interface, now: e.Now, changes: counted{Recent: recent{span: memory}}}
}

func (l *linkFlaps) memory() any { return &l.changes }

func (l *linkFlaps) read() health.Reading {
	found, err := l.ask()
	if err != nil {
		return unreadableLink(err)
	}
	n := l.changes.add(l.name, l.now(), found.carrierChanges)
	return measured(float64(n), "carrier of %s came or went %d times in %v", l.name, n, memory)
}

// linkErrors is how many frames were received or sent wrongly within a minute.
type linkErrors struct {
	ask    func() (link, error)
	name   string
	now    func() time.Time
	errors counted
}

func newLinkErrors(e Env) sensor {
	return &linkErrors{ask: e.link, name: e.Interface, now: e.Now, errors: counted{Recent: recent{span: time.Minute}}}
}

func (l *linkErrors) memory() any { return &l.errors }

func (l *linkErrors) read() health.Reading {
	found, err := l.ask()
	if err != nil {
		return unreadableLink(err)
	}
	n := l.errors.add(l.name, l.now(), found.errors)
	return measured(float64(n), "%d frames of %s with errors in a minute", n, l.name)
}

func unreadableLink(err error) health.Reading {
	if errors.Is(err, errNotCounted) {
		return cannotTell("%v", err)
	}
	return broken(err)
}
