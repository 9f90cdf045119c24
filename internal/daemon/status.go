package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/datapath"
	"github.com/rota-cluster/rota/internal/ownership"
	"github.com/rota-cluster/rota/internal/peer"
	"github.com/rota-cluster/rota/internal/wire"
)

// now is the clock of the state machine and of the datapath's lease:
// CLOCK_MONOTONIC.
func now() ownership.Time { return datapath.Now() }

// Status is a snapshot. When the loop does not answer, that is what it says.
func (d *daemon) Status() api.Status {
	s := api.Status{
		Cluster: d.file().Cluster, Node: d.file().Node.Name, Now: time.Now(), Started: d.started, Version: d.version,
		Quorum: d.file().Quorum.String(), Interface: d.file().Interface, Warnings: []api.Warning{},
		View: api.View{Members: []string{}}, Nodes: []api.Node{}, Pools: []api.Pool{},
	}
	var own ownership.Status
	var picture *picture // of the same moment
	var since time.Time
	var sent uint64
	var held, late bool
	var beat api.Heartbeat
	var lateWarning api.Warning
	var sendFailure error
	var lingers []time.Duration // by pool: for how long at most
	var outage outage
	var trouble string
	var unheard []string  // by the second path
	var connections []int // by pool: in what lingers
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	if err := d.loop.ask(ctx, func() error {
		own, since, sent = d.loop.node.Status(now()), d.loop.stateSince, d.loop.sent
		picture = d.host.now.Load()
		held = d.loop.heldBack(now())
		sendFailure = d.loop.sendFailure
		for i := range d.loop.pools {
			lingers, connections = append(lingers, d.loop.lingering.left(i, now())), append(connections, d.loop.lingering.open(i))
		}
		d.loop.late.tell(&beat, now())
		lateWarning, late = d.loop.late.warning(now())
		outage, trouble = d.loop.outage, d.loop.herald.trouble(own)
		if long := d.loop.listens(); d.detours.settled(long) {
			unheard = d.loop.second.missing(own.Nodes, now(), long)
		}
		return nil
	}); err != nil {
		s.State, s.Degraded = api.Fenced, true
		w := api.Warning{Code: "loop-stuck", Text: err.Error()}
		if d.absent.Load() {
			w = api.Warning{Code: "interface-gone", Text: fmt.Sprintf("interface %s has gone: waits for it", d.file().Interface)}
		}
		s.Warnings = append(s.Warnings, w)
		return s
	}
	s.State, s.Since, s.LeaseMS = api.State(own.State.String()), since, own.LeaseLeft.Milliseconds()
	s.Heartbeat = d.heartbeat(beat, sent)
	s.Drain = api.Drain(own.Drain)
	s.View = viewOf(own)
	for _, n := range own.Nodes {
		s.Nodes = append(s.Nodes, nodeOf(n))
	}
	s.Pools = d.poolsOf(own, picture)
	for i := range s.Pools {
		s.Pools[i].LingeringMS, s.Pools[i].LingeringConnections = lingers[i].Milliseconds(), connections[i]
	}
	s.Warnings = append(s.Warnings, outage.warning(s.Interface)...)
	if sendFailure != nil {
		s.Warnings = append(s.Warnings, api.Warning{Code: api.WarnMute, Text: "cannot send beats, so that the others take this node for dead: " + sendFailure.Error()})
	}
	s.Warnings = append(s.Warnings, d.warnings(own, held)...)
	s.Warnings = append(s.Warnings, secondWarnings(s.Heartbeat.Paths, unheard)...)
	if late {
		s.Warnings = append(s.Warnings, lateWarning)
	}
	s.Degraded = trouble != ""
	d.ward.Load().describe(&s)
	if s.OwnsNothing() {
		s.Warnings = append(s.Warnings, api.Warning{Code: api.WarnOwnsNothing, Text: "takes part, but owns nothing: its weight is 0 in every pool"})
	}
	return s
}

// heartbeat completes what the loop has told of itself.
func (d *daemon) heartbeat(h api.Heartbeat, sent uint64) api.Heartbeat {
	h.IntervalMS, h.LeaseMS = millis(d.file().Heartbeat.Interval), millis(d.file().Heartbeat.Lease)
	h.Sent, h.Dropped = sent, map[string]uint64{}
	h.Keys, h.Paths = d.ears.service.keysInUse(), d.detours.status()
	for r, n := range d.ears.service.counts() {
		switch reason := wire.Reason(r); {
		case reason == wire.ReasonAccepted:
			h.Received = n
		case reason.Dropped() && n > 0:
			h.Dropped[reason.String()] = n
		}
	}
	for r, n := range d.ears.second.counts() {
		// One that has come by another of these paths before counts as replayed here.
		if reason := wire.Reason(r); reason.Dropped() && reason != wire.ReasonReplayed && n > 0 {
			h.Dropped["second-"+reason.String()] = n
		}
	}
	if n := d.detours.overruns.Load(); n > 0 {
		h.Dropped["second-overrun"] = n
	}
	c := d.tx.Counters()
	for f, n := range c.Faults {
		if n > 0 {
			h.Dropped["frame-"+peer.Fault(f).String()] = n
		}
	}
	if n := c.Overruns; n > 0 {
		h.Dropped["overrun"] = n
	}
	return h
}

