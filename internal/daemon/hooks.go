package daemon

import (
	"cmp"
	"slices"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/hook"
	"github.com/rota-cluster/rota/internal/ownership"
)

// herald tells the hooks what has changed since it told them last. It belongs to
// the loop, which calls note and moved within a step, and settle at its end.
type herald struct {
	cfg  *config.Config
	tell func(hook.Event)

	notes  []ownership.Note // of this step
	beside []occurrence     // what has happened beside the state machine, and is told in this step
	stale  bool             // something may have changed in this step
	why    string           // the newest note that gives a reason for what follows

	begun    bool
	state    string
	degraded bool
	allIll   bool   // this node serves on because no node is well
	cutOff   string // why no frame reaches this host; "": frames do
	owned    []ownership.Bitmap
	members  []string
}

// occurrence is an event that does not come from the state machine.
type occurrence struct{ event, kind, text string }

func newHerald(cfg *config.Config, tell func(hook.Event)) *herald {
	return &herald{cfg: cfg, tell: tell, owned: make([]ownership.Bitmap, len(cfg.Pools))}
}

// reconfigured: what is known of a pool is kept by its name.
func (h *herald) reconfigured(cfg *config.Config) {
	owned := make([]ownership.Bitmap, len(cfg.Pools))
	for i, p := range cfg.Pools {
		if was := slices.IndexFunc(h.cfg.Pools, func(o config.Pool) bool { return o.Name == p.Name }); was >= 0 {
			owned[i] = h.owned[was]
		}
	}
	h.cfg, h.owned = cfg, owned
}

// note takes notice of what the state machine has told.
func (h *herald) note(n ownership.Note) {
	h.stale = true
	h.notes = append(h.notes, n)
	if n.Kind != ownership.NoteLingering {
		h.why = n.Text
		if n.Node != "" && n.Node != h.cfg.Node.Name {
			h.why = n.Node + ": " + n.Text
		}
	}
}

// drifted: somebody changed what rota needs on the host.
func (h *herald) drifted(text string) {
	h.happened(occurrence{config.HookDrift, config.HookDrift, text})
}

func (h *herald) happened(what ...occurrence) {
	h.stale = h.stale || len(what) > 0
	h.beside = append(h.beside, what...)
}

// gone: the interface has gone, and with it all that the node owned. The loop has ended.
func (h *herald) gone(s ownership.Status, text string) {
	e := h.document(s)
	e.Reason = text
	for i := range e.Pools {
		e.Pools[i].Owned, e.Pools[i].Lingering = 0, 0
	}
	e.Event, e.Kind, e.State, e.StateBefore = config.HookDrift, config.HookDrift, string(api.Fenced), string(api.Fenced)
	h.tell(e)
	e.Event, e.Kind, e.StateBefore = config.HookState, "", h.state
	h.tell(e)
}

// moved: a table was switched.
func (h *herald) moved() { h.stale = true }

// settle tells of everything that the step has changed: of what happened to the host
// and to other nodes first, as that is the cause, then of this one.
func (h *herald) settle(state ownership.State, status func() ownership.Status) {
	if !h.stale && h.begun && state.String() == h.state {
		return
	}
	s := status()
	e := h.document(s)
	for _, b := range h.beside {
		one := e
		one.Event, one.Kind, one.Reason = b.event, b.kind, b.text
		h.tell(one)
	}
	for _, n := range h.notes {
		if kind, ok := hookOf(n.Kind); ok && n.Node != h.cfg.Node.Name {
			one := e
			one.Event, one.Kind, one.Peer, one.Reason = kind, n.Kind.String(), n.Node, n.Text
			h.tell(one)
		}
	}
	if e.State != h.state {
		one := e
		one.Event, one.StateBefore, one.Reason = config.HookState, h.state, h.whyState(s)
		h.tell(one)
	}
	h.settleOwnership(e, s)
	if h.degraded != e.Degraded && e.State != stopped {
		one := e
		one.Event, one.Reason = config.HookDegraded, cmp.Or(h.trouble(s), "nothing is wrong any more")
		h.tell(one)
	}
	h.state, h.degraded, h.members = e.State, e.Degraded, e.View.Members
	h.notes, h.beside, h.stale, h.begun = nil, nil, false, true
}

