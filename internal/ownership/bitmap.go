package ownership

import "math/bits"

// Bitmap is a set of buckets. Its zero value is the empty set; bits beyond
// its length are not in the set.
type Bitmap []uint64

// NewBitmap makes an empty set with room for n buckets.
func NewBitmap(n uint32) Bitmap { return make(Bitmap, (n+63)/64) }

// Has tells whether bucket b is in the set.
func (m Bitmap) Has(b uint32) bool {
	i := int(b >> 6)
	return i < len(m) && m[i]&(1<<(b&63)) != 0
}

// Set puts bucket b, which must be within the room, into the set.
func (m Bitmap) Set(b uint32) { m[b>>6] |= 1 << (b & 63) }

// Clear takes bucket b out of the set.
func (m Bitmap) Clear(b uint32) {
	if i := int(b >> 6); i < len(m) {
		m[i] &^= 1 << (b & 63)
	}
}

// Count is the number of buckets in the set.
func (m Bitmap) Count() int {
	n := 0
	for _, w := range m {
		n += bits.OnesCount64(w)
	}
	return n
}

// Empty tells whether nothing is in the set.
func (m Bitmap) Empty() bool {
	for _, w := range m {
		if w != 0 {
			return false
		}
	}
	return true
}

// Clone copies the set.
func (m Bitmap) Clone() Bitmap { return append(Bitmap(nil), m...) }

// Equal tells whether both sets hold the same buckets, whatever their room.
func (m Bitmap) Equal(o Bitmap) bool {
	long, short := m, o
	if len(o) > len(m) {
		long, short = o, m
	}
	for i, w := range long {
		if i < len(short) && w != short[i] || i >= len(short) && w != 0 {
			return false
		}
	}
	return true
}

// overlaps tells whether some bucket is in both.
func (m Bitmap) overlaps(o Bitmap) bool {
	for w := range min(len(m), len(o)) {
		if m[w]&o[w] != 0 {
			return true
		}
	}
	return false
}
