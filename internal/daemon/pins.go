package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/ownership"
)

const pinsFile = "pins"

// keepAgain is after how long what could not be written is tried again.
const keepAgain = 10 * time.Second

// pinStore keeps over restarts what operators have said about buckets. It
// writes beside the loop: a disk that is slow must not hold up a beat.
type pinStore struct {
	path string
	log  *slog.Logger

	mu       sync.Mutex
	orders   []ownership.PinOrder // the newest
	put      uint64               // how often there were new ones
	written  uint64               // and up to which they have been written, or tried to
	changed  chan struct{}        // closed and replaced when one of these changes
	failures error                // of the last attempt
}

func newPinStore(stateDir string, log *slog.Logger) *pinStore {
	return &pinStore{path: filepath.Join(stateDir, pinsFile), log: log, changed: make(chan struct{})}
}

// pinLine is one order in the file, as JSON in a line of its own.
type pinLine struct {
	Pool    string               `json:"pool"`
	Buckets string               `json:"buckets"`
	Node    string               `json:"node"` // "": the pin was taken off
	Version ownership.PinVersion `json:"version"`
	Over    ownership.PinVersion `json:"over"`
	At      time.Time            `json:"at"`
}

// recall reads what an earlier start has kept. Without it the daemon runs on:
// its peers tell it what they know.
func (s *pinStore) recall() []ownership.PinOrder {
	text, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var orders []ownership.PinOrder
	if err == nil {
		orders, err = parsePins(string(text))
	}
	if err != nil {
		s.log.Warn("runs without the pins of earlier starts, until a peer tells of them", "error", err)
	}
	return orders
}

func parsePins(text string) ([]ownership.PinOrder, error) {
	var orders []ownership.PinOrder
	for line := range strings.Lines(text) {
		var l pinLine
		err := json.Unmarshal([]byte(line), &l)
		var buckets []uint32
		if err == nil {
			buckets, err = api.ParseRanges(l.Buckets, ownership.MaxPinBuckets)
		}
		if err == nil && (l.Pool == "" || l.Version.Counter == 0 || l.Version.Counter > ownership.MaxPinCounter) {
			err = errors.New("no pool or no version")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %q is no order about pins (%w); remove the file", pinsFile, strings.TrimSpace(line), err)
		}
		orders = append(orders, ownership.PinOrder{
			Pool: l.Pool, Node: l.Node, Version: l.Version, Over: l.Over, At: l.At.UnixMilli(), Buckets: buckets,
		})
	}
	return orders, nil
}

func pinsText(orders []ownership.PinOrder) (string, error) {
	var b strings.Builder
	for _, o := range orders {
		line, err := json.Marshal(pinLine{
			Pool: o.Pool, Buckets: api.ListRanges(o.Buckets), Node: o.Node, Version: o.Version, Over: o.Over, At: time.UnixMilli(o.At).UTC(),
		})
		if err != nil {
			return "", err
		}
		b.Write(append(line, '\n'))
	}
	return b.String(), nil
}

// keep is told by the loop that there are other orders, and returns at once.
func (s *pinStore) keep(orders []ownership.PinOrder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orders = orders
	s.put++
	s.tell()
}

func (s *pinStore) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// run writes what there is to write, until ctx is done and all is written, or tried to.
// again is keepAgain but for tests.
func (s *pinStore) run(ctx context.Context, again time.Duration) {
	for {
		s.mu.Lock()
		orders, put, written, changed, failed := s.orders, s.put, s.written, s.changed, s.failures != nil
		s.mu.Unlock()
		var later <-chan time.Time
		if failed {
			later = time.After(again)
		}
		switch {
		case written < put:
			s.write(orders, put)
		case ctx.Err() != nil:
			return
		default:
			select {
			case <-changed:
			case <-later:
				s.write(orders, put)
			case <-ctx.Done():
			}
		}
	}
}

// write replaces the file as a whole. It tells once that it cannot.
func (s *pinStore) write(orders []ownership.PinOrder, put uint64) {
	text, err := pinsText(orders)
	if err == nil {
		err = replaceFile(s.path, text)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil && s.failures == nil:
		s.log.Warn("cannot keep the pins: a start of this node without its peers would not know them", "error", err)
	case err == nil && s.failures != nil:
		s.log.Info("keeps the pins again")
	}
	s.failures, s.written = err, put
	s.tell()
}

// warnings about what could not be written.
func (s *pinStore) warnings() []api.Warning {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures == nil {
		return nil
	}
	return []api.Warning{{Code: api.WarnPinsUnkept, Text: fmt.Sprintf(
		"cannot keep the pins (%v): a start of this node without its peers would not know them; mend state_dir", s.failures)}}
}

// settled waits until what was kept before the call has been written, or tried to.
func (s *pinStore) settled(ctx context.Context) error {
	s.mu.Lock()
	put := s.put
	s.mu.Unlock()
	for {
		s.mu.Lock()
		written, changed := s.written, s.changed
		s.mu.Unlock()
		if written >= put {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return errors.New("ordered, but not yet written to the state directory: its disk does not answer")
		}
	}
}

