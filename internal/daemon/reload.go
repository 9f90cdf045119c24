package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/hook"
	"github.com/rota-cluster/rota/internal/netcfg"
	"github.com/rota-cluster/rota/internal/ownership"
)

const (
	// letGoEvery is how often what is to go is looked at.
	letGoEvery = 500 * time.Millisecond
	// overdue: so much longer than its drain timeout a pool may wait for a view that takes it away.
	overdue = 5 * time.Second
	// reloadWithin bounds how long each step of a reload waits for the loop.
	reloadWithin = 10 * time.Second
)

// Reload reads the configuration file and the key file again and acts on what they say
// now: all of it, or nothing. It returns when that is in force; what is to go is let go later.
func (d *daemon) Reload(ctx context.Context) (api.Reloaded, error) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	next, err := d.read()
	if err != nil {
		return api.Reloaded{}, &api.Error{Code: api.CodeBadConfig, Message: err.Error()}
	}
	was := d.host.now.Load()
	change := d.file().Compare(next)
	// A pool that is to go is still there, and cannot come back as another.
	if refused := was.cfg.Compare(next).Refused; len(refused) > 0 {
		return api.Reloaded{}, &api.Error{Code: api.CodeRefused, Message: refused.Error()}
	}
	keys, err := config.LoadKeys(next.KeyFile)
	if err != nil {
		return api.Reloaded{}, &api.Error{Code: api.CodeRefused, Message: err.Error()}
	}
	if _, err := newWard(next, d.log); err != nil { // a check's certificates cannot be read
		return api.Reloaded{}, &api.Error{Code: api.CodeRefused, Message: err.Error()}
	}
	if err := hook.Judge(next.Hooks, d.file().Hooks); err != nil {
		return api.Reloaded{}, &api.Error{Code: api.CodeRefused, Message: err.Error()}
	}
	to := was.after(next, keys.Hash, now())
	if err := d.mayBecome(to); err != nil {
		return api.Reloaded{}, &api.Error{Code: api.CodeRefused, Message: err.Error()}
	}
	before := d.ears.service.keysInUse()
	if err := d.become(ctx, was, to, next, keys); err != nil {
		return api.Reloaded{}, err
	}
	changed := change.Lines
	if ids := d.ears.service.keysInUse(); !slices.Equal(ids, before) {
		changed = append(changed, keysText(ids))
	}
	for _, line := range changed {
		d.note(line)
	}
	if len(changed) == 0 {
		d.log.Info("has read the configuration again: nothing in it has changed")
	}
	d.logKeys("uses the key file anew")
	return api.Reloaded{Changed: changed}, nil
}

// mayBecome looks for what would fail, before anything is done.
func (d *daemon) mayBecome(to *picture) error {
	if len(addressesOf(to.cfg)) > config.MaxAddresses || len(to.cfg.Pools) > config.MaxPools {
		return errors.New("too many pools or addresses together with those that are still to go: reload again when these have gone")
	}
	if err := to.movesAddress(d.host.cfg()); err != nil {
		return err
	}
	first := d.host.cfg().Pools[0].ClusterMAC(d.file().Cluster)
	if d.beatMAC == nil {
		d.beatMAC = first
	}
	stays := slices.ContainsFunc(to.cfg.Pools, func(p config.Pool) bool {
		return slices.Equal(p.ClusterMAC(to.cfg.Cluster), d.beatMAC) && !slices.Contains(to.leaving, p.Name)
	})
	if !stays {
		return fmt.Errorf("pools: the beats go to the MAC %s, which no pool would have any more; restart the daemon", d.beatMAC)
	}
	link, err := usableLink(to.cfg)
	if err != nil {
		return err
	}
	if err := netcfg.Fit(link); err != nil {
		return err
	}
	for _, p := range to.cfg.Pools {
		taken, err := netcfg.Foreign(link, without(p.Addresses, d.host.addresses()))
		if err != nil {
			return err
		}
		if len(taken) > 0 {
			return fmt.Errorf("pools[%s].addresses: %w", p.Name, taken[0])
		}
	}
	return nil
}

