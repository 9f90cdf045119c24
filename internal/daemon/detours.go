package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/netcfg"
	"github.com/rota-cluster/rota/internal/ownership"
	"github.com/rota-cluster/rota/internal/peer"
	"github.com/rota-cluster/rota/internal/wire"
)

const (
	// reopenEvery is how often a path that is not there is looked for again.
	reopenEvery = time.Second
	// beatsWaiting is how many beats of other paths may wait for the loop. They
	// are authentic and each came once, so they are never many.
	beatsWaiting = 256
)

// detours are the paths of beats beside the service's own: other interfaces, and
// unicast. Each has a goroutine that receives and opens; the loop sends, and
// gets what is a beat. A path that does not work is told once and tried again;
// it stops nothing.
type detours struct {
	direct *direct
	log    *slog.Logger

	mu     sync.Mutex
	beside []*beside
	shared []netip.Addr
	port   uint16
	start  func(*beside) // nil: not running

	open      func(peer.Payload) *ownership.Beat
	said      func(text string) // as an event
	arrived   chan arrival
	interrupt func() // the loop's wait
	overruns  atomic.Uint64
}

// arrival is a beat that came by another path.
type arrival struct {
	beat *ownership.Beat
	path ownership.Path
}

// newDetours makes what the configuration asks for. own is the node's own
// address; if it has none, there is no unicast.
func newDetours(cfg *config.Config, shared []netip.Addr, own netip.Addr, open func(peer.Payload) *ownership.Beat, interrupt func(), said func(string), log *slog.Logger) *detours {
	d := &detours{log: log, port: cfg.Heartbeat.Port, open: open, said: said, arrived: make(chan arrival, beatsWaiting), interrupt: interrupt}
	d.use(cfg.Heartbeat.Interfaces, shared)
	if own.IsValid() {
		d.direct = &direct{complaint: complaint{log: log, said: said, what: "heartbeat by unicast"}, own: own, port: cfg.Heartbeat.Port}
	}
	return d
}

// run receives until ctx is done.
func (d *detours) run(ctx context.Context) {
	var all sync.WaitGroup
	d.mu.Lock()
	d.start = func(b *beside) {
		own, end := context.WithCancel(ctx)
		b.end = end
		all.Go(func() { b.run(own, func(p peer.Payload) { d.take(p, ownership.PathSecond) }) })
	}
	for _, b := range d.beside {
		d.start(b)
	}
	d.mu.Unlock()
	if d.direct != nil {
		all.Go(func() { d.direct.run(ctx, func(p peer.Payload) { d.take(p, ownership.PathUnicast) }) })
	}
	<-ctx.Done()
	d.mu.Lock()
	d.start = nil
	d.mu.Unlock()
	all.Wait()
}

// use follows a change of the configuration. The paths that stay are not interrupted.
func (d *detours) use(interfaces []string, shared []netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shared = shared
	var now []*beside
	for _, name := range interfaces {
		i := slices.IndexFunc(d.beside, func(b *beside) bool { return b.name == name })
		if i >= 0 {
			d.beside[i].setAddresses(shared)
			now = append(now, d.beside[i])
			continue
		}
		b := &beside{complaint: complaint{log: d.log, said: d.said, what: "heartbeat on " + name}, name: name, port: d.port}
		b.setAddresses(shared)
		if now = append(now, b); d.start != nil {
			d.start(b)
		}
	}
	for _, b := range d.beside {
		if !slices.Contains(now, b) && b.end != nil {
			b.end()
		}
	}
	d.beside = now
}

// any tells whether there are paths by other interfaces.
func (d *detours) any() bool {
	all, _ := d.paths()
	return len(all) > 0
}

// settled tells whether all of them have worked for so long.
func (d *detours) settled(long time.Duration) bool {
	all, _ := d.paths()
	return !slices.ContainsFunc(all, func(b *beside) bool { return !b.fineFor(long) })
}

// paths are those by other interfaces now, and the shared addresses.
func (d *detours) paths() ([]*beside, []netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.beside, d.shared
}

func (d *detours) take(p peer.Payload, path ownership.Path) {
	beat := d.open(p)
	if beat == nil {
		return
	}
	select {
	case d.arrived <- arrival{beat, path}:
		d.interrupt()
	default:
		d.overruns.Add(1)
	}
}

// send sends a beat's parts by all of them; by unicast to those who need it.
func (d *detours) send(parts [][]byte, to []ownership.Recipient) {
	all, shared := d.paths()
	for _, b := range all {
		b.send(parts)
	}
	if d.direct == nil {
		return
	}
	for _, r := range to {
		// What a peer says of itself may be nonsense, and must not lead to a shared address.
		if a, err := netip.ParseAddr(r.Address); err == nil && !slices.Contains(shared, a.Unmap()) {
			d.direct.send(a, parts)
		}
	}
}

