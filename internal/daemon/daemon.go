package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
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

	host   *host
	tx     *peer.Transport
	ears   ears
	memory *memory
	pins   *pinStore
	loop   *loop

	detours *detours

	// What outlives the interface.
	events *journal
	hooks  *hook.Runner
	absent atomic.Bool // there is none now

	reloading sync.Mutex       // held by who changes host.now
	beatMAC   net.HardwareAddr // that the beats go to; under reloading
}

// Run serves until ctx is done, then says goodbye and leaves the host as it
// was. An error is one line that says what to do. Whatever is half done when
// it fails is undone. At each hangup it reads its files again: read gives the
// configuration as it is then. If its
// interface is taken away it waits for another of that name and begins anew.
func Run(ctx context.Context, cfg *config.Config, read func() (*config.Config, error), version string, hangups <-chan os.Signal, log *slog.Logger) (err error) {
	if err := checkPrivileges(); err != nil {
		return err
	}
	d := &daemon{
		read: read, log: log, started: time.Now(), version: version, memory: newMemory(cfg.StateDir, log),
		pins: newPinStore(cfg.StateDir, log), events: newJournal(),
	}
	d.filed.Store(cfg)
	d.hooks = hook.New(hook.Options{
		Hooks: cfg.Hooks, Dir: cfg.HooksDir, Env: []string{"ROTA_SOCKET=" + cfg.API.Socket}, Start: startUnhurried, Log: log,
	})
	inner, stopHooks := context.WithCancel(context.WithoutCancel(ctx))
	var hooks sync.WaitGroup
	hooks.Go(func() { d.hooks.Run(inner) })
	defer hooks.Wait()
	defer stopHooks()
	for {
		err := d.runOn(ctx, hangups)
		if !d.interfaceGone(err) || ctx.Err() != nil {
			return err
		}
		if err := d.awaitInterface(ctx); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// runOn serves on the interface that there is now.
func (d *daemon) runOn(ctx context.Context, hangups <-chan os.Signal) (err error) {
	cfg := d.file()
	keys, err := config.LoadKeys(cfg.KeyFile)
	if err != nil {
		return err
	}
	link, err := usableLink(cfg)
	if err != nil {
		return err
	}
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
	d.host, err = setUp(cfg, keys.Hash, link, d.log)
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	d.host.frames = frames
	defer func() { err = errors.Join(err, d.host.tearDown()) }()
	if err := d.connect(keys); err != nil {
		return errors.Join(err, socket.Close())
	}
	defer func() { err = errors.Join(err, d.tx.Close()) }()
	return d.serve(ctx, socket, hangups)
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
func (d *daemon) connect(keys config.Keys) error {
	cfg, link := d.file(), d.host.link
	first := cfg.Pools[0]
	self := ownership.Ref{Name: cfg.Node.Name, Incarnation: nextIncarnation(cfg.StateDir, time.Now(), d.log)}
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
	d.tx = tx
	d.detours = newDetours(cfg, d.host.addresses(), source, d.openDetoured, tx.Interrupt, d.log)
	own := ownershipConfig(cfg, d.host, self, source, keys.Hash)
	own.Pins = d.pins.recall()
	d.loop = newLoop(cfg, d.host, own, tx, sealer, d.openService, d.detours, d.events, d.hooks.Tell, d.log)
	d.loop.savePins = d.pins.keep
	return nil
}

// serve runs everything until ctx is done or a part fails. The loop ends
// first, with its goodbye; what it needs for that ends after it.
func (d *daemon) serve(ctx context.Context, socket net.Listener, hangups <-chan os.Signal) error {
	outer, stopLoop := context.WithCancelCause(ctx)
	defer stopLoop(nil)
	inner, stopRest := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRest()

	hurry(d.log) // before more threads begin than there have to be
	var rest sync.WaitGroup
	errs := make(chan error, 3)
	run := func(what string, f func() error) {
		rest.Go(func() {
			if err := f(); err != nil {
				err = fmt.Errorf("%s: %w", what, err)
				errs <- err
				stopLoop(err)
			}
		})
	}
	run("watch this host", func() error {
		return newKeeper(d.host, d.log, d.loop.drifted, func(why string) error {
			return d.order(inner, ownership.Unfit{Why: why})
		}).run(inner)
	})
	run("answer on "+d.file().API.Socket, func() error {
		return api.NewServer(d, d.log).Run(inner, socket)
	})
	rest.Go(func() { d.obey(inner, hangups) })
	rest.Go(func() { d.memory.keep(inner, d.ears) })
	rest.Go(func() { d.detours.run(inner) })
	rest.Go(func() { d.pins.run(inner) })
	rest.Go(func() { d.letGo(inner) })

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
	if errors.Is(err, errGone) {
		err = fmt.Errorf("interface %s: %w", d.host.link.Name, err)
	}
	stopRest()
	rest.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	d.log.Info("stopped")
	return err
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
