package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/netcfg"
)

const (
	// lookEach is how often that is looked at which the kernel tells nobody of: TCX
	// programs, and MACs that are received.
	lookEach = 500 * time.Millisecond
	// lookAtAll is how often the rest is, of which it tells all but routes.
	lookAtAll = 2 * time.Second
	// lookRest is the least time between two looks, and lookShare how many times as
	// long as a look took, up to lookLongest: they are not to take a CPU for
	// themselves, and what is missing is to be there again within a second.
	lookRest    = 20 * time.Millisecond
	lookShare   = 10
	lookLongest = 500 * time.Millisecond
	// steady is how long nothing must be wrong before the node serves again.
	steady = time.Second
)

// keeper sees to it that what setUp made on this host stays: the programs, the
// reception of the cluster's MAC, the shared addresses; and that the host can
// answer those whom it accepts. What is missing it puts back in the order of setUp.
// While it cannot, or somebody takes it away again and again, the node hands over.
//
// Its invariant is setUp's: no shared address is there while nothing filters its
// packets and announces its MAC.
type keeper struct {
	host *host
	log  *slog.Logger
	tell func(text string) // as an event
	// judge hands over for a reason, or with "" ends that.
	judge func(why string) error

	receptions *netcfg.Receptions // of run
	dampers    map[string]*damper
	ways       map[netip.Addr]netip.Addr // a neighbour to which there once was a way; by shared address
	failing    map[string]string         // what could not be put back, and why
	missing    []string                  // in this look
	broken     string                    // what is wrong with the guards of other interfaces
	foreign    []string                  // addresses of ours that somebody else has added too

	link  netcfg.Link // by the last look at all
	allAt time.Time   // when that was

	troubles []string  // of this look
	unfit    string    // what was judged last
	fitSince time.Time // nothing has been wrong since then
}

func newKeeper(h *host, log *slog.Logger, tell func(string), judge func(string) error) *keeper {
	return &keeper{
		host: h, log: log, tell: tell, judge: judge,
		dampers: make(map[string]*damper), ways: make(map[netip.Addr]netip.Addr), failing: make(map[string]string),
	}
}

