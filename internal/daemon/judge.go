package daemon

import (
	"slices"
	"strings"

	"github.com/rota-cluster/rota/internal/health"
	"github.com/rota-cluster/rota/internal/ownership"
)

// conclusion is what follows from all that is known of this node's health.
type conclusion struct {
	told     ownership.SetHealth
	degraded bool // the node goes on although it would leave
}

// leastIll is what such a node tells of itself.
const leastIll = "goes on serving, because no node is well and none is less ill"

// minds tells whether what the others say makes a difference: only to a node
// that would leave, or that sees what all may see.
func (w *ward) minds() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.ofChecks, func(c checkSeat) bool { return c.State.Level == health.Leave }) ||
		slices.ContainsFunc(w.ofSigns, func(s signSeat) bool {
			return s.State.Level == health.Leave || s.Shared && s.State.Seen > health.OK
		})
}

// restless tells whether time alone, or the others, may change what follows.
func (w *ward) restless() bool {
	if w.minds() {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.applied.told.Lines) > 0
}

func (c conclusion) same(d conclusion) bool {
	return slices.Equal(c.told.Shares, d.told.Shares) && slices.Equal(c.told.Illness, d.told.Illness) &&
		slices.Equal(c.told.Sees, d.told.Sees) && slices.Equal(c.told.Lines, d.told.Lines) && slices.Equal(c.told.Blame, d.told.Blame)
}

// judge says what follows from what is known. own, of the state machine, is empty
// unless minds.
func (w *ward) judge(own ownership.Status) conclusion {
	next := conclusion{told: ownership.SetHealth{Sees: w.sees()}}
	sees := [][]string{next.told.Sees}
	for _, n := range own.Nodes {
		if !n.Self && present(n) {
			sees = append(sees, n.Sees)
		}
	}
	blamed := w.blame.Update(now(), sees, w.held())
	var lines reasons
	for i, p := range w.pools {
		v := health.Judge(w.findings(i), blamed)
		share, illness, serveOn := uint16(v.Percent), health.Illness(0), false
		switch {
		case v.Level == health.Leave:
			illness = v.Illness
			if d := health.Decide(selfName, w.told(own, i, illness)); d.Degraded && knowsOthers(own) {
				share, serveOn, next.degraded = 100, true, true
			}
		case v.Waiting:
			// At the start of a node that is 0 %; of a daemon alone, what it was before.
			share = ownership.SameShare
		}
		next.told.Shares = append(next.told.Shares, share)
		next.told.Illness = append(next.told.Illness, uint16(illness))
		next.told.Blame = append(next.told.Blame, strings.Join(v.Blame, ", "))
		lines.add(p.Name, v.Reasons)
		why := v.Reasons
		if serveOn {
			why = append([]string{leastIll}, why...)
		}
		next.told.Why = append(next.told.Why, why)
	}
	next.told.Lines = lines.texts(len(w.pools))
	if next.degraded {
		next.told.Lines = append([]string{leastIll}, next.told.Lines...)
	}
	return next
}

// selfName stands for this node among those that Decide is told of; no node can have it.
const selfName = ""

// present tells whether what a node says of its health is of the present.
func present(n ownership.NodeStatus) bool {
	return n.Member && n.Mutual && !n.Silent && !n.Left && n.Unlike == ""
}

// knowsOthers tells whether what is known of the others is all that there is to know. A node without
// a view in force has not heard them all, or is not counted among them; it owns nothing for
// now. If it is alone in the end, nobody weighs more than it.
func knowsOthers(own ownership.Status) bool {
	return own.State == ownership.StateServing || own.State == ownership.StateDraining
}

// told is what the nodes say of one pool.
func (w *ward) told(own ownership.Status, pool int, illness health.Illness) []health.Told {
	all := []health.Told{{Node: selfName, Leave: true, Illness: illness}}
	if pool < len(own.Asked) && own.Asked[pool] != ownership.NoShare && own.State != ownership.StateDraining {
		all[0].Weight = own.Asked[pool]
	}
	for _, n := range own.Nodes {
		if n.Self || !present(n) || pool >= min(len(n.Weights), len(n.Illness)) || n.Weights[pool] == ownership.NoShare {
			continue
		}
		t := health.Told{Node: n.Name, Weight: n.Weights[pool], Illness: health.Illness(n.Illness[pool])}
		if t.Leave = t.Illness > 0; t.Leave {
			t.Weight = 1 // it would have one, or it would not say so
		}
		if n.State == ownership.StateDraining {
			t.Weight = 0
		}
		all = append(all, t)
	}
	return all
}

// sees are the sights of what is outside and not well now: of signs first, which is all that nodes of
// an older version understand, and then of their targets.
func (w *ward) sees() (signs []string) {
	var targets []string
	for _, s := range w.ofSigns {
		if !s.Shared || s.State.Seen == health.OK {
			continue
		}
		signs = append(signs, health.Sight(s.Name, ""))
		for _, t := range s.State.Targets {
			if t.Seen > health.OK {
				targets = append(targets, health.Sight(s.Name, t.Target))
			}
		}
	}
	return append(signs, targets...)
}

// held are the sights of what is outside and well again, and still counts.
func (w *ward) held() (sights []string) {
	for _, s := range w.ofSigns {
		for _, t := range s.State.Targets {
			if s.Shared && t.Level > health.OK && t.Seen == health.OK {
				sights = append(sights, health.Sight(s.Name, t.Target))
			}
		}
	}
	return sights
}

// findings are those that concern a pool: its checks, and all signs.
func (w *ward) findings(pool int) (all []health.Finding) {
	for i := range w.ofSigns {
		s := &w.ofSigns[i]
		of := s.State.Targets
		if !s.Shared {
			of = []health.TargetState{{State: s.State}}
		}
		for _, x := range of {
			f := health.Finding{Name: s.Name, Target: x.Target, Level: x.Level, Text: s.text(x.State), Percent: 100, DependsOn: s.DependsOn}
			if f.Level == health.Warn {
				f.Percent = s.WarnWeight
			}
			all = append(all, f)
		}
	}
	for i := range w.ofChecks {
		c := &w.ofChecks[i]
		if c.pool != pool {
			continue
		}
		f := health.Finding{
			Name: c.Name, Level: c.State.Level, Text: c.text(), Percent: c.Load.Percent(), Check: true, Waiting: c.waiting(), DependsOn: c.DependsOn,
		}
		if f.Level == health.Warn {
			f.Percent = min(f.Percent, c.WarnWeight)
		}
		all = append(all, f)
	}
	return all
}

// reason is a line, and the pools that it is about.
type reason struct {
	text  string
	pools []string
}

type reasons []reason

func (r *reasons) add(pool string, texts []string) {
	for _, text := range texts {
		i := slices.IndexFunc(*r, func(x reason) bool { return x.text == text })
		if i < 0 {
			i = len(*r)
			*r = append(*r, reason{text: text})
		}
		(*r)[i].pools = append((*r)[i].pools, pool)
	}
}

// texts name the pools of what is not about all of them.
func (r reasons) texts(pools int) (lines []string) {
	for _, x := range r {
		if len(x.pools) < pools {
			x.text = "pool " + strings.Join(x.pools, ", ") + ": " + x.text
		}
		lines = append(lines, x.text)
	}
	return lines
}
