package assign

// None stands in a table for a bucket that nobody owns.
const None = -1

// MaxWeight is the greatest weight of a node; more counts as this.
const MaxWeight = 1000

// Node is a member of the view as one pool sees it.
type Node struct {
	Name string
	// Weight is the node's share relative to the others', 0 … MaxWeight. A node
	// of weight 0 owns nothing, not even what is pinned to it, unless all have 0:
	// then all count as equal, because somebody must serve.
	Weight uint32
}

// Pin is an operator's standing order that Bucket belongs to Node. A pin whose
// node or bucket does not exist has no effect; of two for one bucket the first counts.
type Pin struct {
	Bucket uint32
	Node   string
}

// Table says for every bucket of the pool which of the nodes owns it, as an
// index into nodes, or None for all when there are no nodes. The nodes are
// sorted by name and differ in name. The table is the caller's.
//
// Every node owns its share by weight to ±1, and with equal weights no two
// differ by more than 1. Pins change that only where a node has more pins than
// its share: it keeps them, and the others share the rest.
func Table(pool string, buckets uint32, nodes []Node, pins []Pin) []int16 {
	table := make([]int16, buckets)
	for i := range table {
		table[i] = None
	}
	if len(nodes) == 0 {
		return table
	}
	candidates := newCandidates(pool, nodes)
	settlePins(table, candidates, nodes, pins)
	setQuotas(candidates, buckets)
	choose(table, candidates)
	return table
}

// settlePins enters the pins in the table and counts them.
func settlePins(table []int16, candidates []candidate, nodes []Node, pins []Pin) {
	if len(pins) == 0 {
		return
	}
	named := make(map[string]*candidate, len(nodes))
	for i := range candidates {
		if c := &candidates[i]; c.weight > 0 {
			named[nodes[i].Name] = c
		}
	}
	for _, pin := range pins {
		c := named[pin.Node]
		if c == nil || uint64(pin.Bucket) >= uint64(len(table)) || table[pin.Bucket] != None {
			continue
		}
		table[pin.Bucket] = c.index
		c.pinned++
	}
}

// choose lets every bucket that is not pinned take the node that it ranks best
// among those with room. The quotas sum to the buckets, so all find one.
func choose(table []int16, candidates []candidate) {
	open := make([]candidate, 0, len(candidates))
	for _, c := range candidates {
		if c.room() > 0 {
			open = append(open, c)
		}
	}
	for bucket := range table {
		if table[bucket] != None || len(open) == 0 {
			continue
		}
		best := 0
		if len(open) > 1 {
			best = first(open, uint32(bucket))
		}
		c := &open[best]
		table[bucket] = c.index
		if c.quota--; c.room() == 0 {
			open = append(open[:best], open[best+1:]...)
		}
	}
}
