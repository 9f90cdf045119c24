package sim

import "time"

// planned: joins, drains, weights and goodbyes; nobody may notice.
func (g *generator) planned() {
	g.s.Planned = true
	g.s.Loss = pick(&g.rng, 0, 0, 1)
	g.s.Healthy = 1<<len(g.s.Nodes) - 1
	g.startAll()
	g.rest()
	for range g.between(1, 4) {
		i := g.below(len(g.s.Nodes))
		bit := uint32(1) << i
		switch {
		case g.down&bit != 0:
			g.down &^= bit
			g.on(Start, i)
		case g.drained&bit != 0 && g.below(2) == 0:
			g.drained &^= bit
			g.on(Resume, i)
		case g.drained&bit != 0:
			g.rest()
			g.at += 10 * g.s.Lease // the longest connection
			g.drained &^= bit
			g.down |= bit
			g.s.Healthy &^= bit
			g.on(Stop, i)
		case g.below(3) == 0:
			g.add(Op{Verb: Weight, Nodes: []int{i}, Amount: pick(&g.rng, 0, 1, 50, 100, 200)})
		case g.below(3) == 0:
			g.restart(i, g.s.Lease/2, 2*g.s.Lease, time.Second)
		default:
			g.drained |= bit
			g.on(Drain, i)
		}
		if g.below(3) == 0 {
			g.pause()
		} else {
			g.rest()
		}
	}
	g.heal()
}

// oneSick: one node among healthy ones fails in some way, maybe again.
func (g *generator) oneSick() {
	n := len(g.s.Nodes)
	sick := g.below(n)
	g.s.Healthy = (1<<n - 1) &^ (1 << sick)
	g.s.Loss = pick(&g.rng, 0, 0, 0, 1)
	if g.s.Expected > 0 && n < 3 {
		g.s.Quorum, g.s.Expected = 0, 0 // two can do nothing without each other
	}
	g.startAll()
	g.rest()
	for range g.between(1, 3) {
		g.fall(sick)
		if n > 2 && g.below(2) == 0 {
			g.pause()
		} else {
			g.rest()
		}
		if g.below(4) > 0 {
			g.recover(sick)
			g.pause()
		}
		if n == 2 {
			g.rest() // one thing at a time: there is no third to tell
		}
	}
	g.rest()
	g.heal()
}

// fall is one way for a node to fail; all of it is the node's own affair.
func (g *generator) fall(i int) {
	bit := uint32(1) << i
	span := func(lo, hi int) time.Duration {
		return g.span(g.s.Interval*time.Duration(lo)/10, g.s.Interval*time.Duration(hi)/10)
	}
	if g.down&bit != 0 {
		g.down &^= bit
		g.on(Start, i)
		return
	}
	ailments := 14
	if g.s.Healthy != 0 && len(g.s.Nodes) == 2 {
		ailments = 8 // of two nodes, nobody can tell which one a bad link makes sick, nor who is slow
	}
	if g.below(12) == 0 {
		g.restart(i, 0, g.s.Lease, 3*time.Second, 4*time.Second)
		return
	}
	switch g.below(ailments) {
	case 0:
		g.down |= bit
		g.on(Crash, i)
	case 1, 2:
		g.down |= bit
		g.add(Op{Verb: Kill, Nodes: []int{i}, After: g.below(6)})
	case 3, 4, 5:
		g.frozen |= bit
		g.add(Op{Verb: Freeze, Nodes: []int{i}, After: g.below(6)})
	case 6:
		g.ill |= bit
		g.on(Deaf, i)
	case 7:
		g.ill |= bit
		g.on(Mute, i)
	case 8:
		g.ill |= bit
		g.add(Op{Verb: Slow, Nodes: []int{i}, Span: span(1, 120)})
	case 9:
		g.ill |= bit
		g.add(Op{Verb: Lag, Nodes: []int{i}, Span: span(1, 80)})
	case 10:
		g.ill |= bit
		g.add(Op{Verb: Dawdle, Nodes: []int{i}, Span: span(1, 20)})
	case 11:
		g.add(Op{Verb: Cut, Links: g.port(i)})
	case 12:
		g.add(Op{Verb: Loss, Links: g.port(i), Amount: pick(&g.rng, 50, 300, 600, 900)})
	case 13:
		late := span(1, 120)
		g.add(Op{Verb: Delay, Links: g.port(i), Span: late * 3 / 4, Upto: late})
	}
}

