package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/hook"
	"github.com/rota-cluster/rota/internal/netcfg"
	"github.com/rota-cluster/rota/internal/ownership"
	"github.com/rota-cluster/rota/internal/peer"
	"github.com/rota-cluster/rota/internal/wire"
)

// daemon is one start of a node.
type daemon struct {
	filed   atomic.Pointer[config.Config]
	read    func() (*config.Config, error) // the file as it is now
	log     *slog.Logger
	started time.Time
	version string

	host    *host
	tx      *peer.Transport
	ears    ears
	memory  *memory
	records *records
	learnt  chan struct{} // what the ward knows is to be noted
	pins    *pinStore
	loop    *loop

	detours   *detours
	forwarded *forwarded
	ward      atomic.Pointer[ward] // the one in force

	// What outlives the interface.
	events *journal
	hooks  *hook.Runner
	absent atomic.Bool // there is none now

	reloading sync.Mutex       // held by who changes host.now
	beatMAC   net.HardwareAddr // that the beats go to; under reloading
	reloaded  chan struct{}    // something is to go since

	rest    sync.WaitGroup // what runs beside the loop
	inner   context.Context
	end     context.CancelCauseFunc // of the loop
	leaving atomic.Bool             // it stops or restarts
	orders  standing                // for a loop that does not carry on
	unfit   string                  // what the daemon before this one found wrong with the host
}

// Signals are an operator's words to a daemon. A nil channel says nothing.
type Signals struct {
	Hangups  <-chan os.Signal // SIGHUP: read the files again
	Stops    <-chan os.Signal // SIGTERM, SIGINT: drain and stop; the second: stop at once
	Restarts <-chan os.Signal // SIGUSR2: restart without a takeover
}

// Run serves until it is told to stop, then says goodbye and leaves the host as it
// was; so it does, without draining, when ctx is done. An error is one line that says
// what to do. Whatever is half done when it fails is undone. If its interface is taken
// away it waits for another of that name and begins anew. read gives the configuration
// as it is when it is to be read again. A restart does not return.
func Run(ctx context.Context, cfg *config.Config, read func() (*config.Config, error), version string, signals Signals, log *slog.Logger) error {
	err := run(ctx, cfg, read, version, signals, log)
	if errors.Is(err, errHeld) || errors.Is(err, errReplaced) {
		return replace()
	}
	return err
}

func run(ctx context.Context, cfg *config.Config, read func() (*config.Config, error), version string, signals Signals, log *slog.Logger) (err error) {
	if err := checkPrivileges(); err != nil {
		return err
	}
	d := &daemon{
		read: read, log: log, started: time.Now(), version: version, memory: newMemory(cfg.StateDir, log),
		pins: newPinStore(cfg.StateDir, log), records: newRecords(cfg.StateDir, log), learnt: make(chan struct{}, 1), events: newJournal(), reloaded: make(chan struct{}, 1),
	}
	d.filed.Store(cfg)
	d.hooks = hook.New(hook.Options{
		Hooks: cfg.Hooks, Dir: cfg.HooksDir, Env: []string{"ROTA_SOCKET=" + cfg.API.Socket}, Start: startUnhurried, Log: log,
	})
	inner, stopHooks := context.WithCancel(context.WithoutCancel(ctx))
	var hooks sync.WaitGroup
	hooks.Go(func() { d.hooks.Run(inner) })
	defer func() {
		stopHooks()
		if !errors.Is(err, errHeld) { // the peers hold only for so long
			hooks.Wait()
		}
	}()
	for {
		err := d.runOn(ctx, signals)
		if !d.interfaceGone(err) || ctx.Err() != nil {
			return err
		}
		if over, err := d.awaitAnother(ctx, signals.Stops); over || err != nil {
			return err
		}
	}
}

// awaitAnother waits for the interface; over: it was told to stop.
func (d *daemon) awaitAnother(ctx context.Context, stops <-chan os.Signal) (over bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		select {
		case <-stops:
		case <-ctx.Done():
		}
	}()
	err = d.awaitInterface(ctx)
	return ctx.Err() != nil, err
}

// runOn serves on the interface that there is now.
func (d *daemon) runOn(ctx context.Context, signals Signals) (err error) {
	cfg := d.file()
	keys, err := config.LoadKeys(cfg.KeyFile)
	if err != nil {
		return err
	}
	link, err := usableLink(cfg)
	if err != nil {
		return err
	}
	ward, err := newWard(cfg, d.log)
	if err != nil {
		return err
	}
	d.ward.Store(ward)
	lock, err := netcfg.TakeLock(link)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	frames, err := netcfg.OpenFrameCounter(link)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, frames.Close()) }()
	socket, err := api.Listen(cfg.API.Socket)
	if err != nil {
		return err
	}
	if err := d.settle(keys, link, frames); err != nil {
		return errors.Join(err, socket.Close())
	}
	defer func() {
		err = errors.Join(err, d.tx.Close())
		if !errors.Is(err, errHeld) {
			err = errors.Join(err, d.host.tearDown())
		}
	}()
	return d.serve(ctx, socket, signals)
}

