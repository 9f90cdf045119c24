package model

// The one fact about time, on which the model without clocks stands: when the
// fence of a promiser is over, no lease anywhere rests on its promise. Here one
// holder and one promiser have clocks; true time goes on in ticks, in each of
// which a clock may go on by any amount between slowest and fastest. A beat may ask
// for H in place of L, and the promise on it says whether it is for that.
const (
	slowest = 1 // the right rate is 2, so ρ is 1/2
	fastest = 3
	lease   = 2 // L
	hold    = 3 // H
)

// take is L_take(l) = l(1+ρ)/(1−ρ); the millisecond on top is for rounding, which this has none of.
func take(l age) age { return l * fastest / slowest }

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
	// HoldUnsaid counts H for any promise on a beat that asked for it.
	HoldUnsaid
	// HoldUnfenced has fences of Take(L) for promises of H.
	HoldUnfenced
	// Shortened lets the fence of a later promise take the place of a longer one.
	Shortened
)

// age is what a clock has gained since a moment; none: it did not happen, or
// so long ago that it makes no difference.
type age int8

const none age = -1

// stamp is a beat of the holder: its age by the holder's clock, and whether it asks for H;
// or a promise on that, and whether it is for H.
type stamp struct {
	age  age
	long bool
}

// length is for how long a promise binds its holder.
func (s stamp) length() age {
	if s.long {
		return hold
	}
	return lease
}

// pair is the holder, the promiser, and the beats between them. At most two
// beats and two promises are on their way at a time; any may be lost, and what
// is overtaken is dropped, as sequence numbers rise.
type pair struct {
	beats    [2]stamp
	newest   stamp // the newest beat that was processed
	promises [2]stamp
	asked    [2]bool // whether the beats that those are on asked for H
	latest   age     // the holder's newest beat
	lease    age     // what is left of it, by the holder's clock
	// By the promiser's clock: when it processed the newest, and what is left of its fence.
	processed age
	fence     age
}

// pass lets a tick pass.
func (p *pair) pass(holder, promiser age) {
	for _, s := range []*stamp{&p.beats[0], &p.beats[1], &p.newest, &p.promises[0], &p.promises[1]} {
		if s.age != none {
			s.age += holder
		}
		if s.age >= hold {
			*s = stamp{age: none}
		}
	}
	for i, s := range p.promises {
		p.asked[i] = p.asked[i] && s.age != none
	}
	if p.latest != none {
		p.latest = min(p.latest+holder, hold)
	}
	if p.processed != none {
		p.processed = min(p.processed+promiser, take(hold))
	}
	if p.newest.age == none {
		p.processed = none
	}
	p.lease, p.fence = max(p.lease-holder, 0), max(p.fence-promiser, 0)
}

// Fences visits every state of one holder and one promiser and returns how many
// there are, and whether in one of them a fence was over before the promise.
func Fences(wrong Timing) (states int, early bool) {
	nothing := [2]stamp{{age: none}, {age: none}}
	first := pair{beats: nothing, newest: nothing[0], promises: nothing, latest: none, processed: none}
	seen := map[pair]bool{first: true}
	todo := []pair{first}
	for len(todo) > 0 {
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if p.lease > 0 && p.fence == 0 {
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
	for _, long := range []bool{false, true} {
		q := p // the holder sends a beat
		q.beats = [2]stamp{p.beats[1], {0, long}}
		if wrong == FromEcho {
			q.latest = 0
		}
		do(q)
	}
	for i, sent := range p.beats {
		if sent.age == none {
			continue
		}
		q := p // the promiser processes it
		q.processed, q.newest = 0, sent
		for k := 0; k <= i; k++ {
			q.beats[k] = stamp{age: none}
		}
		do(q)
	}
	if p.newest.age != none {
		do(p.promise(wrong, false))
		if p.newest.long {
			do(p.promise(wrong, true))
		}
	}
	for i, promised := range p.promises {
		if promised.age != none {
			do(p.receive(wrong, i, promised))
		}
	}
}

// promise has the promiser promise on the newest beat, for H or not.
func (p pair) promise(wrong Timing, held bool) pair {
	to := stamp{p.newest.age, held}
	p.promises, p.asked = [2]stamp{p.promises[1], to}, [2]bool{p.asked[1], p.newest.long}
	length := take(to.length())
	switch wrong {
	case NoDriftAllowance:
		length = to.length()
	case HoldUnfenced:
		length = take(lease)
	}
	fence := max(length-p.processed, 0)
	if wrong != Shortened {
		fence = max(fence, p.fence)
	}
	p.fence = fence
	return p
}

// receive has the holder receive a promise, which overtakes those before it.
func (p pair) receive(wrong Timing, i int, promised stamp) pair {
	promised.long = promised.long || wrong == HoldUnsaid && p.asked[i]
	for k := 0; k <= i; k++ {
		p.promises[k], p.asked[k] = stamp{age: none}, false
	}
	switch wrong {
	case FromReceipt:
		promised.age = 0
	case FromEcho:
		promised.age = p.latest
	}
	p.lease = max(p.lease, promised.length()-promised.age)
	return p
}