// port is every link of a node, or every link in one direction.
func (g *generator) port(i int) []Link {
	in, out := g.below(3) > 0, g.below(3) > 0
	var links []Link
	for _, j := range g.all() {
		if j != i && (in || !out) {
			links = append(links, Link{j, i})
		}
		if j != i && (out || !in) {
			links = append(links, Link{i, j})
		}
	}
	return links
}

// recover ends what ails a node.
func (g *generator) recover(i int) {
	bit := uint32(1) << i
	switch {
	case g.down&bit != 0:
		g.down &^= bit
		g.on(Start, i)
	case g.frozen&bit != 0:
		g.frozen &^= bit
		g.on(Thaw, i)
	case g.ill&bit != 0:
		g.ill &^= bit
		g.on(Cure, i)
	default:
		var links []Link
		for _, l := range allLinks(len(g.s.Nodes)) {
			if l.From == i || l.To == i {
				links = append(links, l)
			}
		}
		g.add(Op{Verb: Mend, Links: links})
	}
}

// partitions: links and groups of links go and come.
func (g *generator) partitions() {
	g.startAll()
	if g.below(4) > 0 {
		g.rest()
	}
	for range g.between(1, 5) {
		g.breakLinks()
		g.pause()
		if g.below(2) == 0 {
			g.add(Op{Verb: Mend})
			g.pause()
		}
		if g.below(4) == 0 {
			g.recover(g.below(len(g.s.Nodes)))
		}
		if g.below(6) == 0 {
			g.fall(g.below(len(g.s.Nodes)))
			g.pause()
		}
	}
	g.heal()
}

func (g *generator) breakLinks() {
	nodes := g.shuffled()
	n := len(nodes)
	if n < 2 {
		return
	}
	a, b := nodes[0], nodes[1]
	switch g.below(9) {
	case 0, 1:
		k := g.between(1, n-1)
		g.add(Op{Verb: Cut, Links: splitLinks([][]int{nodes[:k], nodes[k:]})})
	case 2:
		g.add(Op{Verb: Cut, Links: shapeLinks("chain", nodes)})
	case 3:
		g.add(Op{Verb: Cut, Links: shapeLinks("ring", nodes)})
	case 4:
		g.add(Op{Verb: Cut, Links: shapeLinks("hub", nodes)})
	case 5:
		g.add(Op{Verb: Cut, Links: []Link{{a, b}}})
	case 6:
		g.add(Op{Verb: Cut, Links: []Link{{a, b}, {b, a}}})
	case 7:
		every := g.span(g.s.Interval, 3*g.s.Lease)
		g.add(Op{Verb: Flip, Links: []Link{{a, b}, {b, a}}[:g.between(1, 2)], Span: every})
	case 8:
		g.add(Op{Verb: Loss, Links: g.port(a), Amount: pick(&g.rng, 50, 300, 600)})
	}
}

func (g *generator) shuffled() []int {
	nodes := g.all()
	for i := len(nodes) - 1; i > 0; i-- {
		j := g.below(i + 1)
		nodes[i], nodes[j] = nodes[j], nodes[i]
	}
	return nodes
}

