package sim

import (
	"math/bits"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// clock is a node's monotonic clock: it reads origin at true time 0 and gains
// ppm microseconds in every true second.
type clock struct {
	origin ownership.Time
	ppm    int64
}

// read tells what the clock shows at a true time.
func (c clock) read(true time.Duration) ownership.Time {
	return c.origin + true + ownership.Time(mulDiv(int64(true), c.ppm, 1_000_000))
}

// when tells the earliest true time at which the clock shows at or more.
func (c clock) when(at ownership.Time) time.Duration {
	local := int64(at - c.origin)
	if local <= 0 {
		return 0
	}
	t := time.Duration(mulDiv(local, 1_000_000, 1_000_000+c.ppm))
	for c.read(t) < at {
		t++
	}
	for t > 0 && c.read(t-1) >= at {
		t--
	}
	return t
}

// mulDiv is a*b/c, rounded towards zero, without overflow on the way; c > 0.
func mulDiv(a, b, c int64) int64 {
	neg := (a < 0) != (b < 0)
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	q, _ := bits.Div64(hi%uint64(c), lo, uint64(c))
	if neg {
		return -int64(q)
	}
	return int64(q)
}

func magnitude(a int64) uint64 {
	if a < 0 {
		return uint64(-a)
	}
	return uint64(a)
}
