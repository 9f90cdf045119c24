package health

import (
	"slices"
	"strings"
	"time"
)

// Told is what a node says of itself for one pool, in its beats.
type Told struct {
	Node string
	// Weight is what it would carry if it were well: 0 by an operator's order,
	// and of a node that does not take part (yet).
	Weight  uint16
	Leave   bool // it would leave
	Illness Illness
}

// Decision about one node.
type Decision struct {
	Stays bool
	// Degraded: it would leave but for this rule.
	Degraded bool
	// LessIll are the nodes that go on instead, when all are ill.
	LessIll []string
}

// Decide says whether self, which is among them, goes on. Who is well does; if
// nobody is who has any weight, the least ill go on.
func Decide(self string, nodes []Told) Decision {
	i := slices.IndexFunc(nodes, func(t Told) bool { return t.Node == self })
	if i < 0 || !nodes[i].Leave {
		return Decision{Stays: i >= 0}
	}
	least := ^Illness(0)
	for _, t := range nodes {
		switch {
		case t.Weight == 0:
		case !t.Leave:
			return Decision{}
		default:
			least = min(least, t.Illness)
		}
	}
	me := nodes[i]
	if me.Weight > 0 && me.Illness <= least {
		return Decision{Stays: true, Degraded: true}
	}
	var d Decision
	for _, t := range nodes {
		if t.Weight > 0 && t.Illness == least {
			d.LessIll = append(d.LessIll, t.Node)
		}
	}
	return d
}

// blameLasts is how long what all nodes have seen is not held against one:
// they do not lose sight of a thing, nor find it again, in the same moment.
const blameLasts = 30 * time.Second

// Sight is what a node tells of a target that a sign does not find well; without a
// target, of the sign.
func Sight(sign, target string) string {
	if target == "" {
		return sign
	}
	return sign + " " + target
}

// tells whether sights of a node have one. A node of an older version tells of signs alone: it
// may miss whichever target.
func tells(sights []string, sight string) bool {
	if slices.Contains(sights, sight) {
		return true
	}
	sign, _, _ := strings.Cut(sight, " ")
	return slices.Contains(sights, sign) && !slices.ContainsFunc(sights, func(s string) bool { return strings.HasPrefix(s, sign+" ") })
}

// Blame remembers which things outside (a gateway, a named host) all nodes have lost.
// Then the thing is to blame, not a node. The zero Blame has seen nothing.
type Blame struct {
	Until map[string]Time
}

// Update takes the sights of each node now (by State.Seen, before it counts), this node's first, and
// returns those that are to be blamed on what they are of. One node alone blames nobody: nothing depends on it.
// held are the sights that are good again for this node and still count: what was not its fault does not become it
// by being over, as it would where patience lasts longer than blame.
func (b *Blame) Update(now Time, all [][]string, held []string) []string {
	if b.Until == nil {
		b.Until = map[string]Time{}
	}
	if len(all) > 1 {
		for _, sight := range all[0] {
			if !slices.ContainsFunc(all[1:], func(sights []string) bool { return !tells(sights, sight) }) {
				b.Until[sight] = now + blameLasts
			}
		}
	}
	var blamed []string
	for sight, until := range b.Until {
		if now < until || slices.Contains(held, sight) {
			blamed = append(blamed, sight)
		} else {
			delete(b.Until, sight)
		}
	}
	slices.Sort(blamed)
	return blamed
}
