package model

// tidy forgets what can no longer make a difference and renumbers the rest, so
// that states which behave alike are one. It is why a run needs no limit on
// time, beats or restarts, but only on the views that matter at one moment.
func (c *cluster) tidy(s *state) {
	for v := uint8(1); v <= s.nviews; v++ {
		c.forgetOwner(s, v)
	}
	for x := range nodes {
		for q := range nodes {
			c.forgetPromises(s, x, q)
		}
	}
	c.renumberViews(s)
	for x := range nodes {
		c.forgetStage(s, x)
	}
}

// forgetOwner drops from view v an owner that will not accept the bucket in
// it, and what was said for its sake.
func (c *cluster) forgetOwner(s *state, v uint8) {
	w := &s.views[v]
	if w.owner != nobody {
		n := &s.nodes[w.owner]
		here := n.view == v && (n.owns || n.barred && n.barredIn == v)
		if !w.has(int(w.owner)) || n.view > v || here {
			w.owner = nobody
		}
	}
	if w.owner == nobody {
		w.members &^= w.ended
		w.ended, w.ready, w.free, w.fresh = 0, 0, 0, 0
	}
	if !c.broken(StaleReady) {
		w.ready = 0
	}
}

// forgetPromises drops promises of q to x that will never count, and tells
// those under the view of x and older ones as under view 0. A fence without a
// promise that could count only hinders, so it is as good as over.
func (c *cluster) forgetPromises(s *state, x, q int) {
	n := &s.nodes[x]
	p := &n.by[q]
	fresh := false
	for v := uint8(1); v <= s.nviews; v++ {
		fresh = fresh || int(s.views[v].owner) == x && s.views[v].fresh.has(q)
		if p.given>>v&1 == 0 {
			continue
		}
		switch {
		case v <= n.barredIn && !c.broken(OldPromise) || !s.views[v].has(x):
			p.given &^= 1 << v
		case v <= n.view:
			p.given = p.given&^(1<<v) | 1
		}
	}
	if n.view == 0 {
		p.given &^= 1
	}
	if p.given == 0 && !fresh {
		*p = promises{}
	}
}

// forgetStage drops what x has been through that makes no difference any more.
func (c *cluster) forgetStage(s *state, x int) {
	n := &s.nodes[x]
	if !s.leftOut(x) {
		n.empty = 0
	}
	if s.views[n.view].owner == nobody {
		n.ready = n.view != 0
	}
	if !s.promisable(x) {
		n.barredIn = 0
	}
	if !c.broken(StickyFenced | SameViewAgain) {
		n.barred = false // it cannot accept in that view: forgetOwner
	}
}

// promisable tells whether x may still be promised anything under the view in
// which it was barred last, or an older one.
func (s *state) promisable(x int) bool {
	for v := uint8(1); v <= s.nodes[x].barredIn; v++ {
		for q := range nodes {
			if w := &s.views[v]; q != x && w.has(x) && (s.nodes[q].view == v || s.nodes[q].view < v && w.has(q)) {
				return true
			}
		}
	}
	return false
}

// leftOut tells whether a view older than the newest one in which x claimed
// nothing leaves x out, and the bucket may still be accepted in it.
func (s *state) leftOut(x int) bool {
	for v := uint8(1); v < s.nodes[x].empty; v++ {
		if w := &s.views[v]; w.owner != nobody && !w.has(x) {
			return true
		}
	}
	return false
}

// insertView makes v the view in place at; those from there on move up.
func (s *state) insertView(at uint8, v view) {
	copy(s.views[at+1:], s.views[at:s.nviews+1])
	s.views[at] = v
	s.nviews++
	var to [maxViews + 1]uint8
	for k := range uint8(len(to)) {
		to[k] = k
		if k >= at {
			to[k] = k + 1
		}
	}
	s.eachView(&to)
}

// renumberViews removes the views that no node is in or can adopt.
func (c *cluster) renumberViews(s *state) {
	var to [maxViews + 1]uint8
	count := uint8(0)
	for v := uint8(1); v <= s.nviews; v++ {
		if s.matters(v) {
			count++
			s.views[count] = s.views[v]
		}
		to[v] = count
	}
	if count == s.nviews {
		return
	}
	for v := count + 1; v <= s.nviews; v++ {
		s.views[v] = view{}
	}
	s.nviews = count
	s.eachView(&to)
}

func (s *state) matters(v uint8) bool {
	for x := range nodes {
		if n := &s.nodes[x]; n.view == v || n.view < v && s.views[v].has(x) {
			return true
		}
	}
	return false
}

// eachView renumbers every reference to a view. Where that view is gone, the
// next older one does as well for what is only compared.
func (s *state) eachView(to *[maxViews + 1]uint8) {
	for x := range nodes {
		n := &s.nodes[x]
		n.view, n.barredIn, n.empty = to[n.view], to[n.barredIn], to[n.empty]
		for q := range nodes {
			var given viewSet
			for v := range to {
				given |= n.by[q].given >> v & 1 << to[v]
			}
			n.by[q].given = given
		}
	}
}