// Pins pins buckets to a node, or takes pins off. It returns when that is
// written down, and, if the node is asked to be there, known to it.
func (d *daemon) Pins(ctx context.Context, r api.PinsRequest) (api.PinsDone, error) {
	done := api.PinsDone{Node: r.Node}
	if done.Node == "" {
		done.Node = d.file().Node.Name
	}
	pool, err := poolNamed(d.host.cfg().Pools, r.Pool)
	if err != nil {
		return done, err
	}
	done.Pool = pool
	buckets, err := api.ParseRanges(r.Buckets, ownership.MaxPinBuckets)
	if err != nil {
		return done, api.BadRequest("%v", err)
	}
	done.Buckets = len(buckets)
	order := ownership.OrderPins{Pool: pool, Buckets: buckets, Node: done.Node, At: time.Now().UnixMilli()}
	if r.Release {
		order.Node, order.From = "", done.Node
	}
	if err := d.ordered(ctx, func() error {
		if err := mayPin(r, done.Node, d.loop.node); err != nil {
			return err
		}
		if err := d.loop.node.CheckPins(order); err != nil {
			return api.Refused("%v", err)
		}
		return d.loop.step(order)
	}); err != nil {
		return done, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if err := d.pins.settled(ctx); err != nil {
		return done, err
	}
	if r.Present {
		return done, d.knownTo(ctx, done.Node)
	}
	return done, nil
}

// poolNamed is the name, or that of the only pool if it is left out.
func poolNamed(pools []config.Pool, name string) (string, error) {
	var names []string
	for _, p := range pools {
		names = append(names, p.Name)
	}
	switch {
	case name == "" && len(names) == 1:
		return names[0], nil
	case name == "":
		return "", api.BadRequest("there are several pools: say which with --pool (%s)", strings.Join(names, ", "))
	case !slices.Contains(names, name):
		return "", api.NotFound("there is no pool %q; there are %s", name, strings.Join(names, ", "))
	}
	return name, nil
}

// mayPin: a slip of the pen in a name must not send buckets to nowhere.
func mayPin(r api.PinsRequest, node string, n *ownership.Node) error {
	if r.Release {
		return nil
	}
	if r.Present {
		if why := n.Unreached(node); why != "" {
			return api.NotFound("%s", why)
		}
		return nil
	}
	own := n.Status(now())
	if r.Force || slices.ContainsFunc(own.Nodes, func(n ownership.NodeStatus) bool { return n.Name == node }) {
		return nil
	}
	return api.Refused("no node %q has been heard since this one started; heard are %s (--force pins to it all the same)", node, nodeNames(own))
}

func nodeNames(own ownership.Status) string {
	var names []string
	for _, n := range own.Nodes {
		names = append(names, n.Name)
	}
	return strings.Join(names, ", ")
}

// knownTo waits until a node knows the pins that this node knows.
func (d *daemon) knownTo(ctx context.Context, node string) error {
	tick := time.NewTicker(d.file().Heartbeat.Interval / 4)
	defer tick.Stop()
	for {
		known := false
		if err := d.loop.ask(ctx, func() error { known = d.loop.node.KnowsPins(node); return nil }); err != nil || known {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the pins are set, but %s has not confirmed within %v that it knows", node, answerWithin)
		}
	}
}

func lostPins(lost []ownership.LostPins, pool string) []api.LostPins {
	out := []api.LostPins{}
	for _, l := range lost {
		if l.Lost.Pool != pool {
			continue
		}
		out = append(out, api.LostPins{
			Buckets: api.ListRanges(l.Lost.Buckets),
			Node:    l.Lost.Node, By: l.Lost.Version.Writer.Name, At: time.UnixMilli(l.Lost.At),
			HoldsNode: l.Won.Node, HoldsBy: l.Won.Version.Writer.Name, HoldsAt: time.UnixMilli(l.Won.At),
		})
	}
	return out
}

func pinWarnings(own ownership.Status) []api.Warning {
	var ws []api.Warning
	for _, l := range own.LostPins {
		ws = append(ws, api.Warning{Code: api.WarnPinsLost, Text: "pool " + l.Lost.Pool + ": " + l.Text() + "; pin them again to settle it"})
	}
	if own.PinsLeft > 0 {
		ws = append(ws, api.Warning{Code: api.WarnPinsLeftOut, Text: fmt.Sprintf(
			"%d pinned buckets are shared by weight all the same: the pins are too scattered to be told in every beat; pin ranges, or release some", own.PinsLeft)})
	}
	return ws
}

// pinOf is what an operator has said about a bucket, nil for nothing.
func pinOf(p ownership.PinStatus) *api.Pin {
	if p.Node == "" {
		return nil
	}
	return &api.Pin{Node: p.Node, By: p.By, At: time.UnixMilli(p.At)}
}

// how a bucket has come to the node that the view gives it to.
func how(b ownership.BucketStatus) string {
	if b.Pin.Node == "" {
		return " by weight"
	}
	order := fmt.Sprintf("pinned by order of %s at %s", b.Pin.By, time.UnixMilli(b.Pin.At).UTC().Format(time.RFC3339))
	if b.Pin.Node == b.Assigned {
		return ": " + order
	}
	return fmt.Sprintf(" by weight; to %s it is %s, but that node takes nothing now", b.Pin.Node, order)
}
