package sim

import "time"

// rng is SplitMix64 (Steele, Lea, Flood 2014): one word of state, so that
// every node and every sender can have a stream of its own and a change in
// one leaves the others' draws alone.
type rng struct{ state uint64 }

// fork makes an independent stream, named by id.
func (r rng) fork(id uint64) rng {
	f := rng{r.state ^ (id+1)*0xd1342543de82ef95}
	f.next()
	return f
}

func (r *rng) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below draws from 0 … n-1; 0 if n < 1.
func (r *rng) below(n int) int {
	if n < 1 {
		return 0
	}
	return int(r.next() >> 1 % uint64(n))
}

// between draws from lo … hi, both included.
func (r *rng) between(lo, hi int) int { return lo + r.below(hi-lo+1) }

// span draws a duration from lo … hi.
func (r *rng) span(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(r.below(int(hi-lo)+1))
}

// chance is true in permille of 1000 draws. It draws nothing for 0.
func (r *rng) chance(permille int) bool {
	return permille > 0 && r.below(1000) < permille
}

// pick draws one of the choices.
func pick[T any](r *rng, choices ...T) T { return choices[r.below(len(choices))] }