// run looks at the host whenever something changed, and now and then, until ctx is done.
func (k *keeper) run(ctx context.Context) error {
	k.receptions = netcfg.NewReceptions()
	defer k.receptions.Close()
	watcher, err := netcfg.NewWatcher()
	if err != nil {
		return err
	}
	changed, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		ended <- watcher.Run(ctx, func(netcfg.Change) {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	}()
	tick := time.NewTimer(0)
	defer tick.Stop()
	for told := true; ; {
		began := time.Now()
		if k.look(began, told) {
			k.conclude(began)
		}
		looked := time.Now()
		pause := min(lookShare*looked.Sub(began), lookLongest)
		tick.Reset(max(untilNextLook(looked), pause))
		var rested <-chan time.Time // after a change; what else changes meanwhile is seen by the same look
		for again := false; !again; {
			select {
			case <-changed:
				if rested == nil {
					rested = time.After(max(lookRest, pause) - time.Since(looked))
				}
			case <-rested:
				told, again = true, true
			case <-tick.C:
				told, again = false, rested == nil
			case err := <-ended: // also when ctx is done
				return errors.Join(err, watcher.Close())
			}
		}
	}
}

// untilNextLook is such that looks are at whole multiples of lookEach, as those at signs are of
// their intervals (sign.Watcher): to wake up costs more than most looks.
func untilNextLook(now time.Time) time.Duration {
	left := lookEach - time.Duration(now.UnixNano())%lookEach
	if left < lookEach/2 { // this look was for another reason, or early by a clock that is being set
		left += lookEach
	}
	return left
}

// look puts back what is missing. told: the kernel told of a change, and interfaces may
// have appeared. It is false if there is no interface any more, which the loop notices, and ends.
func (k *keeper) look(now time.Time, told bool) bool {
	k.host.setting.Lock()
	defer k.host.setting.Unlock()
	calm := !told && len(k.troubles)+len(k.missing) == 0 && now.Sub(k.allAt) < lookAtAll
	if calm && k.keepUntold(now) {
		return true
	}
	link, err := netcfg.LinkByIndex(k.host.link.Index)
	if errors.Is(err, netcfg.ErrNoInterface) {
		return false
	}
	k.troubles, k.missing = nil, nil
	k.link, k.allAt = link, now
	switch {
	case err != nil:
		k.allAt = time.Time{}
		k.trouble(err.Error())
	case !k.keepPrograms(now, told):
		k.withdraw(link)
	case !link.Up:
		k.trouble(fmt.Sprintf("interface %s is down", link.Name))
	default:
		if err := netcfg.Fit(link); err != nil {
			k.trouble(err.Error())
		}
		for _, p := range k.host.cfg().Pools {
			k.keepReception(now, link, p)
			for _, a := range p.Addresses {
				k.keepAddress(now, link, p, a)
			}
		}
		k.lookForForeign(link)
		k.lookAtSource(link)
		k.keepWays(link)
	}
	return true
}

// keepUntold keeps that of which the kernel tells nothing, while nothing else has
// changed. It is false if shared addresses must not be there.
func (k *keeper) keepUntold(now time.Time) bool {
	if !k.keepPrograms(now, false) {
		return false
	}
	for _, p := range k.host.cfg().Pools {
		k.keepReception(now, k.link, p)
	}
	return true
}

// keepPrograms tells whether shared addresses may be there. links: interfaces may have appeared.
func (k *keeper) keepPrograms(now time.Time, links bool) bool {
	attached := k.host.attachment
	missing, err := attached.Missing()
	if err != nil {
		k.trouble(err.Error())
		return true
	}
	if len(missing) > 0 {
		return k.mend(now, missing, attached.Mend) || attached.Covered()
	}
	if links {
		k.complain(attached.Mend())
	}
	return true
}

// complain tells once what is wrong with the guard of an interface that
// appeared. The node serves on: to hand over would not make it silent there.
func (k *keeper) complain(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != k.broken && err != nil {
		k.said(text)
	}
	k.broken = text
}

// withdraw takes the shared addresses away: nothing would filter and announce them.
func (k *keeper) withdraw(link netcfg.Link) {
	for _, a := range link.Shared {
		if err := removeOwn(link, a); err != nil {
			k.trouble(err.Error())
			continue
		}
		k.said(fmt.Sprintf("without its programs the shared address %s is taken off %s", a, link.Name), "address", a.String(), "interface", link.Name)
	}
}

func (k *keeper) keepReception(now time.Time, link netcfg.Link, p config.Pool) {
	r := netcfg.Reception{MAC: p.ClusterMAC(k.host.cfg().Cluster), Group: p.Group(k.host.cfg().Cluster)}
	var missing []string
	has, err := k.receptions.Has(link, r.MAC)
	if err == nil && !has {
		missing = append(missing, fmt.Sprintf("the reception of %s on %s", r.MAC, link.Name))
	}
	joined, failed := netcfg.Joined(link, r.Group)
	if failed == nil && !joined {
		missing = append(missing, fmt.Sprintf("the membership of %s in group %s", link.Name, r.Group))
	}
	if err := errors.Join(err, failed); err != nil {
		k.trouble(err.Error())
	}
	if len(missing) > 0 {
		k.mend(now, missing, func() error { return netcfg.Receive(link, r) })
	}
}

func (k *keeper) keepAddress(now time.Time, link netcfg.Link, p config.Pool, a netip.Addr) {
	if slices.Contains(link.Shared, a) {
		return
	}
	what := fmt.Sprintf("the shared address %s on %s", a, link.Name)
	k.mend(now, []string{what}, func() error {
		if err := netcfg.AddAddress(link, a); err != nil {
			return err
		}
		return netcfg.Announce(link, a, p.ClusterMAC(k.host.cfg().Cluster))
	}, "pool", p.Name, "address", a.String(), "interface", link.Name)
}

// keepWays notices that this host can no longer answer: its own address has
// gone, or the route to the segment. Those are not rota's to put back. What it
// never had is not missed: there are other ways to be configured.
func (k *keeper) keepWays(link netcfg.Link) {
	if link.Master != 0 {
		return // of a vrf, which has routes of its own
	}
	for _, a := range k.host.addresses() {
		to := link.Neighbour(a)
		once, known := k.ways[a]
		if !to.IsValid() {
			to = once
		}
		if !to.IsValid() {
			continue
		}
		way, err := netcfg.WayTo(to)
		switch {
		case err != nil:
			k.trouble(err.Error())
		case way == link.Index:
			k.ways[a] = to
		case known:
			k.trouble(noWay(a, link.Name, k.foreign))
		}
	}
}

// noWay is why, as far as it can be seen: an address of the network elsewhere takes the route with it.
func noWay(a netip.Addr, by string, foreign []string) string {
	why := "this node's own address or its route has gone"
	if len(foreign) > 0 {
		why = strings.Join(foreign, "; ")
	}
	return fmt.Sprintf("no route to the segment of %s by %s: %s", a, by, why)
}

// lookForForeign tells of shared addresses that somebody else has added too, once.
func (k *keeper) lookForForeign(link netcfg.Link) {
	found, err := netcfg.Foreign(link, k.host.addresses())
	if err != nil {
		k.trouble(err.Error())
		return
	}
	var now []string
	for _, f := range found {
		now = append(now, f.Error())
		if !slices.Contains(k.foreign, f.Error()) {
			k.said(f.Error())
		}
	}
	k.foreign = now
	k.host.foreign.Store(&now)
}

// lookAtSource tells, once, that a shared address is the source of what this host opens.
func (k *keeper) lookAtSource(link netcfg.Link) {
	text, err := netcfg.SharedSource(link, k.host.addresses())
	if err != nil {
		k.trouble(err.Error())
		return
	}
	if was := k.host.source.Swap(&text); text != "" && (was == nil || *was != text) {
		k.said(text)
	}
}

// mend puts back what is missing, unless that has been done too often lately. It
// tells whether all is well.
func (k *keeper) mend(now time.Time, missing []string, put func() error, attrs ...any) bool {
	k.missing = append(k.missing, missing...)
	for _, what := range missing {
		if d := k.dampers[what]; d != nil && d.paused(now) {
			if k.failing[what] != "" {
				k.trouble(k.failing[what])
			}
			return false
		}
	}
	err := put()
	for _, what := range missing {
		if k.dampers[what] == nil {
			k.dampers[what] = &damper{}
		}
		if err != nil {
			k.dampers[what].failed(now)
			text := fmt.Sprintf("%s is missing and cannot be put back: %v", what, err)
			if k.failing[what] != text {
				k.said(text, attrs...)
			}
			k.failing[what] = text
			k.trouble(text)
			continue
		}
		k.dampers[what].mended(now)
		delete(k.failing, what)
		k.said(what+" was missing: put back", attrs...)
	}
	return err == nil
}

func (k *keeper) said(text string, attrs ...any) {
	k.log.Warn(text, append([]any{"event", "drift"}, attrs...)...)
	k.tell(text)
}

func (k *keeper) trouble(text string) {
	if !slices.Contains(k.troubles, text) {
		k.troubles = append(k.troubles, text)
	}
}

// conclude is the verdict of a look. It waits for the loop, so nothing is locked
// now. It hands over for what is wrong, at once, and takes part again when
// nothing has been for a while.
func (k *keeper) conclude(now time.Time) {
	for what, d := range k.dampers {
		if d.restless(now) && k.failing[what] == "" {
			k.trouble("somebody takes away " + what + " again and again")
		}
	}
	maps.DeleteFunc(k.failing, func(what, _ string) bool { return !slices.Contains(k.missing, what) })
	slices.Sort(k.troubles)
	why := strings.Join(k.troubles, "; ")
	switch {
	case why != "":
		k.fitSince = time.Time{}
	case k.fitSince.IsZero():
		k.fitSince = now
	}
	if why == k.unfit || why == "" && now.Sub(k.fitSince) < steady {
		return
	}
	if k.judge(why) != nil {
		return // the loop is busy: at the next look
	}
	k.unfit = why
	if why != "" {
		k.log.Warn("this host cannot serve", "event", "drift", "because", why)
	}
}

// damper keeps repairs from flapping against somebody who undoes them.
type damper struct {
	times int // in a row
	last  time.Time
	until time.Time // no other try before
}

const (
	timesAtOnce = 3 // repairs in a row that are made at once
	firstPause  = 500 * time.Millisecond
	longestWait = 30 * time.Second
	failPause   = time.Second // after a repair that failed
	leastCalm   = 10 * time.Second
)

// pause before the next repair.
func (d *damper) pause() time.Duration {
	if d.times <= timesAtOnce {
		return 0
	}
	return min(firstPause<<min(d.times-timesAtOnce-1, 10), longestWait)
}

// calm is how long it must last before somebody has given up.
func (d *damper) calm() time.Duration { return max(leastCalm, 2*d.pause()) }

func (d *damper) mended(now time.Time) {
	if now.Sub(d.last) > 2*d.calm() {
		d.times = 0
	}
	d.times++
	d.last = now
	d.until = now.Add(d.pause())
}

func (d *damper) failed(now time.Time) { d.until = now.Add(failPause) }

func (d *damper) paused(now time.Time) bool { return now.Before(d.until) }

// restless: it was taken away too often, and not long ago.
func (d *damper) restless(now time.Time) bool {
	return d.times > timesAtOnce && now.Sub(d.last) < d.calm()
}
