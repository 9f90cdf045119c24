package model

// cluster is the rules of a run: what is possible from a state.
type cluster struct {
	bounds Bounds
	faults Fault
}

func (c *cluster) broken(f Fault) bool { return c.faults&f != 0 }

// moves calls do with each move from s and the state after it.
func (c *cluster) moves(s *state, do func(move, *state)) {
	step := func(m move, apply func(*state)) {
		after := *s
		apply(&after)
		c.settle(&after)
		c.tidy(&after)
		do(m, &after)
	}
	for x := range nodes {
		c.viewMoves(s, x, step)
		c.leaseMoves(s, x, step)
		if c.mayAccept(s, x) {
			step(move{act: actAccept, node: x}, func(s *state) { s.nodes[x].owns, s.nodes[x].barred = true, false })
		}
		if s.nodes[x].owns {
			step(move{act: actDrop, node: x}, func(s *state) { s.nodes[x].owns = false })
		}
		if c.bounds.Restarts < 0 || int(s.started) < c.bounds.Restarts {
			step(move{act: actRestart, node: x}, func(s *state) { c.restart(s, x) })
		}
	}
	if int(s.nviews) == c.bounds.Views {
		c.forgetMoves(s, step)
	}
}

// viewMoves are those by which x comes to a newer view: one that it proposes
// or, as every view may have been heard of, any that contains it.
func (c *cluster) viewMoves(s *state, x int, step func(move, func(*state))) {
	n := &s.nodes[x]
	for v := uint8(1); v <= s.nviews; v++ {
		if v < n.view && s.views[v].fresh.has(x) {
			step(move{act: actStale, node: x, peer: int(s.views[v].owner), view: v}, func(s *state) { s.views[v].fresh &^= 1 << x })
		}
		if v > n.view && s.views[v].has(x) {
			step(move{act: actAdopt, node: x, view: v}, func(s *state) { c.adopt(&s.nodes[x], v) })
		}
	}
	if int(s.nviews) >= c.bounds.Views || c.bounds.Proposals >= 0 && int(s.proposed) >= c.bounds.Proposals {
		return
	}
	for set := nodeSet(1); set <= everybody; set++ {
		alone := set == 1<<x
		majority := set&(set-1) != 0
		if !set.has(x) || !majority && !(alone && c.broken(Minority)) {
			continue
		}
		for owner := range nodes {
			if !set.has(owner) {
				continue
			}
			v := view{members: set, owner: uint8(owner)}
			for at := n.view + 1; at <= s.nviews+1; at++ {
				step(move{act: actPropose, node: x, view: at, set: v}, func(s *state) {
					s.insertView(at, v)
					if c.bounds.Proposals >= 0 {
						s.proposed++
					}
					c.adopt(&s.nodes[x], at)
				})
			}
		}
	}
}

// forgetMoves make room among the views: one that no node is in was lost.
func (c *cluster) forgetMoves(s *state, step func(move, func(*state))) {
	for v := uint8(1); v <= s.nviews; v++ {
		if !s.announced(v) {
			step(move{act: actForget, view: v}, func(s *state) { s.views[v].ended = s.views[v].members })
		}
	}
}

// announced tells whether v is the view of some node.
func (s *state) announced(v uint8) bool {
	for x := range nodes {
		if s.nodes[x].view == v {
			return true
		}
	}
	return false
}

// leaseMoves are those about what x has been promised.
func (c *cluster) leaseMoves(s *state, x int, step func(move, func(*state))) {
	n := &s.nodes[x]
	if n.leased {
		step(move{act: actLapse, node: x}, func(s *state) { c.lapse(&s.nodes[x]) })
	}
	for q := range nodes {
		if q == x {
			continue
		}
		if c.mayPromise(s, q, x) {
			step(move{act: actPromise, node: q, peer: x}, func(s *state) { c.promise(s, q, x) })
			if v := s.nodes[q].view; s.nodes[q].ready && int(s.views[v].owner) == x {
				step(move{act: actVouch, node: q, peer: x}, func(s *state) {
					c.promise(s, q, x)
					s.views[v].fresh |= 1 << q
				})
			}
		}
		if !n.leased && c.counts(n, n.by[q].given) {
			step(move{act: actLease, node: x, peer: q}, func(s *state) { s.nodes[x].leased = true })
		}
		if n.by[q] != (promises{}) {
			step(move{act: actOver, node: q, peer: x}, func(s *state) { c.over(s, q, x) })
		}
	}
}

// mayPromise tells whether the beats of q can promise something to x.
func (c *cluster) mayPromise(s *state, q, x int) bool {
	if !s.views[s.nodes[q].view].has(x) || s.waits(q) && !c.broken(EarlyPromise) {
		return false
	}
	for v := uint8(1); v <= s.nviews && !c.broken(EarlyReturn); v++ {
		// Somebody may still take from x what it owned before, as q was ready there.
		if w := &s.views[v]; w.fresh.has(q) && w.has(q) && !w.has(x) && s.nodes[x].empty <= v {
			return false
		}
	}
	return true
}

