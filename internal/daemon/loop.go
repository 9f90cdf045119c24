package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/datapath"
	"github.com/rota-cluster/rota/internal/netcfg"
	"github.com/rota-cluster/rota/internal/ownership"
	"github.com/rota-cluster/rota/internal/peer"
	"github.com/rota-cluster/rota/internal/wire"
)

// loop is the one goroutine that talks to the state machine. All its fields
// belong to it; others reach it through ask.
type loop struct {
	log    *slog.Logger
	node   *ownership.Node
	data   *datapath.Datapath
	tx     *peer.Transport
	sealer *wire.Sealer
	events *journal
	herald *herald

	replayer *replayer

	open    func(peer.Payload) (*ownership.Beat, ownership.Path)
	sent    uint64 // beats
	detours *detours

	state      ownership.State
	stateSince time.Time

	name        string // this node's
	incarnation uint64

	keepIncarnation func(uint64) error
	savePins        func([]ownership.PinOrder)
	frameCounter    *netcfg.FrameCounter
	commands        commands
	promised        *promised
	holding         func(error) error // what follows the answer to Hold; nil: nobody asked
	carriesOn       ownership.Time    // what a daemon has left that stopped then; 0: none
	restarted       string            // what became of a restart before; "": there was none
	first           []ownership.Event // before anything is heard
	interval        time.Duration
	lease           time.Duration
	pools           []string
	watched         bool // an address is to go: the sockets are looked at
	inUse           map[netip.Addr]bool
	inUseAt         ownership.Time // when that look began

	late      *lateness
	lingering *lingering
	sockets   chan socketLook // results of looks at the host's sockets
	looking   bool
	nextLook  ownership.Time

	orders chan func() error
	done   chan struct{} // closed when run returns
	wakeAt ownership.Time

	beatAt      ownership.Time // when a peer's beat was last received
	lookedAt    ownership.Time // by look
	framesAt    ownership.Time // the last look at the interface
	frames      uint64         // its count of received frames then, if framesKnown
	framesKnown bool

	traffic      uint64 // packets for shared addresses at the last look, if trafficKnown
	trafficKnown bool

	strangers *strangers
	began     ownership.Time // of the loop
	heard     bool           // a peer's beat has been received since then

	sendFailure error // of the last beat

	outage outage
	second secondHeard
}

// socketLook is which buckets have live connections, by a look that began at began.
type socketLook struct {
	began ownership.Time
	live  datapath.Live
	err   error
}

// errGone: another interface of the same name is not the one that was set up.
var errGone = errors.New("the interface has gone")

// lookEvery is how often the host's sockets are read while something lingers.
const lookEvery = time.Second

// run handles events until ctx is done, then says goodbye. An error means that
// the datapath no longer does what it is told; its lease is over then.
//
// It waits in one place, for frames with a deadline: whoever has something
// for it puts that where it looks, then interrupts the wait.
func (l *loop) run(ctx context.Context) error {
	defer close(l.done)
	l.began = datapath.Now()
	defer context.AfterFunc(ctx, l.tx.Interrupt)()
	if l.carriesOn != 0 {
		l.restarted = fmt.Sprintf("goes on after a restart of the daemon, which took %v", (l.began - l.carriesOn).Round(time.Millisecond))
	}
	if l.restarted != "" {
		l.record(ownership.Note{Kind: ownership.NoteHold, Text: l.restarted})
	}
	for _, ev := range l.first {
		if err := l.step(ev); err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		err := l.turn()
		if errors.Is(err, errHeld) {
			return err
		}
		if err != nil {
			l.data.Expire()
			return err
		}
	}
	return l.step(ownership.Stop{})
}

// turn does what has come up, then waits for the next thing.
func (l *loop) turn() error {
	select {
	case do := <-l.orders:
		return do()
	case look := <-l.sockets:
		return l.settleLook(look)
	default:
	}
	if now := datapath.Now(); now >= l.wakeAt {
		due := l.wakeAt
		err := l.wake()
		l.late.done(due, datapath.Now())
		return err
	}
	select {
	case a := <-l.detours.arrived:
		return l.hear(a.beat, a.path)
	default:
	}
	var failed error
	err := l.tx.Receive(l.wakeAt, func(p peer.Payload) {
		if beat, path := l.open(p); beat != nil {
			l.beatAt = datapath.Now()
			failed = l.hear(beat, path)
		}
	})
	return errors.Join(err, failed)
}

func (l *loop) hear(beat *ownership.Beat, path ownership.Path) error {
	l.heard = l.heard || beat.From.Name != l.name
	if l.detours.any() {
		l.second.note(beat.From.Name, path, datapath.Now(), l.lease)
	}
	if err := l.step(ownership.BeatReceived{Beat: beat, Path: path}); err != nil {
		return err
	}
	return l.look(datapath.Now())
}

// errStopping answers those who ask too late.
var errStopping = errors.New("the daemon is stopping")

