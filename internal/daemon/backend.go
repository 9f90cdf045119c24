package daemon

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/hook"
	"github.com/rota-cluster/rota/internal/ownership"
	"github.com/rota-cluster/rota/internal/peer"
	"github.com/rota-cluster/rota/internal/wire"
)

// answerWithin bounds how long a question waits for the loop.
const answerWithin = 2 * time.Second

// ordersWaiting is how many orders and questions may wait for the loop; who
// comes later waits to be heard.
const ordersWaiting = 16

func newLoop(cfg *config.Config, h *host, own ownership.Config, tx *peer.Transport, sealer *wire.Sealer, open func(peer.Payload) (*ownership.Beat, ownership.Path), detours *detours, events *journal, tell func(hook.Event), log *slog.Logger) *loop {
	l := &loop{
		log: log, data: h.data, tx: tx, sealer: sealer, open: open, detours: detours,
		node: ownership.New(own, now()), incarnation: own.Self.Incarnation,
		keepIncarnation: func(n uint64) error { return writeIncarnation(filepath.Join(cfg.StateDir, incarnationFile), n) },
		events:          events, herald: newHerald(cfg, tell), strangers: newStrangers(h.addresses(), log),
		name: cfg.Node.Name, frameCounter: h.frames, interval: cfg.Heartbeat.Interval, lease: cfg.Heartbeat.Lease,
		second:   secondHeard{},
		commands: commands{waiting: map[uint64]chan ownership.CommandDone{}},
		sockets:  make(chan socketLook, 1), orders: make(chan func() error, ordersWaiting), done: make(chan struct{}),
	}
	l.replayer = newReplayer(cfg.Node.Name, h, l.events, log)
	l.follow(cfg)
	return l
}

// carryOn goes on where another daemon stopped. It fails before anything is changed.
func (l *loop) carryOn(e *estate, own ownership.Config) error {
	node, err := ownership.CarryOn(own, e.Node, now())
	if err != nil {
		return err
	}
	l.node, l.carriesOn, l.heard = node, e.Node.Now, true
	l.state, l.stateSince, l.sent = node.State(), e.Since, e.Beats
	l.first = []ownership.Event{ownership.Unhold{}}
	copy(l.lingering.since, e.Lingering)
	l.events.resume(e.Events)
	return nil
}

// ownershipConfig is what the state machine needs to know.
func ownershipConfig(cfg *config.Config, h *host, self ownership.Ref, source netip.Addr, secret []byte) ownership.Config {
	c := ownership.Config{
		Self: self, Host: hostID(h.link.MAC), Interval: cfg.Heartbeat.Interval, Lease: cfg.Heartbeat.Lease,
		Quorum: cfg.Quorum, ExpectedNodes: cfg.ExpectedNodes, Seed: binary.LittleEndian.Uint64(secret) ^ hostID(h.link.MAC),
	}
	if source.IsValid() {
		c.Address = source.String()
	}
	c.Pools = h.now.Load().pools(cfg.Node.Weight)
	return c
}

// order hands an event to the state machine, in the loop.
func (d *daemon) order(ctx context.Context, ev ownership.Event) error {
	return d.ordered(ctx, func() error { return d.loop.step(ev) })
}

// ordered carries an order out in the loop, unless whoever gave it has gone by
// then: what was reported as failed is not done later.
func (d *daemon) ordered(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var refused error
	err := d.loop.ask(ctx, func() error {
		if ctx.Err() != nil {
			return nil
		}
		err := do()
		if e := new(api.Error); errors.As(err, &e) {
			refused = err // the order's fault, not the loop's
			return nil
		}
		return err
	})
	return cmp.Or(err, refused)
}

// Events are the notes of the state machine.
func (d *daemon) Events(since uint64) ([]api.Event, <-chan struct{}) {
	return d.loop.events.since(since)
}

// Explain says where a packet goes.
func (d *daemon) Explain(q api.ExplainQuery) (api.Explanation, error) {
	picture := d.host.now.Load()
	i, err := q.Find(picture.cfg.Pools)
	if err != nil {
		return api.Explanation{}, err
	}
	pool := picture.cfg.Pools[i]
	bucket := pool.Hasher(picture.seeds[i]).Bucket(q.Src.Addr, q.Src.Port, q.Dst.Port)
	var b ownership.BucketStatus
	var s ownership.Status
	var stale bool
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	if err := d.loop.ask(ctx, func() error {
		if d.host.now.Load() == picture {
			b, s = d.loop.node.Bucket(i, bucket), d.loop.node.Status(now())
			return nil
		}
		stale = true
		return nil
	}); err != nil {
		return api.Explanation{}, err
	}
	if stale {
		return api.Explanation{}, api.Refused("the configuration is changing at this moment: ask again")
	}
	return api.Explanation{
		Source: q.Src.String(), Destination: q.Dst.String(), Pool: pool.Name, Hash: pool.HashText(),
		Buckets: pool.Buckets, Bucket: bucket, Owner: b.Owner, Lingering: append([]string{}, b.Lingering...),
		Here: b.Here.String(), Node: d.file().Node.Name, View: viewID(s.View.ID), Agreed: s.Agreed, Why: whyOwner(b, s, i),
		Pin: pinOf(b.Pin),
	}, nil
}

func whyOwner(b ownership.BucketStatus, s ownership.Status, pool int) string {
	switch {
	case b.Assigned == "":
		return "there is no view yet: " + s.Why
	case b.Owner == b.Assigned && s.Pools[pool].Active != "":
		return fmt.Sprintf("view %d gives the whole pool to %s: %s", s.View.ID.Number, b.Assigned, s.Pools[pool].ActiveWhy)
	case b.Owner == b.Assigned:
		return fmt.Sprintf("view %d of %d nodes gives the bucket to %s%s", s.View.ID.Number, len(s.View.Members), b.Assigned, how(b))
	case b.Owner != "":
		return fmt.Sprintf("view %d gives the bucket to %s, %s has not released it yet", s.View.ID.Number, b.Assigned, b.Owner)
	case s.Why != "":
		return fmt.Sprintf("view %d gives the bucket to %s; of this node: %s", s.View.ID.Number, b.Assigned, s.Why)
	default:
		return fmt.Sprintf("view %d gives the bucket to %s, which does not accept it yet", s.View.ID.Number, b.Assigned)
	}
}

// viewID is how a view is written for people and programs: the same on all nodes.
func viewID(id ownership.ViewID) string {
	if id.Number == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%s/%x", id.Number, id.Proposer.Name, id.Proposer.Incarnation)
}