// settle sets up the host and what talks to the peers: in the place of a daemon that
// restarted, if it has left what can be carried on, or anew, but by the orders that stand.
func (d *daemon) settle(keys config.Keys, link netcfg.Link, frames *netcfg.FrameCounter) error {
	left, err := findEstate(d.file(), link)
	if err == nil {
		err = d.settleWith(left, keys, link, frames)
		if err == nil {
			return nil
		}
	}
	planned := errors.Is(err, errStartsAnew)
	if !errors.Is(err, errNothingLeft) {
		failed := takeEstate(d.file())
		if errors.Is(failed, fs.ErrNotExist) {
			failed = nil
		}
		if err = errors.Join(err, failed); !planned || failed != nil {
			d.log.Warn("cannot carry on after the restart, starts anew", "because", err)
		}
	}
	if left != nil {
		d.orders = left.Orders
		d.events.resume(left.Events)
	}
	if err := d.settleWith(nil, keys, link, frames); err != nil {
		return err
	}
	d.loop.first = d.orders.again(d.file().Node.Weight)
	if left != nil {
		d.loop.restarted = "starts anew after a restart of the daemon"
	}
	return nil
}

// settleWith leaves nothing behind if it fails, but what it was to carry on.
func (d *daemon) settleWith(left *estate, keys config.Keys, link netcfg.Link, frames *netcfg.FrameCounter) (err error) {
	if d.host, err = setUp(d.file(), keys.Hash, link, left != nil, d.log); err != nil {
		return err
	}
	d.host.frames = frames
	if err = d.connect(keys, left); err != nil && left != nil {
		return errors.Join(err, d.host.leaveAll())
	}
	if err != nil {
		return errors.Join(err, d.host.tearDown())
	}
	return nil
}

// usableLink finds the interface and says what is wrong with it.
func usableLink(cfg *config.Config) (netcfg.Link, error) {
	link, err := netcfg.LinkByName(cfg.Interface)
	switch {
	case err != nil:
		return link, err
	case !link.Ethernet:
		return link, fmt.Errorf("interface %s is not Ethernet: shared addresses need a segment with MAC addresses", link.Name)
	case !link.Up:
		return link, fmt.Errorf("interface %s is down: bring it up first (ip link set %s up)", link.Name, link.Name)
	}
	if _, err := wire.PartSize(link.MTU); err != nil {
		return link, fmt.Errorf("interface %s: %w", link.Name, err)
	}
	for _, p := range cfg.Pools {
		if link.MTU < minMTU6 && slices.ContainsFunc(p.Addresses, netip.Addr.Is6) {
			return link, fmt.Errorf("interface %s: an MTU of %d is too small for the IPv6 addresses of pool %s: raise it to %d or more (ip link set %s mtu 1500)",
				link.Name, link.MTU, p.Name, minMTU6, link.Name)
		}
	}
	return link, nil
}

// minMTU6 is the smallest MTU with which Linux has IPv6 on an interface at all
// (RFC 8200 section 5).
const minMTU6 = 1280

// connect makes what talks to the peers, and the loop that listens to them.
func (d *daemon) connect(keys config.Keys, left *estate) error {
	cfg, link := d.file(), d.host.link
	first := cfg.Pools[0]
	self := ownership.Ref{Name: cfg.Node.Name}
	if left != nil {
		self = left.Node.Self
	} else {
		self.Incarnation = nextIncarnation(cfg.StateDir, time.Now(), d.log)
	}
	source := ownAddress(link, first.Addresses[0])
	tx, err := peer.Open(peer.Options{
		Interface: link.Name, MAC: first.ClusterMAC(cfg.Cluster), Addresses: d.host.addresses(),
		Source: source, Port: cfg.Heartbeat.Port,
	})
	if err != nil {
		return err
	}
	part, err := partSize(link, cfg.Heartbeat.Interfaces)
	if err != nil {
		return errors.Join(fmt.Errorf("interface %s: %w", link.Name, err), tx.Close())
	}
	sealer, err := wire.NewSealer(wire.SealerConfig{Key: keys.Seal, Cluster: cfg.Cluster, Self: self, PartSize: part, Random: rand.Reader})
	if err != nil {
		return errors.Join(err, tx.Close())
	}
	if d.ears, err = newEars(wire.OpenerConfig{Keys: keys.Accepted(), Cluster: cfg.Cluster, Self: self, Heard: d.memory.recall()}, keys); err != nil {
		return errors.Join(err, tx.Close())
	}
	d.tx, d.forwarded = tx, newForwarded(d.host.data, d.log)
	d.detours = newDetours(cfg, d.host.addresses(), source, d.openDetoured, tx.Interrupt, d.linkSaid, d.log)
	own := ownershipConfig(cfg, d.host, self, source, keys.Hash)
	own.Pins = d.pins.recall()
	promises := newPromised(cfg.StateDir, d.log)
	own.Promised = promises.recall()
	d.loop = newLoop(cfg, d.host, own, tx, sealer, d.openService, d.detours, d.events, d.hooks.Tell, d.log)
	d.loop.savePins, d.loop.promised = d.pins.keep, promises
	ward, known := d.ward.Load(), d.records.recall()
	ward.serves(d.loop, d.learnt)
	if d.unfit = ""; left == nil {
		ward.learns(known.anew(now()))
		return nil
	}
	ward.learns(known)
	if err = d.loop.carryOn(left, own); err == nil {
		err = takeEstate(cfg)
	}
	if err != nil {
		return errors.Join(err, tx.Close())
	}
	ward.degraded.carryOn(left.Degraded, time.Now())
	d.unfit = left.Node.Unfit
	return nil
}

