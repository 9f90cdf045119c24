package probe

import (
	"fmt"
	"math/bits"
	"time"
)

// Latency is a histogram of waiting times in bounded space. A quantile is
// exact to 1/16; Max is exact.
type Latency struct {
	counts [48 * 16]uint32 // 16 steps per power of two of microseconds
	total  int
	Max    time.Duration
}

func (l *Latency) add(d time.Duration) {
	us := uint64(max(d, 0) / time.Microsecond)
	l.counts[latencyStep(us)]++
	l.total++
	l.Max = max(l.Max, d)
}

// latencyStep numbers the histogram's steps: exact below 16 µs, then 16 per power of two.
func latencyStep(us uint64) int {
	if us < 16 {
		return int(us)
	}
	power := bits.Len64(us) - 5 // us>>power is in 16 … 31
	return min(power*16+int(us>>power), len(Latency{}.counts)-1)
}

// Quantile is the time within which the share q (0 … 1) was answered.
func (l *Latency) Quantile(q float64) time.Duration {
	rest := int(q * float64(l.total))
	for step, n := range l.counts {
		if rest -= int(n); rest < 0 {
			if step < 32 {
				return time.Duration(step) * time.Microsecond
			}
			power := step/16 - 1
			return time.Duration((step%16+16)<<power) * time.Microsecond
		}
	}
	return l.Max
}

// Count of waiting times.
func (l *Latency) Count() int { return l.total }

func (l *Latency) String() string {
	return fmt.Sprintf("median %s, 99 %% %s, max %s",
		short(l.Quantile(0.5)), short(l.Quantile(0.99)), short(l.Max))
}

func short(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}
