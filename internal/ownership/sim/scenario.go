package sim

import (
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// MaxNodes bounds a scenario: the checks keep sets of nodes in one word.
const MaxNodes = 16

// Machine is what runs on every node: ownership.Node, or a variant of it.
type Machine interface {
	Step(now ownership.Time, ev ownership.Event) []ownership.Effect
	// InDoubt tells whether TrafficSeen counts.
	InDoubt() bool
}

// Factory starts a machine, as a daemon does that has just cleared the
// datapath it found.
type Factory func(cfg ownership.Config, now ownership.Time) Machine

// Node is one host of a scenario.
type Node struct {
	Label  string // in the story; unique
	Name   string // of the node; two hosts may wrongly share one
	Weight uint16
	// Priority in single pools.
	Priority uint16
	PPM      int64         // how much its clock gains per true second, in microseconds
	Origin   time.Duration // what its clock reads at true time 0
}

// Pool is one bucket table of a scenario.
type Pool struct {
	Name    string
	Buckets uint32
	// Single: one node has it as a whole; with Preempt the one with the highest priority.
	Single, Preempt bool
}

// Verb is what happens in a line of the story.
type Verb uint8

const (
	Start     Verb = iota // a new daemon, with a higher incarnation
	Stop                  // the daemon clears, says goodbye and ends
	Kill                  // SIGKILL; the datapath goes on until its lease is over
	Crash                 // the host loses power
	Freeze                // the daemon is not scheduled; the datapath goes on
	Thaw                  // it runs again, queues full
	Slow                  // gets round to each beat late, by Span
	Lag                   // timers fire late, by up to Span
	Dawdle                // up to Span passes between one effect and the next
	Deaf                  // the interface receives nothing
	Mute                  // the interface sends nothing
	Cure                  // ends Slow, Lag, Dawdle, Deaf, Mute, Unflood
	Cut                   // links lose everything
	Mend                  // links work again, as the network does; without links: all
	Flip                  // links are cut and mended in turn, every Span; 0: no longer
	Loss                  // links lose Amount permille; without links: all
	Delay                 // links take Span, up to Upto; without links: all
	Copies                // Amount permille of the beats arrive twice, the copy late
	Weight                // an operator sets a weight
	Drain                 // an operator drains
	Resume                // and ends the drain
	Expect                // checks who accepts how many buckets now
	Have                  // the configuration has the pool number Amount from now on
	Lose                  // and no more
	Beat                  // the configuration has another interval (Span) and lease (Upto)
	Restart               // the daemon restarts without a takeover, away for Span; 0: it never comes back
	Unflood               // the switch brings the node neither beats nor clients, but other frames
	Pin                   // an operator at one node pins buckets to another
	Unpin                 // or takes pins to it off
	GiveOrder             // an operator at one node gives an order to another
	Unfit                 // something on the host keeps it from serving
	Fit                   // and no more
	Forget                // the node's disk loses what it kept; its daemon starts anew
)

var verbNames = [...]string{
	"start", "stop", "kill", "crash", "freeze", "thaw", "slow", "lag", "dawdle", "deaf", "mute", "cure",
	"cut", "mend", "flip", "loss", "delay", "copies", "weight", "drain", "resume", "expect", "have", "lose", "beat", "restart", "unflood",
	"pin", "unpin", "order", "unfit", "fit", "forget",
}

func (v Verb) String() string { return verbNames[v] }

// Link is one direction between two nodes, by index.
type Link struct{ From, To int }

// Op is one line of the story.
type Op struct {
	At      time.Duration
	Verb    Verb
	Nodes   []int
	Links   []Link
	Second  bool // the links are the second path's
	Span    time.Duration
	Upto    time.Duration
	Buckets []uint32        // ascending (Pin, Unpin); of pool Amount
	Order   ownership.Order // GiveOrder
	Amount  int             // permille, weight, or (Start) the number of the pool configuration
	// After is how many effects are still carried out before a Kill or Freeze
	// strikes; -1: it strikes at once.
	After int
	// Counts are the buckets that each node must accept (Expect).
	Counts []int
}

// Scenario is one story. The same scenario and machine give the same run.
type Scenario struct {
	Title    string
	Seed     uint64 // of every chance in the run
	Nodes    []Node
	Pools    []Pool
	Interval time.Duration
	Lease    time.Duration
	Quorum   ownership.Quorum
	Expected int // nodes, with QuorumMajority

	Delay, Jitter time.Duration // of the network
	Loss, Copies  int           // permille
	// Second is how long a beat takes by the second path; 0: there is none. With
	// Unicast it goes there only for those it is addressed to.
	Second  time.Duration
	Unicast bool
	// Quiet: no client traffic, so that an interface without beats sees nothing.
	Quiet bool

	Ops []Op
	// End is when the run ends, and Settle whether the nodes must agree after
	// the last line: the run then ends early, soon after they did.
	End    time.Duration
	Settle bool
	// Healthy are the nodes that nothing in the story is to harm.
	Healthy uint32
	// Planned: nothing in the story may break a connection.
	Planned bool
	// Stays: nodes drain by orders to them alone, and never all.
	Stays bool
}

// Buckets of all pools together.
func (s *Scenario) Buckets() int {
	n := 0
	for _, p := range s.Pools {
		n += int(p.Buckets)
	}
	return n
}