// serve runs everything until ctx is done or a part fails. The loop ends
// first, with its goodbye; what it needs for that ends after it.
func (d *daemon) serve(ctx context.Context, socket net.Listener, signals Signals) error {
	outer, stopLoop := context.WithCancelCause(ctx)
	defer stopLoop(nil)
	inner, stopRest := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRest()

	d.inner, d.end = inner, stopLoop

	hurry(d.log) // before more threads begin than there have to be
	errs := make(chan error, 3)
	run := func(what string, f func() error) {
		d.rest.Go(func() {
			if err := f(); err != nil {
				err = fmt.Errorf("%s: %w", what, err)
				errs <- err
				stopLoop(err)
			}
		})
	}
	run("watch this host", func() error {
		k := newKeeper(d.host, d.log, d.loop.drifted, func(why string) error {
			return d.order(inner, ownership.Unfit{Why: why})
		})
		k.unfit = d.unfit
		return k.run(inner)
	})
	run("answer on "+d.file().API.Socket, func() error {
		return api.NewServer(d, d.log).Run(inner, socket)
	})
	d.rest.Go(func() { d.obey(inner, signals.Hangups) })
	d.rest.Go(func() { d.obeyStops(inner, signals.Stops) })
	d.rest.Go(func() { d.obeyRestarts(inner, signals.Restarts) })
	d.rest.Go(func() { d.memory.keep(inner, d.ears) })
	d.rest.Go(func() { d.detours.run(inner) })
	d.rest.Go(func() { d.pins.run(inner, keepAgain) })
	d.rest.Go(func() { d.letGo(inner) })
	d.rest.Go(func() { d.tend(inner) })
	d.rest.Go(func() { d.recordHealth(inner) })
	d.rest.Go(func() { d.loop.replayer.run(inner) })
	d.rest.Go(func() { d.forwarded.watch(inner, d.host.data) })

	for _, w := range d.file().Warnings {
		d.log.Warn(w.Error())
	}
	for _, w := range d.host.warnings {
		d.log.Warn(w)
	}
	d.log.Info("started", "version", d.version, "node", d.file().Node.Name, "incarnation", d.loop.incarnation,
		"interface", d.host.link.Name, "datapath", d.host.attachment.Mode().String(), "because", d.host.attachment.Reason())
	d.logKeys("has read the key file")
	err := d.loop.run(outer)
	d.orders = d.loop.standing(d.file().Node.Weight)
	if errors.Is(err, errGone) {
		err = fmt.Errorf("interface %s: %w", d.host.link.Name, err)
	}
	stopRest()
	if errors.Is(err, errHeld) {
		d.waitShortly()
		d.log.Info("makes room for the next daemon, which carries on")
		return errHeld
	}
	d.rest.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	d.log.Info("stopped")
	if err == nil && errors.Is(context.Cause(outer), errReplaced) {
		d.leaveWord()
		return errReplaced
	}
	return err
}

// linkSaid keeps what becomes of an interface that beats go by. It does not wait for the loop.
func (d *daemon) linkSaid(text string) {
	d.events.add(api.Event{Time: time.Now(), Kind: eventLink, Node: d.file().Node.Name, Text: text})
}

// openService is for what comes on the service interface.
func (d *daemon) openService(p peer.Payload) (*ownership.Beat, ownership.Path) {
	if p.Beside() {
		return d.openDetoured(p), ownership.PathSecond
	}
	return d.open(d.ears.service, p), ownership.PathService
}

// openDetoured is for what comes by any other path.
func (d *daemon) openDetoured(p peer.Payload) *ownership.Beat { return d.open(d.ears.second, p) }

// open turns a payload into a beat, nil if it is none or not whole yet. What is
// dropped is counted by the opener, and told of where a person should know.
func (d *daemon) open(by *ear, p peer.Payload) *ownership.Beat {
	beat, reason := by.open(p.Data)
	if reason.Dropped() {
		d.loop.strangers.see(reason, p, now())
	}
	return beat
}

// ownAddress is the node's own address that is nearest to a shared one: of a
// network that contains it, else any of the family.
func ownAddress(link netcfg.Link, shared netip.Addr) netip.Addr {
	var any netip.Addr
	for _, p := range link.Own {
		a := p.Addr()
		if a.Is4() != shared.Is4() || a.IsLinkLocalUnicast() {
			continue
		}
		if p.Contains(shared) {
			return a
		}
		if !any.IsValid() {
			any = a
		}
	}
	return any
}
