package model

// The one fact about time, on which the model without clocks stands: when the
// fence of a promiser is over, no lease anywhere rests on its promise. Here one
// holder and one promiser have clocks; true time goes on in ticks, in each of
// which a clock may go on by any amount between slowest and fastest.
const (
	nominal = 3 // what a clock gains in a tick at the right rate
	slowest = 2 // so ρ is 1/3; the formula of L_take is the same for any
	fastest = 4
	lease   = 6                                        // L
	take    = lease*(nominal+1)/(nominal-1) + roundoff // L(1+ρ)/(1−ρ) + rounding: times are looked at once in a tick
	// roundoff is the most a clock gains between two looks at it.
	roundoff = fastest
)

// Timing is a rule about time that a run leaves out.
type Timing uint8

// What may be wrong about times.
const (
	RightTiming Timing = iota
	// NoDriftAllowance has fences of L.
	NoDriftAllowance
	// FromReceipt counts a lease from when the promise arrived.
	FromReceipt
	// FromEcho counts a lease from the newest own beat when the promise arrived.
	FromEcho
)

// age is what a clock has gained since a moment, no further than old; none
// is the age of what did not happen.
type age int8

const (
	old  age = take + fastest
	none age = -1
)

func (a *age) pass(gain age) {
	if *a != none {
		*a = min(*a+gain, old)
	}
}

// pair is the holder, the promiser, and the beats between them. At most two
// beats and two promises are on their way at a time; any may be lost, and what
// is overtaken is dropped, as sequence numbers rise.
type pair struct {
	beats     [2]age // sent, by the holder's clock
	processed age    // when the promiser processed the newest, by its clock
	newest    age    // when the holder sent that, by the holder's clock
	fence     age    // when the promiser processed the beat it promised on last, by its clock
	promises  [2]age // when the holder sent the beats promised on, by the holder's clock
	lease     age    // the moment that the lease is counted from, by the holder's clock
	latest    age    // when the holder sent its newest beat, by its clock
}

// Fences visits every state of one holder and one promiser and returns how many
// there are, and whether in one of them a fence was over before the promise.
func Fences(wrong Timing) (states int, early bool) {
	length := age(take)
	if wrong == NoDriftAllowance {
		length = lease + roundoff
	}
	first := pair{
		beats: [2]age{none, none}, processed: none, newest: none, fence: none,
		promises: [2]age{none, none}, lease: none, latest: none,
	}
	seen := map[pair]bool{first: true}
	todo := []pair{first}
	for len(todo) > 0 {
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		live := p.lease != none && p.lease < lease
		for _, sent := range p.promises {
			live = live || wrong == RightTiming && sent != none && sent < lease
		}
		if live && p.fence >= length {
			return len(seen), true
		}
		p.next(wrong, func(q pair) {
			if !seen[q] {
				seen[q] = true
				todo = append(todo, q)
			}
		})
	}
	return len(seen), false
}

// next calls do with each state that can follow.
func (p pair) next(wrong Timing, do func(pair)) {
	for holder := age(slowest); holder <= fastest; holder++ {
		for promiser := age(slowest); promiser <= fastest; promiser++ {
			q := p
			for _, a := range []*age{&q.beats[0], &q.beats[1], &q.newest, &q.promises[0], &q.promises[1], &q.lease, &q.latest} {
				a.pass(holder)
			}
			q.processed.pass(promiser)
			q.fence.pass(promiser)
			do(q)
		}
	}
	q := p // the holder sends a beat
	q.beats = [2]age{p.beats[1], 0}
	q.latest = 0
	do(q)
	for i, sent := range p.beats {
		if sent == none {
			continue
		}
		q := p // the promiser processes it
		q.processed, q.newest = 0, sent
		for k := 0; k <= i; k++ {
			q.beats[k] = none
		}
		do(q)
	}
	if p.newest != none {
		q := p // the promiser promises
		q.promises = [2]age{p.promises[1], p.newest}
		q.fence = p.processed
		do(q)
	}
	for i, sent := range p.promises {
		if sent == none {
			continue
		}
		q := p // the holder receives it
		for k := 0; k <= i; k++ {
			q.promises[k] = none
		}
		from := sent
		switch wrong {
		case FromReceipt:
			from = 0
		case FromEcho:
			from = p.latest
		}
		if q.lease == none || from < q.lease {
			q.lease = from
		}
		do(q)
	}
}
