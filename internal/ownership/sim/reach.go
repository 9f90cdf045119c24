package sim

import "fmt"

// auditReach: a node that the switch does not flood to, which others that serve
// have told so by a second path for long enough, accepts nothing.
func (c *checks) auditReach(w *world) {
	if !c.stable(w) || w.net.second == nil || w.net.unicast || w.s.Quiet {
		return
	}
	for _, n := range w.nodes {
		if !n.unflooded || n.machine == nil || w.oddOnes()&n.bit != 0 || n.deaf || n.mute || !w.told(c, n) {
			continue
		}
		for b, set := range c.accept {
			if set&n.bit != 0 {
				w.fail(RuleReach, fmt.Sprintf("%s accepts %s, and no client reaches it", n.spec.Label, w.bucketName(b)))
				return
			}
		}
	}
}

// told: nodes that must serve, and hear each other by the service path, hear
// the node and are heard by it.
func (w *world) told(c *checks, n *node) bool {
	for i := range c.parts {
		p := &c.parts[i]
		if !p.whole {
			continue
		}
		all := true
		for _, o := range w.nodes {
			all = all && (p.members&o.bit == 0 || w.hear(n.id, o.id))
		}
		if all {
			return true
		}
	}
	return false
}
