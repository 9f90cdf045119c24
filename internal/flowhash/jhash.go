package flowhash

import "math/bits"

// jhashInitial is JHASH_INITVAL of include/linux/jhash.h.
const jhashInitial = 0xdeadbeef

// jhash2 is the kernel's jhash2, and its jhash_1word, _2words and _3words for
// as many words: lookup3's hashword (Bob Jenkins, 2006, public domain).
func jhash2(words []uint32, seed uint32) uint32 {
	a := Start(len(words), seed)
	b, c := a, a
	for len(words) > 3 {
		a, b, c = mix(a+words[0], b+words[1], c+words[2])
		words = words[3:]
	}
	switch len(words) {
	case 3:
		c += words[2]
		fallthrough
	case 2:
		b += words[1]
		fallthrough
	case 1:
		return final(a+words[0], b, c)
	}
	return c
}

// Start is where the hash of so many words begins: further words of 0 change
// nothing, up to the next multiple of three.
func Start(words int, seed uint32) uint32 { return jhashInitial + uint32(words)<<2 + seed }

// mix stirs three words reversibly: lookup3's mix().
func mix(a, b, c uint32) (uint32, uint32, uint32) {
	a, c = (a-c)^bits.RotateLeft32(c, 4), c+b
	b, a = (b-a)^bits.RotateLeft32(a, 6), a+c
	c, b = (c-b)^bits.RotateLeft32(b, 8), b+a
	a, c = (a-c)^bits.RotateLeft32(c, 16), c+b
	b, a = (b-a)^bits.RotateLeft32(a, 19), a+c
	c, b = (c-b)^bits.RotateLeft32(b, 4), b+a
	return a, b, c
}

// final condenses three words into one: lookup3's final().
func final(a, b, c uint32) uint32 {
	c = (c ^ b) - bits.RotateLeft32(b, 14)
	a = (a ^ c) - bits.RotateLeft32(c, 11)
	b = (b ^ a) - bits.RotateLeft32(a, 25)
	c = (c ^ b) - bits.RotateLeft32(b, 16)
	a = (a ^ c) - bits.RotateLeft32(c, 4)
	b = (b ^ a) - bits.RotateLeft32(a, 14)
	return (c ^ b) - bits.RotateLeft32(b, 24)
}