// become does it, step by step; if one fails, those before are undone.
func (d *daemon) become(ctx context.Context, was, to *picture, next *config.Config, keys config.Keys) error {
	d.host.setting.Lock() // until the picture is what the host has
	defer d.host.setting.Unlock()
	err := d.inLoop(ctx, func() error {
		if err := d.judgeKeys(next.KeyFile, keys); err != nil {
			return err
		}
		return d.host.data.Rearrange(to.options())
	})
	if err != nil {
		return &api.Error{Code: api.CodeRefused, Message: err.Error()}
	}
	ctx = context.WithoutCancel(ctx) // to the end, one way or the other
	undo := func(err error) error {
		undone := d.inLoop(ctx, func() error { return d.host.data.Rearrange(was.options()) })
		if undone == nil {
			err = fmt.Errorf("%w; nothing has been changed", err)
		}
		err = errors.Join(err, undone)
		d.log.Error("cannot act on the configuration", "error", err)
		return err
	}
	if err := d.host.add(was.cfg, to.cfg); err != nil {
		return undo(err)
	}
	if err := d.inLoop(ctx, func() error { return d.useKeys(keys) }); err != nil {
		return undo(errors.Join(err, d.host.remove(to.cfg, was.cfg)))
	}
	return d.inLoop(ctx, func() error {
		weight := d.loop.node.Carries() // an order may have changed it since it was configured
		if d.file().Node.Weight != next.Node.Weight {
			weight = next.Node.Weight
		}
		d.filed.Store(next)
		d.hooks.Use(next.Hooks, next.HooksDir)
		return d.show(to, weight)
	})
}

// show makes a picture the one that is acted on. It belongs to the loop.
func (d *daemon) show(p *picture, weight uint16) error {
	d.host.now.Store(p)
	if p.shrinks() {
		select {
		case d.reloaded <- struct{}{}:
		default: // letGo has yet to look
		}
	}
	shared := addressesOf(p.cfg)
	d.loop.follow(p.cfg)
	d.loop.watched = len(p.retiring) > 0
	d.loop.herald.reconfigured(p.cfg)
	d.loop.strangers.use(shared)
	d.detours.use(p.cfg.Heartbeat.Interfaces, shared)
	if err := d.tx.SetAddresses(shared); err != nil {
		return err
	}
	if size, err := partSize(d.host.link, p.cfg.Heartbeat.Interfaces); err == nil {
		if err := d.loop.sealer.SetPartSize(size); err != nil {
			return err
		}
	}
	ward, err := newWard(p.cfg, d.log)
	if err != nil {
		return err
	}
	if err := d.loop.step(ownership.Reconfigure{
		Pools: p.pools(weight), Interval: p.cfg.Heartbeat.Interval, Lease: p.cfg.Heartbeat.Lease,
	}); err != nil {
		return err
	}
	d.replaceWard(ward)
	return nil
}

// follow keeps what the loop knows of pools by their names.
func (l *loop) follow(cfg *config.Config) {
	before := l.pools
	l.pools = nil
	l.replayer.off.Store(!cfg.Replay)
	var timeouts []time.Duration
	for _, p := range cfg.Pools {
		l.pools = append(l.pools, p.Name)
		timeouts = append(timeouts, p.DrainTimeout)
	}
	if l.lingering == nil {
		l.lingering = newLingering(timeouts)
	} else {
		l.lingering = l.lingering.lingersOn(before, l.pools, timeouts)
	}
	if l.late == nil || l.interval != cfg.Heartbeat.Interval || l.lease != cfg.Heartbeat.Lease {
		l.interval, l.lease = cfg.Heartbeat.Interval, cfg.Heartbeat.Lease
		l.late = newLateness(l.interval, l.lease, l.log)
	}
}

// letGo lets what is to go go, when nothing needs it any more or its time is over, until ctx is done.
func (d *daemon) letGo(ctx context.Context) {
	var tick <-chan time.Time // while something is to go
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.reloaded:
		case <-tick:
		}
		if tick = nil; !d.host.now.Load().shrinks() {
			continue
		}
		tick = time.After(letGoEvery)
		if err := d.letGoNow(ctx); err != nil && ctx.Err() == nil {
			d.log.Error("cannot let go of what is to go", "error", err)
		}
	}
}

