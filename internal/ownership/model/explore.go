package model

import (
	"fmt"
	"strings"
)

// Bounds says how much a run covers. -1 is any number.
type Bounds struct {
	Views     int // that some node is in, or may still adopt, at one moment: 1 to 5
	Proposals int // views proposed in all, at most 15
	Restarts  int // in all, at most 15
	States    int // the run ends beyond that many; 0: any number
	// Cold starts with nothing, instead of with one view of all in force.
	Cold bool
	// Begin is the moves that the run starts with, as stories tell them.
	Begin []string
}

// Result is what a run found.
type Result struct {
	States   int
	Steps    int            // moves tried
	Depth    int            // moves to the states that are farthest away
	Complete bool           // all states within the bounds were visited
	Moves    map[string]int // how often each kind was tried
	Story    string         // how two datapaths came to accept the bucket; empty: they never do
}

// Explore visits every state that can be reached within the bounds, nearest
// first, and stops where two datapaths accept the bucket.
func Explore(b Bounds, f Fault) (Result, error) {
	c := &cluster{bounds: b, faults: f}
	v := &visits{cluster: c, table: make([]uint32, 1<<16), result: Result{Moves: map[string]int{}}}
	if !b.Cold {
		v.first = inForce()
	}
	c.settle(&v.first)
	c.tidy(&v.first)
	for _, told := range b.Begin {
		next := v.first
		found := false
		c.moves(&v.first, func(m move, after *state) {
			if m.String() == told {
				next, found = *after, true
			}
		})
		if !found {
			return Result{}, fmt.Errorf("begin: %q is not possible in: %s", told, v.first.String())
		}
		v.first = next
	}
	v.run()
	return v.result, nil
}

// inForce is a cluster with one view of all, active, promised to all by all.
func inForce() state {
	s := state{nviews: 1}
	s.views[1] = view{members: everybody, owner: nobody}
	for x := range nodes {
		n := &s.nodes[x]
		n.view, n.ready, n.owns, n.leased = 1, true, x == 0, true
		for q := range nodes {
			if q != x {
				n.by[q] = promises{given: 1, fence: true}
			}
		}
	}
	return s
}

// visits is a breadth-first search. Of a visited state it keeps a fingerprint
// and which state it was reached from.
type visits struct {
	cluster *cluster
	first   state
	prints  []uint64
	from    []uint32 // index into prints
	table   []uint32 // index into prints + 1, by fingerprint
	result  Result
}

// add remembers a fingerprint; false: it was there.
func (v *visits) add(print uint64, from uint32) bool {
	if len(v.prints)*2 >= len(v.table) {
		v.grow()
	}
	mask := uint64(len(v.table) - 1)
	for i := print & mask; ; i = (i + 1) & mask {
		k := v.table[i]
		if k == 0 {
			v.prints = append(v.prints, print)
			v.from = append(v.from, from)
			v.table[i] = uint32(len(v.prints))
			return true
		}
		if v.prints[k-1] == print {
			return false
		}
	}
}

func (v *visits) grow() {
	v.table = make([]uint32, 2*len(v.table))
	mask := uint64(len(v.table) - 1)
	for k, print := range v.prints {
		i := print & mask
		for v.table[i] != 0 {
			i = (i + 1) & mask
		}
		v.table[i] = uint32(k + 1)
	}
}

func (v *visits) run() {
	var tried [actCount]int
	defer func() {
		v.result.States = len(v.prints)
		for a, n := range tried {
			v.result.Moves[act(a).String()] = n
			v.result.Steps += n
		}
	}()
	p := v.first.smallest()
	v.add(p.fingerprint(), 0)
	level := []packed{p}
	for start := 0; len(level) > 0; v.result.Depth++ {
		var next []packed
		end := len(v.prints)
		for i := range level {
			s, at := level[i].unpack(), uint32(start+i)
			if s.owners() > 1 {
				v.tell(at)
				return
			}
			v.cluster.moves(&s, func(m move, after *state) {
				tried[m.act]++
				p := after.smallest()
				if v.add(p.fingerprint(), at) {
					next = append(next, p)
				}
			})
			if most := v.cluster.bounds.States; most > 0 && len(v.prints) > most {
				return
			}
		}
		level, start = next, end
	}
	v.result.Complete = true
}

// owners is how many datapaths accept the bucket.
func (s *state) owners() (count int) {
	for x := range nodes {
		if s.nodes[x].accepts() {
			count++
		}
	}
	return count
}

// tell writes the story of the state with index at: the moves that lead there,
// told with the same names throughout.
func (v *visits) tell(at uint32) {
	var way []uint64
	for k := at; k != 0; k = v.from[k] {
		way = append(way, v.prints[k])
	}
	var b strings.Builder
	line := func(count int, what string, s *state) {
		fmt.Fprintf(&b, "%3d %-52s %s\n", count, what, s.String())
	}
	s := v.first
	line(0, "", &s)
	for i := len(way) - 1; i >= 0; i-- {
		var taken move
		var after state
		v.cluster.moves(&s, func(m move, next *state) {
			if p := next.smallest(); after.nviews == 0 && p.fingerprint() == way[i] {
				taken, after = m, *next
			}
		})
		line(len(way)-i, taken.String(), &after)
		s = after
	}
	v.result.Story = b.String()
}
