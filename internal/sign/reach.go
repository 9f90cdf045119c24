package sign

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rota-cluster/rota/internal/health"
)

// reach is for how long each of some hosts has not answered.
type reach struct {
	now    func() time.Time
	answer func(netip.Addr) (bool, error) // waits a little; an error is of this host, not of that
	mute   map[netip.Addr]*watchedFor
}

func newReach(e Env) reach {
	echo := func(a netip.Addr) (bool, error) { return ping(a, e.Now) }
	return reach{now: e.Now, answer: echo, mute: map[netip.Addr]*watchedFor{}}
}

func (r reach) memory() any { return &r.mute }

func (r reach) ask(hosts []netip.Addr) health.Reading {
	answers, failures := make([]bool, len(hosts)), make([]error, len(hosts))
	var all sync.WaitGroup
	for i, h := range hosts {
		all.Go(func() { answers[i], failures[i] = r.answer(h) })
	}
	all.Wait()
	if err := cmp.Or(failures...); err != nil {
		clear(r.mute) // nobody watches: what is mute after that is so from then on
		return broken(fmt.Errorf("ask who answers: %w", err))
	}
	now := r.now()
	maps.DeleteFunc(r.mute, func(h netip.Addr, _ *watchedFor) bool { return !slices.Contains(hosts, h) })
	reading := measured(0, "%d answer", len(hosts))
	var mute []string
	for i, h := range hosts {
		if r.mute[h] == nil || answers[i] {
			r.mute[h] = &watchedFor{}
		}
		seconds := r.mute[h].still(now).Seconds()
		reading.Value = max(reading.Value, seconds)
		t := health.Target{Name: h.WithZone("").String(), Value: seconds, Text: h.String() + ": answers"}
		if !answers[i] {
			mute = append(mute, h.String())
			t.Text = fmt.Sprintf("%s: no answer for %.1f s", h, seconds)
		}
		reading.Targets = append(reading.Targets, t)
	}
	if len(mute) > 0 {
		reading.Text = fmt.Sprintf("%s: no answer for %.1f s", strings.Join(mute, ", "), reading.Value)
	}
	return reading
}

// hosts are named in the configuration.
type hosts struct {
	reach reach
	list  []netip.Addr
}

func newHosts(e Env, items []string) sensor {
	h := hosts{reach: newReach(e)}
	for _, item := range items {
		addr, err := netip.ParseAddr(item)
		if err != nil {
			return constant{broken(fmt.Errorf("%q is not an IP address", item))}
		}
		h.list = append(h.list, addr)
	}
	if len(h.list) == 0 {
		return constant{health.Reading{Answer: health.SwitchedOff, Text: "no host is named"}}
	}
	return h
}

func (h hosts) memory() any { return h.reach.memory() }

func (h hosts) read() health.Reading { return h.reach.ask(h.list) }

// gateway is where the service's interface sends what is not for its own
// subnet. One that answers no echo request counts as there as long as it
// answers ARP: the kernel asks because of ours.
type gateway struct {
	proc, device string
	reach        reach
}

func newGateway(e Env) sensor {
	g := gateway{proc: e.Roots.Proc, device: e.Interface, reach: newReach(e)}
	echo := g.reach.answer
	g.reach.answer = func(a netip.Addr) (bool, error) {
		answers, err := echo(a)
		return answers || err == nil && resolved(g.proc, g.device, a), err
	}
	return g
}

func (g gateway) memory() any { return g.reach.memory() }

func (g gateway) read() health.Reading {
	found, err := gateways(g.proc, g.device)
	switch {
	case err != nil:
		return broken(err)
	case len(found) == 0:
		return cannotTell("no default route by %s", g.device)
	}
	return g.reach.ask(found)
}