// ask runs do in the loop and waits for it. It gives up when ctx is done, or the loop.
func (l *loop) ask(ctx context.Context, do func() error) error {
	result := make(chan error, 1)
	select {
	case l.orders <- func() error { err := do(); result <- err; return err }:
		l.tx.Interrupt()
	case <-l.done:
		return errStopping
	case <-ctx.Done():
		return fmt.Errorf("the daemon does not answer: %w", context.Cause(ctx))
	}
	select {
	case err := <-result:
		return err
	case <-l.done:
		return errStopping
	case <-ctx.Done():
		return fmt.Errorf("the daemon does not answer: %w", context.Cause(ctx))
	}
}

// wake is what comes by time.
func (l *loop) wake() error {
	now := datapath.Now()
	if l.heldBack(now) {
		l.wakeAt = now + l.interval
		return nil
	}
	if err := l.look(now); err != nil {
		return err
	}
	return l.step(ownership.Wake{})
}

// look looks at the host, once or twice in an interval: at the interface when no peer has been heard, at
// the sockets while something lingers. Beats bring it about as well as time: who answers the beats of others need not wake up.
func (l *loop) look(now ownership.Time) error {
	if now-l.lookedAt < l.interval/2 {
		return nil
	}
	l.lookedAt = now
	if l.looksAtFrames(now) {
		if err := l.lookAtFrames(now); err != nil {
			return err
		}
	}
	if err := l.lookAtTraffic(); err != nil {
		return err
	}
	if (l.lingering.any() || l.watched) && !l.looking && now >= l.nextLook {
		l.looking, l.nextLook = true, now+lookEvery
		go func() {
			began := datapath.Now()
			live, err := l.data.Live()
			l.sockets <- socketLook{began, live, err}
			l.tx.Interrupt()
		}()
	}
	return nil
}

// heldBack tells whether this node must not go alone. It has not owned
// anything and not heard a peer since its start, but somebody whose beats it
// cannot open sends them to its own shared address: most likely its peers, of
// another key or version. Both would answer, and the clients be reset by one of
// them. Once a peer has been heard, or something was owned, strangers have no
// say: anybody on the segment can pretend to be one.
//
// The first half of the time for which a node listens before it serves alone
// is never held back, so that peers who start beside strangers find each other.
func (l *loop) heldBack(now ownership.Time) bool {
	listens := l.listens()
	return !l.heard && l.node.State() == ownership.StateJoining && now-l.began >= listens/2 && l.strangers.rivalWithin(listens, now)
}

// listens is for how long a node listens before it serves alone.
func (l *loop) listens() time.Duration { return max(3*l.lease, time.Second) }

// looksAtFrames: a beat says more than a look, so none is needed for a while after one. The state
// machine finds itself deaf after 3 intervals less than a lease without a frame, and by then
// there must have been two looks, an interval apart each: half of what is left is spared.
func (l *loop) looksAtFrames(now ownership.Time) bool {
	spared := max(l.lease-5*l.interval, 0) / 2
	return now-l.beatAt >= spared || l.outage.why != nil
}

// lookAtFrames looks at the interface, and tells the state machine when the interface receives frames
// although no peer is heard: then it is not deaf. A look after a beat only notes
// the count, which the beat explains.
func (l *loop) lookAtFrames(now ownership.Time) error {
	beatSince := l.beatAt >= l.framesAt
	l.framesAt = now
	l.lookAtCarrier()
	frames, err := l.frameCounter.Count()
	if errors.Is(err, unix.ENODEV) {
		return errGone
	}
	if err != nil {
		return nil // without frames it counts as deaf
	}
	seen := l.framesKnown && frames != l.frames && !beatSince
	l.frames, l.framesKnown = frames, true
	if !seen {
		return nil
	}
	return l.step(ownership.FramesSeen{})
}

// lookAtTraffic tells the state machine, while it asks, when clients' packets come.
func (l *loop) lookAtTraffic() error {
	if !l.node.InDoubt() {
		l.trafficKnown = false
		return nil
	}
	counts, err := l.data.Counters()
	if err != nil {
		return nil // it has to judge without
	}
	var packets uint64
	for _, c := range counts {
		packets += c.FromClients()
	}
	seen := l.trafficKnown && packets != l.traffic
	l.traffic, l.trafficKnown = packets, true
	if !seen {
		return nil
	}
	return l.step(ownership.TrafficSeen{})
}

func (l *loop) settleLook(look socketLook) error {
	l.looking = false
	if look.err != nil {
		l.log.Warn("cannot read the host's sockets: handed-over buckets linger until the drain timeout", "error", look.err)
		return nil
	}
	l.inUse, l.inUseAt = look.live.Addresses, look.began
	for i, pool := range l.pools {
		at := slices.Index(look.live.Pools, pool)
		if at < 0 {
			continue // it has come since
		}
		keep, expired := l.lingering.keep(i, look.live.Buckets[at], look.began, datapath.Now())
		if expired > 0 {
			l.log.Warn("drain timeout: lets go of buckets that still have connections", "pool", l.pools[i], "buckets", expired)
		}
		l.lingering.count(i, look.live.Connections[at])
		if err := l.step(ownership.Live{Pool: i, Buckets: keep}); err != nil {
			return err
		}
	}
	return nil
}