// trouble is the first reason why the node is degraded, or "".
func (h *herald) trouble(s ownership.Status) string {
	if servesOn(s) {
		return servesOnText
	}
	if s.State != ownership.StateServing {
		return ""
	}
	if ws := ailing(s); h.cutOff == "" && len(ws) > 0 {
		return ws[0].Text
	}
	if h.cutOff == "" && h.allIll {
		return leastIll
	}
	return h.cutOff
}

// carrier: the interface has none, and why, or "": it has it again.
func (h *herald) carrier(gone string) { h.cutOff, h.stale = gone, true }

// whyState is the note of this step that says why the state has changed. Others
// that follow from it come after it.
func (h *herald) whyState(s ownership.Status) string {
	for _, n := range h.notes {
		if n.Node != "" && n.Kind != ownership.NoteDuplicateName {
			continue // of another's state
		}
		switch n.Kind {
		case ownership.NoteDrain, ownership.NoteResume, ownership.NoteLeaseLost, ownership.NoteStandby, ownership.NoteDeaf,
			ownership.NoteDuplicateName, ownership.NoteStopped:
			return n.Text
		}
	}
	if !h.begun {
		return s.Why
	}
	return h.why
}

// settleOwnership tells if other buckets are owned than before, and whose they
// were if they were taken from the dead.
func (h *herald) settleOwnership(e hook.Event, s ownership.Status) {
	changed, gained := false, false
	e.Pools = slices.Clone(e.Pools) // those of the other events stay as they are
	for i, p := range s.Pools {
		changed = changed || !slices.Equal(p.Owned, h.owned[i]) && !(p.Owned.Empty() && h.owned[i].Empty())
		gained = gained || p.Owned.Count() > h.owned[i].Count()
		e.Pools[i].OwnedBefore = h.owned[i].Count()
		h.owned[i] = p.Owned
	}
	if !changed {
		return
	}
	e.Event = config.HookOwnership
	h.tell(e)
	if !gained {
		return
	}
	for _, n := range s.Nodes {
		if n.Silent && slices.Contains(h.members, n.Name) && !slices.Contains(e.View.Members, n.Name) {
			e.Event, e.Peer = config.HookTakeover, n.Name
			h.tell(e)
		}
	}
}

// stopped is the state of a node that has said goodbye: the last thing that hooks are told.
const stopped = "stopped"

// document is what every event has.
func (h *herald) document(s ownership.Status) hook.Event {
	v := viewOf(s)
	state := s.State.String()
	if slices.ContainsFunc(h.notes, func(n ownership.Note) bool { return n.Kind == ownership.NoteStopped }) {
		state = stopped
	}
	e := hook.Event{
		Time: time.Now(), Cluster: h.cfg.Cluster, Node: h.cfg.Node.Name, State: state, StateBefore: state,
		Degraded: state != stopped && h.trouble(s) != "", Reason: h.why, View: hook.View{ID: v.ID, Number: v.Number, Members: v.Members},
	}
	for i, cfg := range h.cfg.Pools {
		p := hook.Pool{
			Name: cfg.Name, Buckets: int(cfg.Buckets), Owned: s.Pools[i].Owned.Count(), OwnedBefore: s.Pools[i].Owned.Count(),
			Lingering: s.Pools[i].Lingering.Count(),
		}
		for _, a := range cfg.Addresses {
			p.Addresses = append(p.Addresses, a.String())
		}
		e.Pools = append(e.Pools, p)
	}
	return e
}

// hookOf is the event by which hooks are told of a note, if they are told of it at all.
func hookOf(k ownership.NoteKind) (event string, ok bool) {
	switch k {
	case ownership.NotePeerHeard, ownership.NotePeerSilent, ownership.NotePeerLeft, ownership.NotePeerIncompatible, ownership.NoteDuplicateName:
		return config.HookPeer, true
	case ownership.NoteHealth, ownership.NotePeerHealth:
		return config.HookHealth, true
	}
	return "", false
}
