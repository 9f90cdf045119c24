package sim

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// restart is a daemon that ends so that another goes on in its place, as
// internal/daemon does it: it waits until its peers hold what it owns, leaves its
// state in a file, and the next start takes that, if it comes in time. Whoever takes the
// file takes it away. What the daemon promised to hold stands in another one.
type restart struct {
	asked bool          // the daemon waits for its peers
	away  time.Duration // until the next start; 0: for ever
	state []byte        // the file; nil: there is none
	last  *ownership.Beat
	left  time.Duration // when the daemon before it ended

	promised ownership.Time // the other file
	rebooted bool           // which is gone
}

// holds tells how much longer everything may take because daemons restart in the story.
func (s *Scenario) holds() time.Duration {
	for _, op := range s.Ops {
		if op.Verb == Restart {
			return 5 * ownership.Take(ownership.HoldTime(s.Lease)) / 4
		}
	}
	return 0
}

// askToRestart is for the machine that can, with a file that the next one can carry on
// with; of what variants of it do, the stories do not tell.
func (w *world) askToRestart(n *node, away time.Duration) {
	if _, ok := n.machine.(*ownership.Node); !ok || n.restart.asked || n.file != n.inForce {
		return
	}
	n.restart.asked, n.restart.away = true, away
	w.order(n, ownership.Hold{})
}

// remember is a write that takes a while.
func (w *world) remember(n *node, until ownership.Time) {
	n.restart.promised = max(n.restart.promised, until)
	n.inbox = append(n.inbox, ownership.Remembered{Until: until})
}

// held is the end of the daemon.
func (w *world) held(n *node, until ownership.Time) {
	if !n.restart.asked {
		return
	}
	state, err := json.Marshal(n.machine.(*ownership.Node).Snapshot())
	if err != nil {
		w.fail(RuleContract, fmt.Sprintf("%s: %v", n.spec.Label, err))
		return
	}
	if d := &n.datapath; d.accepts && until != d.until {
		w.fail(RuleContract, fmt.Sprintf("%s is held until %v, and its datapath until %v", n.spec.Label, until, d.until))
		return
	}
	last := n.last
	w.endDaemon(n)
	n.restart.state, n.restart.last, n.restart.left = state, last, w.now
	w.tell(n, "ends to be restarted; its lease is over in %v", n.clock.when(until)-w.now)
	if n.restart.away > 0 {
		w.queue.push(event{at: w.now + n.restart.away, kind: evReturn, node: uint8(n.id), gen: n.life})
	}
	w.checks.changed(w)
}

// carryOn starts the daemon that goes on, if there is one to go on from.
func (w *world) carryOn(n *node, cfg ownership.Config) bool {
	state := n.restart.state
	if state == nil {
		return false
	}
	w.checks.meet(w, n)
	n.restart.state = nil
	s := new(ownership.Snapshot)
	if err := json.Unmarshal(state, s); err != nil {
		w.fail(RuleContract, fmt.Sprintf("%s: %v", n.spec.Label, err))
		return false
	}
	machine, err := ownership.CarryOn(cfg, s, n.clock.read(w.now))
	if err != nil {
		w.tell(n, "%v", err)
		return false
	}
	w.tell(n, "carries on")
	n.machine, n.last, n.incarnation = machine, n.restart.last, s.Self.Incarnation
	if n.datapath.lingers() {
		n.datapath.liveDue = true
		w.queue.push(event{at: w.now + liveEvery, kind: evLive, node: uint8(n.id), gen: n.life})
	}
	n.wakeDue = true
	w.order(n, ownership.Unhold{})
	return true
}

func (d *datapath) lingers() bool {
	for _, s := range d.states {
		if s == ownership.Lingering {
			return true
		}
	}
	return false
}

// promisedBefore is what a start must wait for: what the file says, or, if the host
// has been without power, that it has been up for long enough.
func (w *world) promisedBefore(n *node) ownership.Time {
	r := &n.restart
	if r.rebooted {
		r.rebooted, r.promised = false, 0
		if hold := w.s.holds(); hold > 0 {
			r.promised = n.clock.read(w.now) + hold
		}
	}
	return r.promised
}
