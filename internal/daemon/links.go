package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/ownership"
	"github.com/rota-cluster/rota/internal/peer"
)

// eventLink is the kind of events about the interfaces that beats go by.
const eventLink = "link"

// outage is since when, and why, no frame can leave or reach the service's interface.
type outage struct {
	why   error // nil: frames can
	since time.Time
}

// lookAtCarrier tells when the service's interface loses its carrier and has it again. The
// state machine needs nobody's word for it: to it that is one of many silences.
func (l *loop) lookAtCarrier() {
	why := l.tx.Carrier()
	if errors.Is(why, l.outage.why) {
		return
	}
	text, level := fmt.Sprintf("%s: %v", l.tx.Name(), why), slog.LevelWarn
	l.herald.carrier(text)
	if why == nil {
		l.herald.carrier("")
		text, level = fmt.Sprintf("%s has its carrier again, after %v", l.tx.Name(), time.Since(l.outage.since).Round(time.Millisecond)), slog.LevelInfo
	}
	l.outage = outage{why, time.Now()}
	l.log.Log(context.Background(), level, text, "event", eventLink)
	l.events.add(api.Event{Time: time.Now(), Kind: eventLink, Node: l.name, Text: text})
}

// warning is what a person must see first: such a node looks like the survivor of all.
func (o outage) warning(name string) []api.Warning {
	if o.why == nil {
		return nil
	}
	text := fmt.Sprintf("NO CARRIER on %s for %v: its cable, or the switch's port; nothing reaches this node, whatever it owns", name, time.Since(o.since).Round(time.Millisecond))
	if errors.Is(o.why, peer.ErrDown) {
		text = fmt.Sprintf("%s is DOWN for %v: ip link set %s up; nothing reaches this node, whatever it owns", name, time.Since(o.since).Round(time.Millisecond), name)
	}
	return []api.Warning{{Code: api.WarnNoCarrier, Text: text}}
}

// secondHeard is when beats of each peer last came by an interface of heartbeat.interfaces.
type secondHeard map[string]*secondEar

type secondEar struct {
	second ownership.Time // or since when the peer has been heard at all without a pause
	any    ownership.Time
	ever   bool
}

// note takes notice of a beat. A peer that is heard after a pause has time to be heard by both.
func (s secondHeard) note(from string, path ownership.Path, now, pause ownership.Time) {
	e := s[from]
	if e == nil {
		e = &secondEar{}
		s[from] = e
	}
	switch {
	case path == ownership.PathSecond:
		e.second, e.ever = now, true
	case now-e.any >= pause:
		e.second = now
	}
	e.any = now
}

// missing names the peers that are heard, and have not been by the second path for
// so long, and says for how long.
func (s secondHeard) missing(nodes []ownership.NodeStatus, now, long ownership.Time) []string {
	var found []string
	for _, n := range nodes {
		e := s[n.Name]
		// Who speaks by unicast is heard by the first of the two that comes.
		if e == nil || n.Self || n.Silent || n.Left || n.Path == ownership.PathUnicast || now-e.second < long {
			continue
		}
		since := "never"
		if e.ever {
			since = fmt.Sprintf("not for %v", (now - e.second).Round(100*time.Millisecond))
		}
		found = append(found, fmt.Sprintf("%s (%s)", n.Name, since))
	}
	return found
}

// secondWarnings are about the second path: interfaces that do not work, or, if they
// do, peers that do not come by it.
func secondWarnings(paths []api.Path, missing []string) []api.Warning {
	var ws []api.Warning
	var names []string
	for _, p := range paths {
		if p.Interface == "" {
			continue
		}
		names = append(names, p.Interface)
		if p.Trouble != "" {
			ws = append(ws, api.Warning{Code: api.WarnSecondPath, Text: p.Trouble})
		}
	}
	if len(ws) > 0 || len(names) == 0 || len(missing) == 0 {
		return ws
	}
	return []api.Warning{{Code: api.WarnSecondPath, Text: fmt.Sprintf(
		"heard by the service's network, but not by the second path (%s): %s; the cable or heartbeat.interfaces there",
		strings.Join(names, ", "), strings.Join(missing, ", "))}}
}
