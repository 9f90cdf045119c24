package ownership

import "maps"

// troubleLasts is how many leases a missed edge is held against both its ends.
const troubleLasts = 20

// link is two nodes, the lower name first.
type link [2]string

// miss remembers that two members do not find each other mutual.
func (n *Node) miss(a, b string) { n.missed[link{min(a, b), max(a, b)}] = n.awake }

// missedLately tells whether two members missed each other within the last lease.
func (n *Node) missedLately(a, b string) bool {
	at, ok := n.missed[link{min(a, b), max(a, b)}]
	return ok && n.awake-at < n.lease
}

// takeRow reads from the beat of a member whether it misses another, and
// remembers whom. The row and the view are both sorted by name.
func (n *Node) takeRow(p *peer) {
	p.misses = false
	if !p.member() {
		return
	}
	row := p.beat.Echo
	for _, m := range n.view.Members {
		for len(row) > 0 && row[0].Name < m.Name {
			row = row[1:]
		}
		if m.Ref == p.ref || len(row) > 0 && row[0].Ref == m.Ref && row[0].Mutual {
			continue
		}
		p.misses = true
		if p.beat.View.ID == n.view.ID { // not a row from before they were members
			n.miss(p.ref.Name, m.Name)
		}
	}
}

// trouble is with how many members a node has missed each other lately. Of a
// sick node and a healthy one that miss each other, the sick one has more of it
// before long: it misses the others as well.
func (n *Node) trouble(name string) int {
	count := 0
	for l, at := range n.missed {
		if (l[0] == name || l[1] == name) && n.awake-at < troubleLasts*n.lease {
			count++
		}
	}
	return count
}

func (n *Node) forgetTrouble() {
	maps.DeleteFunc(n.missed, func(_ link, at Time) bool { return n.awake-at >= troubleLasts*n.lease })
}