// step hands one event to the state machine and carries out what it asks for.
func (l *loop) step(ev ownership.Event) error {
	for _, effect := range l.node.Step(datapath.Now(), ev) {
		if err := l.perform(effect); err != nil {
			return err
		}
	}
	if s := l.node.State(); s != l.state || l.stateSince.IsZero() {
		l.state, l.stateSince = s, time.Now()
	}
	l.herald.settle(l.state, func() ownership.Status { return l.node.Status(datapath.Now()) })
	return nil
}

func (l *loop) perform(effect ownership.Effect) error {
	switch e := effect.(type) {
	case ownership.SetTable:
		if err := l.data.SetTable(l.data.Pool(l.pools[e.Pool]), e.States); err != nil {
			return fmt.Errorf("pool %s: switch table: %w", l.pools[e.Pool], err)
		}
		now, idle := datapath.Now(), !l.lingering.any()
		if l.lingering.follow(e.Pool, e.States, now); idle && l.lingering.any() {
			l.nextLook = max(l.nextLook, now+settling) // an earlier one judges nothing
		}
		l.herald.moved()
	case ownership.RenewLease:
		if err := l.data.SetLease(e.Until); err != nil {
			return fmt.Errorf("renew lease: %w", err)
		}
	case ownership.Send:
		return l.send(e.Beat, e.Direct)
	case ownership.Replay:
		l.replayer.ask(replay{pool: e.Pool, name: l.pools[e.Pool], buckets: e.Buckets, since: e.Since})
	case ownership.Resend:
		l.replayer.ask(replay{pool: e.Pool, name: l.pools[e.Pool], buckets: e.Buckets, since: e.Since, handOn: true})
	case ownership.SetIncarnation:
		return l.speakAs(e.Incarnation)
	case ownership.CommandDone:
		l.commands.settle(e)
	case ownership.DrainTimeout:
		l.lingering.drainTimeout = e.Timeout
	case ownership.Remember:
		l.remember(e.Until)
	case ownership.Held:
		return l.held("")
	case ownership.NotHeld:
		return l.held(e.Why)
	case ownership.SavePins:
		l.savePins(e.Orders)
	case ownership.WakeAt:
		l.wakeAt = e.At
	case ownership.Note:
		l.record(e)
	}
	return nil
}

// speakAs goes on as a later incarnation, which the next start comes after.
func (l *loop) speakAs(incarnation uint64) error {
	if err := l.sealer.SetIncarnation(incarnation); err != nil {
		return err
	}
	l.incarnation = incarnation
	if err := l.keepIncarnation(incarnation); err != nil {
		l.log.Warn("runs without memory: the next start may not be taken in", "error", err)
	}
	return nil
}

// send is best effort: a beat that is not sent is a beat that is lost. A
// failure is told once, when it begins and when it ends; it is an error only
// if no beat can ever be sent again.
func (l *loop) send(beat *ownership.Beat, direct []ownership.Recipient) error {
	parts, err := l.sealer.Seal(beat)
	if err == nil {
		err = l.tx.Send(parts)
		l.detours.send(parts, direct)
		l.sent++
	}
	if errors.Is(err, peer.ErrInterfaceGone) {
		return errGone
	}
	switch {
	case err != nil && l.sendFailure == nil:
		l.log.Error("cannot send beats", "error", err)
	case err == nil && l.sendFailure != nil:
		l.log.Info("sends beats again")
	}
	l.sendFailure = err
	return nil
}

// drifted records that somebody changed what rota needs on the host. It does not
// wait for the loop, so that repairs go on however busy that is.
func (l *loop) drifted(text string) {
	l.events.add(api.Event{Time: time.Now(), Kind: config.HookDrift, Node: l.name, Text: text})
	select {
	case l.orders <- func() error { l.herald.drifted(text); return l.step(ownership.Wake{}) }:
		l.tx.Interrupt()
	default: // the hooks miss it
	}
}

func (l *loop) record(n ownership.Note) {
	l.herald.note(n)
	who := n.Node
	if who == "" {
		who = l.name
	}
	l.events.add(api.Event{
		Time: time.Now(), Kind: n.Kind.String(), Node: who, View: viewID(n.View), Text: n.Text, Moved: n.Moved,
	})
	level := slog.LevelInfo
	switch n.Kind {
	case ownership.NotePeerSilent, ownership.NotePeerIncompatible, ownership.NoteDuplicateName,
		ownership.NoteLeaseLost, ownership.NoteStandby, ownership.NoteDeaf, ownership.NotePinsLost:
		level = slog.LevelWarn
	}
	l.log.Log(context.Background(), level, n.Text, "event", n.Kind.String(), "node", who)
}
