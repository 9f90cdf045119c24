package assign

import "math/bits"

// first is the position of the candidate that the bucket ranks best. Of equal
// ranks the first candidate wins.
func first(open []candidate, bucket uint32) int {
	best, least := 0, ^uint64(0)
	bestX, bestInverse := uint64(0), ^uint64(0)
	step := (uint64(bucket) + 1) * 0x9e3779b97f4a7c15
	for i := range open {
		x, inverse := mix(open[i].seed+step), open[i].inverse
		if x <= bestX && inverse >= bestInverse {
			continue // a rank falls as x rises: no need for the logarithm, which is most of the work
		}
		if rank := minusLog2(x) * inverse; rank < least {
			best, least, bestX, bestInverse = i, rank, x, inverse
		}
	}
	return best
}

// mix is the finaliser of splitmix64 (Sebastiano Vigna, 2015, public domain):
// every bit of x changes every bit of the result half of the time.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// log2 holds log2(1 + i/256) in 32 fractional bits.
var log2 = findLog2()

// findLog2 finds the logarithms bit by bit: squaring a number doubles its
// logarithm, and the number passing 2 is the next bit. About 10 µs.
func findLog2() (table [257]uint64) {
	for i := range 256 {
		x := uint64(256+i) << 23 // 1 ≤ x < 2 in 31 fractional bits
		for bit := 31; bit >= 0; bit-- {
			if x = x * x >> 31; x >= 1<<32 {
				x >>= 1
				table[i] |= 1 << bit
			}
		}
	}
	table[256] = 1 << 32
	return table
}

// minusLog2 is −log2(x ÷ 2^64) in 32 fractional bits, 0 … 2^38; 0 counts as 1.
// Times a candidate's inverse, at most 2^25, it stays below 2^64.
func minusLog2(x uint64) uint64 {
	x = max(x, 1)
	zeros := bits.LeadingZeros64(x)
	mantissa := x << zeros << 1 // the digits after the leading one
	i, between := mantissa>>56, mantissa<<8>>40
	fraction := log2[i] + (log2[i+1]-log2[i])*between>>24
	return uint64(zeros+1)<<32 - fraction
}
