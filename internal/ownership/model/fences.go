package model

// The one fact about time, on which the model without clocks stands: when the
// fence of a promiser is over, no lease anywhere rests on its promise. Here one
// holder and one promiser have clocks; true time goes on in ticks, in each of
// which a clock may go on by any amount between slowest and fastest.
const (
	slowest = 1 // the right rate is 2, so ρ is 1/2
	fastest = 3
	lease   = 3                         // L
	take    = lease * fastest / slowest // L_take = L(1+ρ)/(1−ρ); the millisecond on top is for rounding, which this has none of
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

// age is what a clock has gained since a moment; none: it did not happen, or
// so long ago that it makes no difference.
type age int8

const none age = -1

// pair is the holder, the promiser, and the beats between them. At most two
// beats and two promises are on their way at a time; any may be lost, and what
// is overtaken is dropped, as sequence numbers rise.
type pair struct {
	// By the holder's clock: when it sent the beats on their way, the newest
	// that was processed, those that the promises on their way are on, the one
	// that its lease is counted from, and its newest.
	beats    [2]age
	newest   age
	promises [2]age
	lease    age
	latest   age
	// By the promiser's clock: when it processed the newest, and the one that
	// it promised on last.
	processed age
	fence     age
}

// pass lets a tick pass.
func (p *pair) pass(holder, promiser age) {
	for _, a := range []*age{&p.beats[0], &p.beats[1], &p.newest, &p.promises[0], &p.promises[1], &p.lease, &p.latest} {
		if *a != none {
			*a += holder
		}
		if *a >= lease {
			*a = none
		}
	}
	for _, a := range []*age{&p.processed, &p.fence} {
		if *a != none {
			*a = min(*a+promiser, take)
		}
	}
}

// Fences visits every state of one holder and one promiser and returns how many
// there are, and whether in one of them a fence was over before the promise.
func Fences(wrong Timing) (states int, early bool) {
	length := age(take)
	if wrong == NoDriftAllowance {
		length = lease
	}
	first := pair{
		beats: [2]age{none, none}, newest: none, promises: [2]age{none, none}, lease: none, latest: none,
		processed: none, fence: none,
	}
	seen := map[pair]bool{first: true}
	todo := []pair{first}
	for len(todo) > 0 {
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if p.lease != none && p.fence >= length {
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
			q.pass(holder, promiser)
			do(q)
		}
	}
	q := p // the holder sends a beat
	q.beats = [2]age{p.beats[1], 0}
	if wrong == FromEcho {
		q.latest = 0
	}
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
		if from != none && (q.lease == none || from < q.lease) {
			q.lease = from
		}
		do(q)
	}
}