func viewOf(own ownership.Status) api.View {
	v := api.View{
		ID: viewID(own.View.ID), Number: own.View.ID.Number, Proposer: own.View.ID.Proposer.Name,
		Stage: own.Stage.String(), Agreed: own.Agreed, Members: []string{},
	}
	for _, m := range own.View.Members {
		v.Members = append(v.Members, m.Name)
	}
	return v
}

func nodeOf(n ownership.NodeStatus) api.Node {
	out := api.Node{
		Name: n.Name, Incarnation: n.Incarnation, State: api.State(n.State.String()), Address: n.Address,
		HeardMS: n.HeardAgo.Milliseconds(), Health: append([]string{}, n.Health...), Self: n.Self,
	}
	for i := range n.Claims {
		out.Owned += n.Claims[i]
		out.Lingering += n.Lingers[i]
	}
	if !n.Self && !n.Silent && !n.Left {
		out.Path = n.Path.String()
	}
	if i := slices.IndexFunc(n.Weights, func(w uint16) bool { return w != ownership.NoShare }); i >= 0 {
		out.Weight = int(n.Weights[i])
	}
	if n.Waits.Flaps > 0 {
		out.Health = append(out.Health, fmt.Sprintf("fell out lately (%d): is taken in at %s, if it is heard without a break until then",
			n.Waits.Flaps, time.Now().Add(n.Waits.For).Format(time.TimeOnly)))
	}
	switch {
	case n.Left:
		out.State, out.Health = api.Left, []string{} // what it said of itself is over
	case n.Silent:
		out.State = api.Silent
	case n.Unlike != "":
		out.State = api.Incompatible
		out.Health = append(out.Health, n.Unlike)
	case n.Deaf:
		out.State = api.Deaf
	case !n.Mutual:
		out.Health = append(out.Health, "is heard but does not hear this node")
	case n.Held > 0:
		out.Health = append(out.Health, fmt.Sprintf("its daemon restarts: what it owns is held for %v more, and no view changes meanwhile", n.Held.Round(100*time.Millisecond)))
	}
	return out
}

func (d *daemon) poolsOf(own ownership.Status, picture *picture) []api.Pool {
	counters, err := d.host.data.Counters()
	if err != nil {
		d.log.Error("read counters", "error", err)
	}
	var pools []api.Pool
	for i, cfg := range picture.cfg.Pools {
		ps := own.Pools[i]
		p := api.Pool{
			Name: cfg.Name, MAC: cfg.ClusterMAC(d.file().Cluster).String(), Hash: cfg.HashText(), Buckets: cfg.Buckets,
			Owners: map[string]int{}, Weights: map[string]int{}, Verdicts: map[string]uint64{},
			Spread: cfg.Spread.String(), Priorities: map[string]int{},
			Pins: map[string]string{}, PinsLost: lostPins(own.LostPins, cfg.Name),
			Owned:     api.Ranges(cfg.Buckets, ps.Owned.Has),
			Lingering: api.Ranges(cfg.Buckets, ps.Lingering.Has),
			Contested: api.Ranges(cfg.Buckets, ps.Contested.Has),
			Datapath:  d.host.attachment.Mode().String(), Reason: d.host.attachment.Reason(),
			DrainTimeoutMS: cfg.DrainTimeout.Milliseconds(), SYNs: d.loop.replayer.counts(cfg.Name),
		}
		for _, a := range cfg.Addresses {
			p.Addresses = append(p.Addresses, a.String())
		}
		for node, set := range ps.Pins {
			p.Pins[node] = api.Ranges(cfg.Buckets, set.Has)
		}
		for name, w := range ps.Weights {
			p.Weights[name] = int(w)
		}
		if cfg.Spread == ownership.SpreadSingle {
			p.Active, p.Because, p.Preempt = ps.Active, ps.ActiveWhy.String(), cfg.Preempt
		}
		for _, n := range own.Nodes {
			if cfg.Spread == ownership.SpreadSingle && n.Member && i < len(n.Priorities) {
				p.Priorities[n.Name] = int(n.Priorities[i])
			}
			alive := !n.Silent && !n.Left && n.Unlike == "" && i < len(n.Claims)
			if _, member := ps.Weights[n.Name]; alive && (n.Member && member || n.Claims[i] > 0) {
				p.Owners[n.Name] = n.Claims[i]
			}
		}
		if at := d.host.data.Pool(cfg.Name); at >= 0 && at < len(counters) {
			for _, v := range datapath.AllVerdicts() {
				if n := counters[at][v]; n > 0 {
					p.Verdicts[v.String()] = n
				}
			}
		}
		pools = append(pools, p)
	}
	return pools
}