// letGoNow takes addresses and MACs off the interface, then out of the programs.
func (d *daemon) letGoNow(ctx context.Context) error {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	was := d.host.now.Load()
	var pools []string
	var addresses []netip.Addr
	if err := d.inLoop(ctx, func() error {
		pools, addresses = d.loop.spent(was, now())
		return nil
	}); err != nil || len(pools)+len(addresses) == 0 {
		return err
	}
	d.host.setting.Lock() // or what is removed would be put back
	defer d.host.setting.Unlock()
	to := was.without(pools, addresses)
	if err := d.host.remove(was.cfg, to.cfg); err != nil {
		return err
	}
	for _, p := range pools {
		d.note(fmt.Sprintf("pool %s has gone", p))
	}
	for _, a := range addresses {
		d.note(fmt.Sprintf("address %s has gone", a))
	}
	return d.inLoop(ctx, func() error {
		if err := d.host.data.Rearrange(to.options()); err != nil {
			return err
		}
		return d.show(to, d.loop.node.Carries())
	})
}

// spent is what has neither buckets nor connections any more, or no time.
func (l *loop) spent(p *picture, now ownership.Time) (pools []string, addresses []netip.Addr) {
	for i, pool := range p.cfg.Pools {
		if slices.Contains(p.leaving, pool.Name) && (l.node.Settled(i) || now >= p.by[pool.Name]+overdue) {
			pools = append(pools, pool.Name)
		}
	}
	for _, a := range p.retiring {
		began := p.by[a.String()] - p.drainOf(a) + settling
		if l.inUseAt > began && !l.inUse[a] || now >= p.by[a.String()] {
			addresses = append(addresses, a)
		}
	}
	return pools, addresses
}

func (p *picture) drainOf(a netip.Addr) time.Duration {
	for _, pool := range p.cfg.Pools {
		if slices.Contains(pool.Addresses, a) {
			return pool.DrainTimeout
		}
	}
	return 0
}

// add puts on the interface what is new. The programs know it. If it fails nothing is added.
func (h *host) add(was, to *config.Config) error {
	had, macs := addressesOf(was), macsOf(was)
	var added []netip.Addr
	var err error
	for _, p := range to.Pools {
		mac := p.ClusterMAC(to.Cluster)
		if err = netcfg.Receive(h.link, netcfg.Reception{MAC: mac, Group: p.Group(to.Cluster)}); err != nil {
			err = fmt.Errorf("pools[%s].mac: %w", p.Name, err)
			break
		}
		for _, a := range without(p.Addresses, had) {
			if err = netcfg.AddAddress(h.link, a); err != nil {
				break
			}
			added = append(added, a)
			if err = netcfg.Announce(h.link, a, mac); err != nil {
				break
			}
		}
		if err != nil {
			err = fmt.Errorf("pools[%s].addresses: %w", p.Name, err)
			break
		}
	}
	if err == nil {
		return nil
	}
	for _, a := range added {
		err = errors.Join(err, removeOwn(h.link, a))
	}
	for _, m := range macsOf(to) {
		if !slices.ContainsFunc(macs, func(o net.HardwareAddr) bool { return slices.Equal(o, m) }) {
			err = errors.Join(err, netcfg.StopReceiving(h.link, m))
		}
	}
	return err
}

// remove takes off the interface what has gone. The programs still know it.
func (h *host) remove(was, to *config.Config) error {
	var errs []error
	for _, a := range without(addressesOf(was), addressesOf(to)) {
		errs = append(errs, removeOwn(h.link, a))
	}
	macs := macsOf(to)
	for _, m := range macsOf(was) {
		if !slices.ContainsFunc(macs, func(o net.HardwareAddr) bool { return slices.Equal(o, m) }) {
			errs = append(errs, netcfg.StopReceiving(h.link, m))
		}
	}
	return errors.Join(errs...)
}

func without(all, those []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool { return slices.Contains(those, a) })
}

// note records a change of the configuration.
func (d *daemon) note(text string) {
	d.events.add(api.Event{Time: time.Now(), Kind: ownership.NoteReload.String(), Node: d.file().Node.Name, Text: text})
	d.log.Info(text, "event", ownership.NoteReload.String())
}

// inLoop runs do in the loop. What it returns is its own affair, not the loop's.
func (d *daemon) inLoop(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, reloadWithin)
	defer cancel()
	var failed error
	if err := d.loop.ask(ctx, func() error { failed = do(); return nil }); err != nil {
		return err
	}
	return failed
}
