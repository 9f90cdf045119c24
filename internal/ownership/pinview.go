package ownership

import (
	"iter"
	"math/bits"
	"slices"
)

// What pins take in a beat. They stand in the view, which every beat carries,
// as a set of buckets per pool and node; and what is said about buckets, with
// versions, is told in pieces while some peer does not know it yet.
const (
	// pinsPerBeat is how much of it a beat tells, one order at least.
	pinsPerBeat = 8 << 10
	// PinRoom is how many bytes the pins of a view may take. The rest of a beat's
	// room is for all else that a beat may have to tell (package wire, TestTheLongestNamesFit).
	PinRoom = 28 << 10
)

// bytes is the most that an order takes in a beat.
func (o *PinOrder) bytes() int {
	names := len(o.Pool) + len(o.Node) + len(o.Version.Writer.Name) + len(o.Over.Writer.Name)
	return 64 + names + setBytes(o.Buckets)
}

// setBytes is the most that an ascending set of buckets takes in a beat: as a
// bitmap, or as two numbers for each run, of seven bits to the byte.
func setBytes(buckets []uint32) int {
	const overhead = 8
	bytes, end := 0, uint32(0)
	for first, last := range runs(buckets) {
		bytes += sevens(first-end) + sevens(last+1-first)
		end = last + 1
	}
	return overhead + min(bytes, int(end+7)/8)
}

// runs are the ranges of an ascending set: first and last of each.
func runs(buckets []uint32) iter.Seq2[uint32, uint32] {
	return func(yield func(first, last uint32) bool) {
		for i, first := 0, 0; i < len(buckets); i++ {
			if i+1 < len(buckets) && buckets[i+1] == buckets[i]+1 {
				continue
			}
			if !yield(buckets[first], buckets[i]) {
				return
			}
			first = i + 1
		}
	}
}

// sevens is how many groups of seven bits a number takes.
func sevens(v uint32) int { return max(1, (bits.Len32(v)+6)/7) }

// pinKey is a node in a pool.
type pinKey struct {
	pool string
	node string
}

// poolPins is a pool as a view has it, and how many buckets it has.
type poolPins struct {
	name    string
	buckets uint32
}

// forView are the pins as a view of these pools has them, sorted by pool and bucket. Of more
// than there is room for the oldest orders are left out, and their buckets counted.
func (s *pinSet) forView(pools []poolPins) (pins []Pin, left int) {
	leftOut := map[PinVersion]bool{}
	if !s.fitsView(pools, leftOut) {
		// The newest that fit, found by halving.
		fit, most := 0, len(s.orders)
		for fit+1 < most {
			half := (fit + most) / 2
			if s.fitsView(pools, versions(s.orders[half:])) {
				fit = half
			} else {
				most = half
			}
		}
		leftOut = versions(s.orders[fit:])
	}
	for i, p := range pools {
		for b, w := range s.words[p.name] {
			switch {
			case w == nil || w.node == "" || uint32(b) >= p.buckets:
			case leftOut[w.version]:
				left++
			default:
				pins = append(pins, Pin{Pool: uint16(i), Bucket: uint32(b), Node: w.node})
			}
		}
	}
	return pins, left
}

func versions(orders []PinOrder) map[PinVersion]bool {
	set := make(map[PinVersion]bool, len(orders))
	for i := range orders {
		set[orders[i].Version] = true
	}
	return set
}

// fitsView tells whether a view has room for the pins.
func (s *pinSet) fitsView(pools []poolPins, leftOut map[PinVersion]bool) bool {
	sets, count := map[pinKey][]uint32{}, 0
	for _, p := range pools {
		for b, w := range s.words[p.name] {
			if w != nil && w.node != "" && uint32(b) < p.buckets && !leftOut[w.version] {
				k := pinKey{p.name, w.node}
				sets[k] = append(sets[k], uint32(b))
				count++
			}
		}
	}
	total := 0
	for k, set := range sets {
		total += 8 + len(k.node) + setBytes(set)
	}
	return total <= PinRoom && count <= MaxPinBuckets
}

// tell takes the next piece of the orders, beginning with the newest after each change.
func (s *pinSet) tell() []PinOrder {
	if s.told >= len(s.orders) {
		s.told = 0
	}
	first, room := s.told, pinsPerBeat
	for s.told < len(s.orders) {
		need := s.orders[s.told].bytes()
		if need > room && s.told > first {
			break
		}
		room -= need
		s.told++
	}
	return slices.Clip(s.orders[first:s.told])
}