// ailing names what keeps the cluster from being whole.
func ailing(own ownership.Status) []api.Warning {
	var ws []api.Warning
	for _, n := range own.Nodes {
		switch {
		case n.Self || n.Left:
		case n.Silent:
			ws = append(ws, api.Warning{Code: "peer-silent", Text: fmt.Sprintf("%s has been silent for %v", n.Name, n.HeardAgo.Round(time.Millisecond))})
		case n.Unlike != "":
			ws = append(ws, api.Warning{Code: "peer-incompatible", Text: fmt.Sprintf("does not share with %s: %s", n.Name, n.Unlike)})
		case n.Waits.Full:
			ws = append(ws, api.Warning{Code: api.WarnNoRoom, Text: fmt.Sprintf(
				"%s waits outside: the nodes that serve are as many as expected_nodes says; stop one, or raise expected_nodes on all", n.Name)})
		case !n.Mutual:
			ws = append(ws, api.Warning{Code: "one-way", Text: fmt.Sprintf("%s is heard but does not hear this node", n.Name)})
		}
	}
	return ws
}

// unequal names what is not the same on all nodes that share: until all have read
// one file, some clients find nobody.
func unequal(own ownership.Status) []api.Warning {
	var ws []api.Warning
	tell := func(code, format string, pools []string, node string) {
		if len(pools) > 0 {
			ws = append(ws, api.Warning{Code: code, Text: fmt.Sprintf(format, strings.Join(pools, ", "), node)})
		}
	}
	for _, n := range own.Nodes {
		if n.Self || n.Left || n.Silent || n.Unlike != "" {
			continue
		}
		tell(api.WarnAddressesDiffer, "pool %s: %s has other addresses than this node; what only one of them has, the other does not serve: give both one file and reload", n.OtherAddresses, n.Name)
		tell(api.WarnPoolsDiffer, "pool %s: %s does not have it: give both one file and reload", n.Ours, n.Name)
		tell(api.WarnPoolsDiffer, "pool %s: this node does not have it, %s does: give both one file and reload", n.Theirs, n.Name)
	}
	return ws
}

func (d *daemon) warnings(own ownership.Status, held bool) []api.Warning {
	ws := append(append(ailing(own), unequal(own)...), d.loop.strangers.warnings(now())...)
	switch {
	case held:
		ws = append(ws, api.Warning{Code: "not-serving", Text: "hears no peer, but others at its shared address whom it does not understand: does not serve beside them"})
	case own.Why != "":
		ws = append(ws, api.Warning{Code: "not-serving", Text: own.Why})
	}
	ws = append(ws, weightWarning(own, d.file().Node.Weight)...)
	ws = append(append(ws, pinWarnings(own)...), d.pins.warnings()...)
	if servesOn(own) {
		ws = append(ws, api.Warning{Code: api.WarnServesOn, Text: servesOnText})
	}
	if found := d.host.foreign.Load(); found != nil {
		for _, text := range *found {
			ws = append(ws, api.Warning{Code: api.WarnForeignAddress, Text: text})
		}
	}
	if text := d.host.source.Load(); text != nil && *text != "" {
		ws = append(ws, api.Warning{Code: api.WarnSharedSource, Text: *text})
	}
	for _, w := range d.file().Warnings {
		ws = append(ws, api.Warning{Code: "configuration", Text: w.Error()})
	}
	if d.file().Replay && !d.host.data.CanReplay() {
		ws = append(ws, api.Warning{Code: api.WarnNoReplay, Text: datapath.ErrNoReplay.Error() + ": after a takeover, clients that asked meanwhile ask again after a second"})
	}
	if w := d.forwarded.told.Load(); w != nil {
		ws = append(ws, *w)
	}
	if d.host.attachment.Mode() == datapath.ModeGeneric {
		ws = append(ws, api.Warning{Code: "datapath-generic", Text: "generic XDP: " + d.host.attachment.Reason()})
	}
	return ws
}

// weightWarning: nothing else would tell why a node has another share than its file says.
func weightWarning(own ownership.Status, configured uint16) []api.Warning {
	i := slices.IndexFunc(own.Asked, func(w uint16) bool { return w != ownership.NoShare })
	if i < 0 || own.Asked[i] == configured {
		return nil
	}
	return []api.Warning{{Code: api.WarnWeight, Text: fmt.Sprintf(
		"this node has weight %d by order, and %d in the configuration: rota weight %d, or a stop and a start, ends that", own.Asked[i], configured, configured)}}
}

const servesOnText = "drains, but nobody else can take over: goes on serving"

// servesOn tells whether the node drains and all have agreed that it accepts
// connections all the same.
func servesOn(own ownership.Status) bool {
	return own.State == ownership.StateDraining && own.Agreed &&
		slices.ContainsFunc(own.Pools, func(p ownership.PoolStatus) bool { return !p.Owned.Empty() })
}
