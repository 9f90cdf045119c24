package sim

import (
	"time"
)

// world is one run: the hosts, the network between them, and what is checked.
type world struct {
	s       *Scenario
	factory Factory
	opt     Options
	now     time.Duration
	queue   queue
	nodes   []*node
	net     network
	checks  checks
	stats   Stats
	story   *story // nil unless somebody will read it
	failure *Violation
	tickets uint64 // orders given
	spin    int    // steps since time last advanced
	hash    uint64
}

// Options of a run.
type Options struct {
	// Bounds are the times that the checks allow.
	Bounds Bounds
	// Ignore are rules (a bit for each) that may be broken, to look for others.
	Ignore uint32
	// Tell keeps the story, for people.
	Tell bool
}

// Result of a run.
type Result struct {
	Violation *Violation // nil: every rule held
	Stats     Stats
	Story     []string
	// Hash covers everything that every node did, and when.
	Hash uint64
}

// Violation is a rule that did not hold.
type Violation struct {
	At   time.Duration
	Rule Rule
	Text string
}

// Run plays a scenario.
func Run(s *Scenario, f Factory, opt Options) Result {
	w := newWorld(s, f, opt)
	for len(w.queue.heap) > 0 && w.failure == nil {
		e := w.queue.pop()
		if e.at > s.End {
			break
		}
		if e.at > w.now {
			w.now, w.spin = e.at, 0
		}
		w.handle(e)
		if w.checks.done {
			break
		}
	}
	w.finish()
	return Result{Violation: w.failure, Stats: w.stats, Story: w.story.lines(), Hash: w.hash}
}

func newWorld(s *Scenario, f Factory, opt Options) *world {
	w := &world{s: s, factory: f, opt: opt, hash: 14695981039346656037}
	if opt.Tell {
		w.story = &story{}
	}
	root := rng{s.Seed}
	for i := range s.Nodes {
		w.nodes = append(w.nodes, newNode(s, i, root.fork(uint64(i))))
	}
	w.net = newNetwork(s, root)
	w.checks = newChecks(w)
	for i, op := range s.Ops {
		w.queue.push(event{at: op.At, kind: evOp, gen: uint32(i)})
	}
	w.queue.push(event{at: s.Interval, kind: evAudit})
	return w
}

func (w *world) handle(e event) {
	n := w.nodes[e.node]
	switch e.kind {
	case evOp:
		w.perform(&w.s.Ops[e.gen])
		w.checks.changed(w)
	case evArrive:
		w.arrive(n, e.beat, e.path)
	case evSchedule:
		if e.gen == n.life {
			n.queued, n.scheduled = false, true
			w.pump(n)
			n.scheduled = false
		}
	case evWake:
		if e.at == n.wakeAt {
			n.wakeAt, n.wakeDue = never, true
			w.pump(n)
		}
	case evResume:
		if e.gen == n.life && n.resting {
			n.resting, n.rested = false, true
			w.carryOut(n)
			w.pump(n)
		}
	case evExpire:
		if e.at == n.datapath.expireAt {
			n.datapath.expireAt = 0
		}
		w.expire(n)
	case evLive:
		if e.gen == n.life {
			w.lookForConnections(n)
		}
	case evReturn:
		if e.gen == n.life {
			w.checks.beforeReturn(n)
			w.start(n, n.config)
			w.checks.changed(w)
		}
	case evFlip:
		w.net.flip(w, e)
	case evLearned:
		w.checks.learn(w, int(e.node), int(e.peer), e.gen)
	case evAudit:
		w.checks.audit(w)
		w.queue.push(event{at: w.now + w.s.Interval, kind: evAudit})
	}
}

// fail records the first violation.
func (w *world) fail(rule Rule, text string) {
	if w.failure != nil || w.opt.Ignore&(1<<rule) != 0 {
		return
	}
	w.failure = &Violation{At: w.now, Rule: rule, Text: text}
	w.tell(nil, "VIOLATION of %s: %s", rule, text)
}

// mix adds to the hash of the run.
func (w *world) mix(v uint64) { w.hash = (w.hash ^ v) * 1099511628211 }

func (w *world) finish() {
	w.stats.Runs = 1
	w.stats.Time = w.now
	if w.failure == nil {
		w.checks.end(w)
	}
	if w.failure != nil {
		w.stats.Failed[w.failure.Rule]++
	}
}
