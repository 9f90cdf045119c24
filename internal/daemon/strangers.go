package daemon

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/ownership"
	"github.com/rota-cluster/rota/internal/peer"
	"github.com/rota-cluster/rota/internal/wire"
)

const (
	// tellAgain is how long nothing more is logged about one kind of stranger:
	// anybody on the segment can make it up.
	tellAgain = time.Hour
	// warnFor is how long status warns of a stranger after its last beat.
	warnFor = time.Minute
)

// strangerKinds are what a person should know of: not an attack, which is
// counted and of no effect, but a mistake in a configuration.
var strangerKinds = [...]struct {
	reason     wire.Reason
	code, text string
}{
	{wire.ReasonUnknownKey, "wrong-key", "beats of a cluster of this name are sealed with a key that this node does not have: give all nodes one key file, or the other cluster another name"},
	{wire.ReasonUnknownVersion, "other-version", "beats are of a protocol version that this node does not speak: run one version on all nodes"},
	{wire.ReasonStale, "stale", "beats of an earlier start of a node come in: they are recorded ones, or two nodes use one name, or a clock was set back: then set it right and start rota there again"},
	{wire.ReasonOtherCluster, "other-cluster", "another cluster sends its beats to this one's addresses or MAC: two clusters need two of each"},
}

// strangers notices senders whose beats cannot be opened. The receiving
// goroutine tells it, others ask.
type strangers struct {
	log *slog.Logger

	mu     sync.Mutex
	shared []netip.Addr
	kinds  [len(strangerKinds)]stranger
	// rival is when one last sent to a shared address: it may answer there.
	rival     ownership.Time
	rivalEver bool
}

// stranger is what is known of one kind.
type stranger struct {
	ever       bool
	last, told ownership.Time
	who        string // claims to have sent the last one that began a warning
}

func newStrangers(shared []netip.Addr, log *slog.Logger) *strangers {
	return &strangers{log: log, shared: shared}
}

// use follows a change of the shared addresses.
func (s *strangers) use(shared []netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shared = shared
}

// see takes notice of a payload that was dropped.
func (s *strangers) see(reason wire.Reason, p peer.Payload, now ownership.Time) {
	for i, kind := range strangerKinds {
		if kind.reason != reason {
			continue
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if reason != wire.ReasonStale && slices.Contains(s.shared, p.Destination) {
			s.rival, s.rivalEver = now, true
		}
		k := &s.kinds[i]
		if !k.ever || now-k.last >= warnFor {
			k.who = describe(p)
		}
		k.last = now
		if !k.ever || now-k.told >= tellAgain {
			k.ever, k.told, k.who = true, now, describe(p)
			s.log.Warn(kind.text, "code", kind.code, "from", k.who)
		}
		return
	}
}

// describe says where a payload claims to come from.
func describe(p peer.Payload) string {
	name := "somebody"
	if from, ok := wire.Claimed(p.Data); ok {
		name = from.Name
	}
	if p.SourceMAC == (peer.MAC{}) {
		return fmt.Sprintf("%s at %s, by unicast", name, p.Source)
	}
	return fmt.Sprintf("%s at %s, %s", name, p.Source, p.SourceMAC)
}

// warnings for a person who looks at the status.
func (s *strangers) warnings(now ownership.Time) []api.Warning {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ws []api.Warning
	for i, kind := range strangerKinds {
		if k := s.kinds[i]; k.ever && now-k.last < warnFor {
			ws = append(ws, api.Warning{Code: kind.code, Text: fmt.Sprintf("%s (from %s, last %d s ago)", kind.text, k.who, (now-k.last)/time.Second)})
		}
	}
	return ws
}

// rivalWithin tells whether somebody who cannot be understood has sent a beat
// to a shared address lately.
func (s *strangers) rivalWithin(d time.Duration, now ownership.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rivalEver && now-s.rival < d
}