// coldStart: all begin within moments, over a network at its worst.
func (g *generator) coldStart() {
	g.s.Loss = pick(&g.rng, 0, 0, 10, 50, 300)
	if g.below(3) == 0 {
		g.breakLinks()
	}
	for _, i := range g.shuffled() {
		g.on(Start, i)
		g.at += pick(&g.rng, 0, g.span(0, g.s.Interval), g.span(0, g.s.Lease))
	}
	g.pause()
	if g.below(2) == 0 {
		i := g.below(len(g.s.Nodes))
		g.on(Start, i) // within its own old lease
		g.pause()
	}
	if g.s.Loss > 50 {
		g.s.Loss = 50
		g.add(Op{Verb: Loss, Amount: 300})
		g.s.Ops = append(g.s.Ops[len(g.s.Ops)-1:], g.s.Ops[:len(g.s.Ops)-1]...)
		g.s.Ops[0].At = 0
	}
	g.heal()
}

// disagreement: a second host with a taken name, a node with other pools.
func (g *generator) disagreement() {
	g.startAll()
	g.rest()
	n := len(g.s.Nodes)
	if g.below(2) == 0 {
		g.twin(n)
		return
	}
	for _, i := range g.shuffled()[:g.between(1, n)] {
		g.odd |= 1 << i
		g.add(Op{Verb: Start, Nodes: []int{i}, Amount: 1})
		if g.below(2) == 0 {
			g.rest()
		} else {
			g.pause()
		}
	}
	if g.odd != 1<<n-1 {
		g.heal()
	}
}

// twin adds a host that has the name of another.
func (g *generator) twin(n int) {
	of := g.below(n)
	if n > 2 {
		g.s.Healthy = (1<<n - 1) &^ (1 << of)
	}
	name := g.s.Nodes[of].Name
	g.s.Nodes = append(g.s.Nodes, Node{
		Label: name + "2", Name: name, Weight: 100, Priority: defaultPriority,
		PPM: int64(g.between(-Drift, Drift)), Origin: g.span(0, time.Hour),
	})
	if g.below(3) == 0 {
		g.on(Crash, of)
		g.down |= 1 << of
		g.pause()
	}
	g.on(Start, n)
	g.pause()
	if g.below(2) == 0 {
		g.on(Start, of)
		g.down &^= 1 << of
		g.pause()
	}
	g.rest()
	g.on(pick(&g.rng, Crash, Kill), n)
	g.pause()
	g.heal()
}

// chaos: anything, to anybody, at any time.
func (g *generator) chaos() {
	g.s.Loss = pick(&g.rng, 0, 0, 10, 50)
	g.startAll()
	if g.below(2) == 0 {
		g.rest()
	}
	for range g.between(2, 9) {
		i := g.below(len(g.s.Nodes))
		switch g.below(6) {
		case 0, 1:
			g.fall(i)
		case 2:
			g.recover(i)
		case 3:
			g.breakLinks()
		case 4:
			g.add(Op{Verb: Mend})
		case 5:
			g.plannedChange(i)
		}
		g.pause()
	}
	g.heal()
}

func (g *generator) plannedChange(i int) {
	bit := uint32(1) << i
	switch g.below(6) {
	case 0:
		g.add(Op{Verb: Weight, Nodes: []int{i}, Amount: pick(&g.rng, 0, 1, 50, 100, 200)})
	case 1:
		g.drained ^= bit
		g.on(map[bool]Verb{true: Drain, false: Resume}[g.drained&bit != 0], i)
	case 2:
		g.down |= bit
		g.on(Stop, i)
	case 3:
		delay := pick(&g.rng, 0, g.s.Interval/2, g.s.Lease, 2*g.s.Lease)
		g.add(Op{Verb: Delay, Span: delay / 4, Upto: delay})
	case 4:
		g.on(Start, i) // within its own old lease
		g.down &^= bit
	case 5:
		g.restart(i, 0, g.s.Interval, g.s.Lease, 2*time.Second, 4*time.Second)
	}
}

// restart has a daemon restart and be away for up to one of these times; 0: for ever.
func (g *generator) restart(i int, away ...time.Duration) {
	upto := pick(&g.rng, away...)
	span := g.span(upto/10, upto)
	if upto == 0 {
		g.down |= 1 << i // if it went at all; heal starts it once more
	}
	g.add(Op{Verb: Restart, Nodes: []int{i}, Span: span.Truncate(time.Microsecond)})
}
