package wire

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/rota-cluster/rota/internal/ownership"
)

// A set of buckets is written as a form (1 byte) and then
//
//	formBitmap  its bits, bucket 0 the lowest of the first byte, without the zero bytes at the end
//	formRuns    pairs of uvarints: how many buckets are not in the set, then how many are (at least 1)
//
// whichever is shorter: a node alone owns everything in one run, one of many
// owns few. The empty set is left out.
const (
	formBitmap = 1
	formRuns   = 2
)

// maxBuckets bounds a set: buckets are 0 … 65535.
const maxBuckets = 65536

var errBuckets = errors.New("a set of buckets is malformed")

// appendBuckets writes a set's field; m holds no bucket beyond maxBuckets.
func appendBuckets(b []byte, tag byte, m ownership.Bitmap) []byte {
	for len(m) > 0 && m[len(m)-1] == 0 {
		m = m[:len(m)-1]
	}
	if len(m) == 0 {
		return b
	}
	b, start := open(b, tag)
	bitmapBytes := 8*len(m) - bits.LeadingZeros64(m[len(m)-1])/8
	if 2*countRuns(m) < bitmapBytes { // a run takes at least two bytes
		b = append(b, formRuns)
		b = appendRuns(b, m)
		if len(b)-start-1 <= bitmapBytes {
			return closeAt(b, start)
		}
		b = b[:start]
	}
	b = append(b, formBitmap)
	for _, w := range m {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return closeAt(b[:start+1+bitmapBytes], start)
}

// countRuns counts the buckets that are in the set and whose predecessor is not.
func countRuns(m ownership.Bitmap) int {
	n, carry := 0, uint64(0)
	for _, w := range m {
		n += bits.OnesCount64(w &^ (w<<1 | carry))
		carry = w >> 63
	}
	return n
}

func appendRuns(b []byte, m ownership.Bitmap) []byte {
	end := 64 * len(m)
	for at := 0; at < end; {
		first := nextBit(m, at, 0)
		if first == end {
			break
		}
		last := nextBit(m, first, ^uint64(0))
		b = binary.AppendUvarint(b, uint64(first-at))
		b = binary.AppendUvarint(b, uint64(last-first))
		at = last
	}
	return b
}

// nextBit is the first bucket from at on that is in the set (flip 0) or is not
// (flip all ones), or the end of the room.
func nextBit(m ownership.Bitmap, at int, flip uint64) int {
	for i := at / 64; i < len(m); i++ {
		w := m[i] ^ flip
		if i == at/64 {
			w &= ^uint64(0) << (at % 64)
		}
		if w != 0 {
			return 64*i + bits.TrailingZeros64(w)
		}
	}
	return 64 * len(m)
}

// readBuckets reads what appendBuckets wrote.
func readBuckets(value []byte) (ownership.Bitmap, error) {
	if len(value) == 0 {
		return nil, errBuckets
	}
	switch value[0] {
	case formBitmap:
		return readBitmap(value[1:])
	case formRuns:
		return readRuns(value[1:])
	}
	return nil, errBuckets
}

func readBitmap(raw []byte) (ownership.Bitmap, error) {
	if len(raw) == 0 || len(raw) > maxBuckets/8 || raw[len(raw)-1] == 0 {
		return nil, errBuckets
	}
	m := make(ownership.Bitmap, (len(raw)+7)/8)
	for i := range m {
		if len(raw) >= 8 {
			m[i] = binary.LittleEndian.Uint64(raw)
			raw = raw[8:]
			continue
		}
		var last [8]byte
		copy(last[:], raw)
		m[i] = binary.LittleEndian.Uint64(last[:])
	}
	return m, nil
}

// readRuns reads the runs twice: to know the room, then to fill it.
func readRuns(runs []byte) (ownership.Bitmap, error) {
	end, err := walkRuns(runs, nil)
	if err != nil {
		return nil, err
	}
	m := ownership.NewBitmap(uint32(end))
	_, err = walkRuns(runs, m)
	return m, err
}

// walkRuns sets the runs' buckets in m, unless it is nil, and returns their end.
func walkRuns(runs []byte, m ownership.Bitmap) (end uint64, err error) {
	if len(runs) == 0 {
		return 0, errBuckets
	}
	for len(runs) > 0 {
		gap, n := binary.Uvarint(runs)
		if n <= 0 || gap > maxBuckets || end > 0 && gap == 0 {
			return 0, errBuckets
		}
		length, k := binary.Uvarint(runs[n:])
		if k <= 0 || length == 0 || length > maxBuckets || end+gap+length > maxBuckets {
			return 0, errBuckets
		}
		if m != nil {
			setRun(m, int(end+gap), int(end+gap+length))
		}
		end += gap + length
		runs = runs[n+k:]
	}
	return end, nil
}

// setRun puts the buckets from first up to, not including, end into the set.
func setRun(m ownership.Bitmap, first, end int) {
	for i := first / 64; i*64 < end; i++ {
		w := ^uint64(0)
		if low := first - 64*i; low > 0 {
			w <<= low
		}
		if high := end - 64*i; high < 64 {
			w &= 1<<high - 1
		}
		m[i] |= w
	}
}
