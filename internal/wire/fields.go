package wire

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// A message is a row of fields; a field is a tag (1 … 255), a length (uvarint)
// and a value: an unsigned integer in 0 to 8 big-endian bytes, text, a set of
// buckets or a message. A field that is zero is left out. A reader passes over
// tags that it does not know: that is how fields are added without a new
// Version. A tag is never given a second meaning.

var (
	errField = errors.New("a field is cut off")
	errTag   = errors.New("a field has tag 0")
	errUint  = errors.New("an integer is out of range")
)

// appendUint writes an integer field.
func appendUint(b []byte, tag byte, v uint64) []byte {
	if v == 0 {
		return b
	}
	n := (bits.Len64(v) + 7) / 8
	b = append(b, tag, byte(n))
	var be [8]byte
	binary.BigEndian.PutUint64(be[:], v)
	return append(b, be[8-n:]...)
}

// appendText writes a text field.
func appendText(b []byte, tag byte, s string) []byte {
	if s == "" {
		return b
	}
	b = append(b, tag)
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// open starts a field whose length is known when close is called with what
// open returned.
func open(b []byte, tag byte) ([]byte, int) {
	b = append(b, tag, 0)
	return b, len(b)
}

func closeAt(b []byte, start int) []byte {
	n := len(b) - start
	if n < 0x80 {
		b[start-1] = byte(n)
		return b
	}
	var length [binary.MaxVarintLen64]byte
	size := binary.PutUvarint(length[:], uint64(n))
	b = append(b, length[:size-1]...) // room; the bytes are overwritten
	copy(b[start-1+size:], b[start:start+n])
	copy(b[start-1:], length[:size])
	return b
}

// field is one field of a message; its value is a part of the message.
type field struct {
	tag   byte
	value []byte
}

// nextField cuts the first field off a message that is not empty.
func nextField(msg []byte) (f field, rest []byte, err error) {
	n, size := binary.Uvarint(msg[1:])
	if size <= 0 || n > uint64(len(msg)-1-size) {
		return field{}, nil, errField
	}
	if msg[0] == 0 {
		return field{}, nil, errTag
	}
	start := 1 + size
	end := start + int(n)
	return field{tag: msg[0], value: msg[start:end]}, msg[end:], nil
}

// uint reads an integer of at most limit.
func (f field) uint(limit uint64) (uint64, error) {
	if len(f.value) > 8 {
		return 0, errUint
	}
	var v uint64
	for _, c := range f.value {
		v = v<<8 | uint64(c)
	}
	if v > limit {
		return 0, errUint
	}
	return v, nil
}

// count is how many fields of a message have the tag, up to limit; a message
// that is cut off is found out when it is read.
func count(msg []byte, tag byte, limit int) int {
	n := 0
	for len(msg) > 0 && n < limit {
		f, rest, err := nextField(msg)
		if err != nil {
			break
		}
		if f.tag == tag {
			n++
		}
		msg = rest
	}
	return n
}