// status is what became of each, unicast last.
func (d *detours) status() []api.Path {
	all, _ := d.paths()
	paths := make([]api.Path, 0, len(all)+1)
	for _, b := range all {
		c := b.counters()
		p := api.Path{Path: ownership.PathSecond.String(), Interface: b.name, Sent: c.Sent, Received: c.Received, Trouble: b.text()}
		for _, n := range c.Unsent {
			p.Unsent += n
		}
		paths = append(paths, p)
	}
	p := api.Path{Path: ownership.PathUnicast.String(), Trouble: "this node has no address of its own to send from"}
	if d.direct != nil {
		c := d.direct.counters()
		p.Address, p.Sent, p.Unsent, p.Received, p.Trouble = d.direct.own.String(), c.Sent, c.Unsent, c.Received, d.direct.text()
	}
	return append(paths, p)
}

// beside is the path by one interface that is not the service's.
type beside struct {
	complaint
	name   string
	port   uint16
	shared atomic.Pointer[[]netip.Addr]
	now    atomic.Pointer[peer.Transport] // nil: not there
	end    func()
}

func (b *beside) run(ctx context.Context, handle func(peer.Payload)) {
	reopen(ctx, func() error {
		link, err := netcfg.LinkByName(b.name)
		if err != nil {
			return b.tell(err)
		}
		o := peer.Options{Interface: b.name, Addresses: *b.shared.Load(), Port: b.port, Beside: true}
		o.Source = ownAddress(link, o.Addresses[0])
		tx, err := peer.Open(o)
		if err != nil {
			return b.tell(err)
		}
		b.now.Store(tx)
		b.setAddresses(*b.shared.Load()) // they may have changed meanwhile
		defer b.now.Store(nil)
		return receive(ctx, tx.Close, func() error { return tx.Receive(0, handle) })
	})
}

func (b *beside) setAddresses(shared []netip.Addr) {
	b.shared.Store(&shared)
	if tx := b.now.Load(); tx != nil {
		_ = b.tell(tx.SetAddresses(shared)) // which is all that can be done
	}
}

func (b *beside) send(parts [][]byte) {
	tx := b.now.Load()
	if tx == nil {
		return
	}
	err := tx.Send(parts)
	if errors.Is(err, peer.ErrInterfaceGone) {
		err = errors.Join(err, tx.Close()) // and looked for anew
	} else if dead := tx.Carrier(); dead != nil {
		err = fmt.Errorf("%s: %w", b.name, dead) // whatever became of the frame
	}
	_ = b.tell(err) // which is all that can be done
}

func (b *beside) counters() peer.Counters {
	if tx := b.now.Load(); tx != nil {
		return tx.Counters()
	}
	return peer.Counters{}
}

// direct is the path by unicast.
type direct struct {
	complaint
	own  netip.Addr
	port uint16
	now  atomic.Pointer[peer.Unicast]
}

func (d *direct) run(ctx context.Context, handle func(peer.Payload)) {
	reopen(ctx, func() error {
		u, err := peer.OpenUnicast(d.own, d.port)
		if d.tell(err) != nil {
			return err
		}
		d.now.Store(u)
		defer d.now.Store(nil)
		return receive(ctx, u.Close, func() error { return u.Receive(handle) })
	})
}

func (d *direct) send(to netip.Addr, parts [][]byte) {
	if u := d.now.Load(); u != nil {
		u.Send(to, parts)
	}
}

func (d *direct) counters() peer.UnicastCounters {
	if u := d.now.Load(); u != nil {
		return u.Counters()
	}
	return peer.UnicastCounters{}
}

// reopen calls use again and again, with a pause in between, until ctx is done.
func reopen(ctx context.Context, use func() error) {
	for use() != nil && ctx.Err() == nil {
		pause := time.NewTimer(reopenEvery)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}

// receive calls next until it fails, as it does when ctx is done.
func receive(ctx context.Context, end func() error, next func() error) error {
	stop := context.AfterFunc(ctx, func() { _ = end() })
	defer stop()
	for {
		if err := next(); err != nil {
			return errors.Join(err, end())
		}
	}
}

// complaint is what is wrong with a path now. It is told when it begins and
// when it ends.
type complaint struct {
	log  *slog.Logger
	said func(text string) // as an event
	what string

	mu    sync.Mutex
	now   string
	since time.Time // when that began or ended; zero: never
}

// tell returns the error that it is given.
func (c *complaint) tell(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil && c.now == "":
		c.log.Warn(c.what+" does not work; goes on without", "error", err)
		c.said(fmt.Sprintf("%s does not work, goes on without: %v", c.what, err))
		c.since = time.Now()
	case err == nil && c.now != "":
		c.log.Info(c.what + " works")
		c.said(c.what + " works again")
		c.since = time.Now()
	}
	c.now = ""
	if err != nil {
		c.now = err.Error()
	}
	return err
}

func (c *complaint) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// fineFor tells whether nothing has been wrong for so long.
func (c *complaint) fineFor(long time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now == "" && time.Since(c.since) >= long
}

// partSize is the size of a beat's parts, so that they fit all interfaces that
// they go by. One that is not there yet, or cannot carry beats, does not count.
func partSize(link netcfg.Link, beside []string) (int, error) {
	size, err := wire.PartSize(link.MTU)
	for _, name := range beside {
		other, missing := netcfg.LinkByName(name)
		if missing != nil {
			continue
		}
		if s, unfit := wire.PartSize(other.MTU); unfit == nil {
			size = min(size, s)
		}
	}
	return size, err
}
