package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/datapath"
	"github.com/rota-cluster/rota/internal/ownership"
)

// replaysWaiting is how many may wait; what comes then is left out. A change of the
// view asks for one in each pool.
const replaysWaiting = ownership.MaxPools

// roundTrip is how long a takeover waits with its replay. Whom the lost node answered last goes
// on within it, and all see that: else two would have answered him.
const roundTrip = 20 * time.Millisecond

// replayer sends kept SYNs again when the state machine says that nobody has
// answered them. It does so beside the loop, which must not wait for it.
type replayer struct {
	off    atomic.Bool // after a takeover, by configuration
	node   string
	host   *host
	log    *slog.Logger
	events *journal
	asked  chan replay

	mu   sync.Mutex
	done map[string]api.Replays // by pool
}

// replay is one order: of ownership.Replay, or of ownership.Resend.
type replay struct {
	pool    int
	name    string // of the pool
	buckets ownership.Bitmap
	since   ownership.Time
	handOn  bool
	due     time.Time
}

func newReplayer(node string, h *host, events *journal, log *slog.Logger) *replayer {
	return &replayer{
		node: node, host: h, log: log, events: events,
		asked: make(chan replay, replaysWaiting), done: make(map[string]api.Replays),
	}
}

// ask never waits.
func (r *replayer) ask(o replay) {
	if r.off.Load() && !o.handOn {
		return
	}
	if o.due = time.Now(); !o.handOn {
		o.due = o.due.Add(roundTrip)
	}
	select {
	case r.asked <- o:
	default:
		r.log.Warn("too many replays at once: clients of this one have to ask again", "pool", o.name)
	}
}

// run carries out what is asked for until ctx is done. Its priority is the daemon's, see startUnhurried.
func (r *replayer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-r.asked:
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Until(o.due)):
			}
			if err := r.carryOut(o); err != nil {
				r.log.Warn("clients have to ask again", "pool", o.name, "error", err)
			}
		}
	}
}

func (r *replayer) carryOut(o replay) error {
	if pools := r.host.data.Options().Pools; o.pool >= len(pools) || pools[o.pool].Name != o.name {
		return nil // the pools have changed meanwhile, and clients ask again
	}
	send, what := r.host.attachment.Replay, "replayed %d SYNs that a dead node did not answer, in %d buckets"
	if o.handOn {
		send, what = r.host.attachment.Resend, "sent on %d SYNs that came while %d buckets changed hands"
	}
	sent, err := send(o.pool, o.buckets, o.since)
	if sent != (datapath.Sent{}) {
		text := "pool " + o.name + ": " + fmt.Sprintf(what, sent.SYNs, o.buckets.Count())
		if sent.LeftOut > 0 {
			text += fmt.Sprintf("; %d more were too many", sent.LeftOut)
		}
		r.events.add(api.Event{Time: time.Now(), Kind: ownership.NoteReplay.String(), Node: r.node, Text: text})
		r.log.Info(text, "event", ownership.NoteReplay.String(), "node", r.node)
		r.count(o, sent)
	}
	return err
}

func (r *replayer) count(o replay, sent datapath.Sent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.done[o.name]
	c.LeftOut += uint64(sent.LeftOut)
	if o.handOn {
		c.SentOn += uint64(sent.SYNs)
	} else {
		c.Replayed += uint64(sent.SYNs)
	}
	r.done[o.name] = c
}

// counts are the pool's so far.
func (r *replayer) counts(pool string) api.Replays {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done[pool]
}
