package model

// packed is a state in few words; equal states are equal words.
type packed [nodes + 2]uint64

// word fills one word of packed from its low end, or empties it.
type word struct {
	bits uint64
	at   uint
}

func (w *word) put(v uint8, width uint) {
	w.bits |= uint64(v) << w.at
	w.at += width
}

func (w *word) flag(b bool) {
	if b {
		w.bits |= 1 << w.at
	}
	w.at++
}

func (w *word) take(width uint) uint8 {
	v := uint8(w.bits >> w.at & (1<<width - 1))
	w.at += width
	return v
}

func (w *word) taken() bool { return w.take(1) == 1 }

// naming puts node from[i] in the place of i; to is its inverse.
type naming struct{ from, to [nodes]uint8 }

var namings = [...]naming{
	{[nodes]uint8{0, 1, 2}, [nodes]uint8{0, 1, 2}},
	{[nodes]uint8{0, 2, 1}, [nodes]uint8{0, 2, 1}},
	{[nodes]uint8{1, 0, 2}, [nodes]uint8{1, 0, 2}},
	{[nodes]uint8{2, 1, 0}, [nodes]uint8{2, 1, 0}},
	{[nodes]uint8{1, 2, 0}, [nodes]uint8{2, 0, 1}},
	{[nodes]uint8{2, 0, 1}, [nodes]uint8{1, 2, 0}},
}

const pairBits = maxViews + 1 + 2

// smallest packs the state under the naming that gives the smallest words.
// States that differ by names alone count once: no rule looks at names.
func (s *state) smallest() packed {
	var own [nodes]uint64
	var by [nodes][nodes]uint64
	for x := range nodes {
		own[x] = s.nodes[x].pack() << (2 * pairBits)
		for q := range nodes {
			by[x][q] = s.nodes[x].by[q].pack()
		}
	}
	var best packed
	for i := range namings {
		m := &namings[i]
		var p packed
		for x := range nodes {
			y := m.from[x]
			p[x] = own[y] | by[y][m.from[(x+1)%nodes]]<<pairBits | by[y][m.from[(x+2)%nodes]]
		}
		if i > 0 && best.before(&p, nodes) {
			continue
		}
		p[nodes], p[nodes+1] = s.packViews(m)
		if i == 0 || p.before(&best, len(p)) {
			best = p
		}
	}
	return best
}

// before compares the first words.
func (p *packed) before(q *packed, words int) bool {
	for i := range words {
		if p[i] != q[i] {
			return p[i] < q[i]
		}
	}
	return false
}

func (n *node) pack() uint64 {
	var w word
	w.put(n.view, 3)
	w.flag(n.ready)
	w.flag(n.owns)
	w.flag(n.leased)
	w.flag(n.barred)
	w.put(n.barredIn, 3)
	w.put(n.empty, 3)
	return w.bits
}

func (p *promises) pack() uint64 {
	var w word
	w.put(uint8(p.given), maxViews+1)
	w.flag(p.fence)
	w.flag(p.wait)
	return w.bits
}

// renamed is the set under naming m.
func (s nodeSet) renamed(m *naming) uint8 {
	var out nodeSet
	for i, x := range m.from {
		out |= s >> x & 1 << i
	}
	return uint8(out)
}

func (s *state) packViews(m *naming) (who, said uint64) {
	var w, f word
	w.put(s.nviews, 3)
	w.put(s.proposed, 4)
	w.put(s.started, 4)
	for k := 1; k <= int(s.nviews); k++ {
		v := &s.views[k]
		w.put(v.members.renamed(m), nodes)
		w.put(v.ended.renamed(m), nodes)
		if v.owner == nobody {
			w.put(nobody, 2)
		} else {
			w.put(m.to[v.owner], 2)
		}
		f.put(v.ready.renamed(m), nodes)
		f.put(v.free.renamed(m), nodes)
		f.put(v.fresh.renamed(m), nodes)
	}
	return w.bits, f.bits
}

func (p *packed) unpack() (s state) {
	for x := range nodes {
		n := &s.nodes[x]
		w := word{bits: p[x] >> (2 * pairBits)}
		n.view = w.take(3)
		n.ready, n.owns, n.leased, n.barred = w.taken(), w.taken(), w.taken(), w.taken()
		n.barredIn, n.empty = w.take(3), w.take(3)
		n.by[(x+1)%nodes].unpack(p[x] >> pairBits)
		n.by[(x+2)%nodes].unpack(p[x])
	}
	w, f := word{bits: p[nodes]}, word{bits: p[nodes+1]}
	s.nviews, s.proposed, s.started = w.take(3), w.take(4), w.take(4)
	for k := 1; k <= int(s.nviews); k++ {
		v := &s.views[k]
		v.members, v.ended, v.owner = nodeSet(w.take(nodes)), nodeSet(w.take(nodes)), w.take(2)
		v.ready, v.free, v.fresh = nodeSet(f.take(nodes)), nodeSet(f.take(nodes)), nodeSet(f.take(nodes))
	}
	return s
}

func (p *promises) unpack(bits uint64) {
	w := word{bits: bits}
	p.given = viewSet(w.take(maxViews + 1))
	p.fence, p.wait = w.taken(), w.taken()
}

// fingerprint is 64 well mixed bits of the state.
func (p *packed) fingerprint() uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, w := range p {
		h ^= w
		h *= 0xff51afd7ed558ccd
		h ^= h >> 32
		h *= 0xc4ceb9fe1a85ec53
		h ^= h >> 29
	}
	return h
}