// waits tells whether L_take has not passed since the start of x.
func (s *state) waits(x int) bool {
	for q := range nodes {
		if s.nodes[q].by[x].wait {
			return true
		}
	}
	return false
}

// promise has q promise something to x.
func (c *cluster) promise(s *state, q, x int) {
	n, to := &s.nodes[q], &s.nodes[x]
	p := &to.by[q]
	p.given |= 1 << n.view
	fenced := n.view <= to.barredIn || to.barred && c.broken(StickyFenced)
	p.fence = p.fence || !fenced
}

// counts tells whether promises under the given views hold a lease of n. With
// three nodes a majority is the node itself and one other. Promises under its
// own view and older ones are told as under view 0.
func (c *cluster) counts(n *node, given viewSet) bool {
	if n.view == 0 {
		return false
	}
	return given&1 != 0 || given != 0 && c.broken(NewerPromise) || c.broken(LeaseOnSend)
}

// over is the end of all that q has promised x, and of the fence. A lease that
// nothing else holds has ended before.
func (c *cluster) over(s *state, q, x int) {
	n := &s.nodes[x]
	n.by[q] = promises{}
	for v := range s.views {
		if int(s.views[v].owner) == x {
			s.views[v].fresh &^= 1 << q
		}
	}
	for r := range nodes {
		if r != x && c.counts(n, n.by[r].given) {
			return
		}
	}
	if n.leased {
		c.lapse(n)
	}
}

// lapse is the end of the lease of n: L after the beat that the last promise
// it had received was on.
func (c *cluster) lapse(n *node) {
	n.leased = false
	if c.broken(KeepAfterLapse) {
		return
	}
	if c.broken(SameViewAgain) {
		n.barred, n.owns = n.owns, false // so that it knows it was active
		return
	}
	n.owns = false
	n.barred, n.barredIn = true, n.view
	for q := range nodes {
		p := &n.by[q]
		if p.given&^1 == 0 {
			p.fence = false // its beats say "fenced", in a view at least as new as any that it was promised in
		}
		if !c.broken(OldPromise) {
			p.given &^= 1
		}
	}
}

// adopt moves n to view v. It keeps what it owns.
func (c *cluster) adopt(n *node, v uint8) {
	n.view, n.ready = v, false
	n.barred = n.barred && c.broken(StickyFenced)
}

// mayAccept tells whether x may take the bucket into its datapath.
func (c *cluster) mayAccept(s *state, x int) bool {
	n := &s.nodes[x]
	if n.barred && n.leased && c.broken(SameViewAgain) {
		return true
	}
	v := &s.views[n.view]
	if n.view == 0 || int(v.owner) != x || !n.ready || !n.leased || n.barred && n.barredIn == n.view {
		return false
	}
	others := v.members &^ (1 << x)
	if others&^v.free != 0 && !c.broken(NoRelease) {
		return false
	}
	return others&^v.fresh == 0 || others&^v.ready == 0 && c.broken(StaleReady)
}

// restart ends the incarnation of x and starts the next one: the datapath is
// cleared, nothing is remembered. Until then the old datapath went on, which
// needs no rule: a node that does nothing is one that crashed or is frozen.
func (c *cluster) restart(s *state, x int) {
	s.nodes[x] = node{}
	for q := range nodes {
		p := &s.nodes[q].by[x]
		p.wait = p.wait || p.fence && !c.broken(NoStartWait)
		p.fence = false
	}
	for k := range s.views {
		s.views[k].ended |= s.views[k].members & (1 << x)
	}
	if c.bounds.Restarts >= 0 {
		s.started++
	}
}

// settle has nodes enter the stages that are due, and notes what they say.
func (c *cluster) settle(s *state) {
	for x := range nodes {
		n := &s.nodes[x]
		if n.view == 0 {
			continue
		}
		n.ready = n.ready || c.isReady(s, x)
		if n.ready {
			s.views[n.view].ready |= 1 << x
		}
		if !n.owns {
			n.empty = n.view
		}
		for v := uint8(1); v <= n.view && !n.owns; v++ {
			if s.views[v].has(x) {
				s.views[v].free |= 1 << x
			}
		}
	}
}

// isReady tells whether the fences of x for those outside its view are over,
// and L_take since its own start.
func (c *cluster) isReady(s *state, x int) bool {
	if c.broken(NoFence) {
		return true
	}
	if s.waits(x) {
		return false
	}
	for q := range nodes {
		if q != x && !s.views[s.nodes[x].view].has(q) && s.nodes[q].by[x].fence {
			return false
		}
	}
	return true
}
