package model

// What the representation has room for. What a run allows stands in Bounds.
const (
	nodes    = 3
	maxViews = 5 // views that still matter, at one moment
	nobody   = nodes
)

// nodeSet has bit x for node x, viewSet bit v for view v.
type (
	nodeSet uint8
	viewSet uint8
)

const everybody nodeSet = 1<<nodes - 1

func (s nodeSet) has(x int) bool { return s>>x&1 == 1 }

// view is a proposed view. Its number is its place in state.views: only the
// order of views matters.
type view struct {
	members nodeSet // an incarnation of each
	ended   nodeSet // whose incarnation has ended since
	owner   uint8   // who is given the bucket by the table and does not have it yet; or nobody

	// What members have said in beats. A beat may arrive late, again and
	// again, or never; so what was once the case counts as said, and who is to
	// hear it may have heard it.
	ready nodeSet // announces this view and is ready
	free  nodeSet // announces this view or a newer one and does not claim the bucket
	fresh nodeSet // has promised the owner something under this view, being ready, that is not over
}

// has tells whether x, in its present incarnation, is a member.
func (v *view) has(x int) bool { return (v.members &^ v.ended).has(x) }

// promises is what one node has from another, and what the other keeps of it.
type promises struct {
	given viewSet // not over yet, received or not: under which views
	fence bool    // of the promiser is not over
	wait  bool    // an earlier incarnation of the promiser gave them: its start has to wait
}

// node is a node's daemon and its datapath.
type node struct {
	view     uint8 // 0: none
	ready    bool  // in its view
	owns     bool  // the bucket, in the table of the datapath
	leased   bool  // the lease is good
	barred   bool  // in the view that it announces
	barredIn uint8 // newest view in which it was barred; 0: none that matters
	empty    uint8 // newest view that it announced in a beat that claims nothing; 0: none that matters
	by       [nodes]promises
}

// accepts tells whether the datapath accepts new connections.
func (n *node) accepts() bool { return n.owns && n.leased }

// state is one moment of the cluster. Index 0 of views is "none".
type state struct {
	nodes    [nodes]node
	views    [maxViews + 1]view
	nviews   uint8
	proposed uint8 // counted only where Bounds limits it
	started  uint8 // restarts, likewise
}
