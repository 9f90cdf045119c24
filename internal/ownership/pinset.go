package ownership

import (
	"cmp"
	"slices"
)

// PinVersion orders what was ordered about one bucket: the latest writer wins.
// Its zero value is older than every other.
type PinVersion struct {
	// Counter is one more than any that the writer had seen (Lamport 1978): who
	// has seen another's word comes after it, whatever their clocks say.
	Counter uint64
	Writer  Ref
}

// Compare orders versions: by counter, then writer's name, then its incarnation.
func (a PinVersion) Compare(b PinVersion) int {
	return cmp.Or(
		cmp.Compare(a.Counter, b.Counter),
		cmp.Compare(a.Writer.Name, b.Writer.Name),
		cmp.Compare(a.Writer.Incarnation, b.Writer.Incarnation),
	)
}

// MaxPinCounter bounds PinVersion.Counter, so that there is always one more.
const MaxPinCounter = 1 << 62

// PinOrder is an operator's standing word about some buckets of a pool. It is
// kept, and travels, by the pool's name, whoever has such a pool. It is
// immutable once made.
type PinOrder struct {
	Pool string
	Node string // that the buckets belong to; "": to nobody in particular, the pin was taken off
	// Version tells it from others about the same bucket.
	Version PinVersion
	// Over is the version that it replaced where it was given. What lies between
	// the two, its writer had not seen: of two such orders one is lost.
	Over    PinVersion
	At      int64    // Unix time in milliseconds, by the writer's clock: for people
	Buckets []uint32 // ascending
}

// LostPins are buckets about which two operators said different things, neither
// knowing of the other. It is remembered until somebody speaks about them again.
type LostPins struct {
	Lost, Won PinOrder // of the same buckets
}

// pinSet is everything that operators have said about buckets, the newest word
// for each; pins that were taken off are words too, so that they stay off.
// Merging is commutative, associative and idempotent.
type pinSet struct {
	words   map[string][]*pinWord // per pool: bucket → the newest word, nil if there is none
	counter uint64                // the highest seen

	// Made from words when they have changed.
	orders []PinOrder // newest first
	digest uint64     // of all words; 0 if there are none
	told   int        // how many of the orders the last beats have told

	lost []LostPins // oldest first
}

// pinWord is a PinOrder as one of its buckets sees it.
type pinWord struct {
	node          string
	version, over PinVersion
	at            int64
}

const (
	// maxPinPools bounds the pools that are remembered: those that this node has
	// and those of earlier days.
	maxPinPools = 2 * MaxPools
	// maxLost bounds the lost pins that are remembered.
	maxLost = 64
	// MaxPinBuckets is one more than the highest bucket that can be pinned.
	MaxPinBuckets = 65536
)

func newPinSet(orders []PinOrder) *pinSet {
	s := &pinSet{words: map[string][]*pinWord{}}
	for i := range orders {
		s.merge(&orders[i])
	}
	s.lost = nil
	s.arrange()
	return s
}

// merge takes in an order and tells whether it says anything new, and what was
// lost by it. Who calls it calls arrange in the end.
func (s *pinSet) merge(o *PinOrder) (news bool, lost []LostPins) {
	words := s.words[o.Pool]
	if len(o.Buckets) == 0 || words == nil && len(s.words) >= maxPinPools || o.Version.Counter > MaxPinCounter {
		return false, nil
	}
	s.counter = max(s.counter, o.Version.Counter)
	said := &pinWord{node: o.Node, version: o.Version, over: o.Over, at: o.At}
	if last := int(o.Buckets[len(o.Buckets)-1]); last >= len(words) {
		words = append(words, make([]*pinWord, last+1-len(words))...)
		s.words[o.Pool] = words
	}
	lost = clashes(words, said, o)
	var replaced []uint32
	for _, b := range o.Buckets {
		known := words[b]
		if known != nil && known.version.Compare(said.version) >= 0 {
			continue
		}
		if known != nil && len(s.lost) > 0 {
			replaced = append(replaced, b)
		}
		words[b], news = said, true
	}
	s.settle(o.Pool, replaced)
	return news, s.remember(lost)
}

// clashes are what an order and the words that are known say differently, where
// the writer of the later did not know of the earlier.
func clashes(words []*pinWord, said *pinWord, o *PinOrder) (lost []LostPins) {
	place := map[*pinWord]int{}
	for _, b := range o.Buckets {
		known := words[b]
		if known == nil || known.node == said.node || known.version == said.version {
			continue
		}
		loser, winner := known, said
		if known.version.Compare(said.version) > 0 {
			loser, winner = said, known
		}
		if winner.over.Compare(loser.version) >= 0 {
			continue
		}
		i, ok := place[known]
		if !ok {
			i = len(lost)
			place[known], lost = i, append(lost, LostPins{Lost: loser.order(o.Pool), Won: winner.order(o.Pool)})
		}
		lost[i].Lost.Buckets = append(lost[i].Lost.Buckets, b)
		lost[i].Won.Buckets = lost[i].Lost.Buckets
	}
	return lost
}

// remember keeps what was lost, and returns what of it was not known yet.
func (s *pinSet) remember(lost []LostPins) (fresh []LostPins) {
	for _, l := range lost {
		i := slices.IndexFunc(s.lost, func(o LostPins) bool {
			return o.Lost.Pool == l.Lost.Pool && o.Lost.Version == l.Lost.Version && o.Won.Version == l.Won.Version
		})
		if i < 0 {
			if len(s.lost) == maxLost {
				s.lost = s.lost[1:]
			}
			s.lost, fresh = append(s.lost, l), append(fresh, l)
			continue
		}
		known := s.lost[i].Lost.Buckets
		l.Lost.Buckets = slices.DeleteFunc(l.Lost.Buckets, func(b uint32) bool {
			_, is := slices.BinarySearch(known, b)
			return is
		})
		if l.Won.Buckets = l.Lost.Buckets; len(l.Lost.Buckets) == 0 {
			continue
		}
		all := slices.Concat(known, l.Lost.Buckets)
		slices.Sort(all)
		s.lost[i].Lost.Buckets, s.lost[i].Won.Buckets, fresh = all, all, append(fresh, l)
	}
	return fresh
}

// settle forgets what was lost of buckets about which somebody speaks again.
func (s *pinSet) settle(pool string, buckets []uint32) {
	if len(buckets) == 0 {
		return
	}
	for i := range s.lost {
		l := &s.lost[i]
		if l.Lost.Pool != pool {
			continue
		}
		// Its own copy: those handed out before stay as they are.
		left := slices.DeleteFunc(slices.Clone(l.Lost.Buckets), func(b uint32) bool {
			_, again := slices.BinarySearch(buckets, b)
			return again
		})
		l.Lost.Buckets, l.Won.Buckets = left, left
	}
	s.lost = slices.DeleteFunc(s.lost, func(l LostPins) bool { return len(l.Lost.Buckets) == 0 })
}

func (w *pinWord) order(pool string) PinOrder {
	return PinOrder{Pool: pool, Node: w.node, Version: w.version, Over: w.over, At: w.at}
}

// arrange makes the orders from the words, newest first.
func (s *pinSet) arrange() {
	place := map[*pinWord]*PinOrder{}
	var orders []*PinOrder
	for pool, words := range s.words {
		for b, w := range words {
			if w == nil {
				continue
			}
			o := place[w]
			if o == nil {
				made := w.order(pool)
				o = &made
				place[w], orders = o, append(orders, o)
			}
			o.Buckets = append(o.Buckets, uint32(b))
		}
	}
	slices.SortFunc(orders, func(a, b *PinOrder) int {
		return cmp.Or(b.Version.Compare(a.Version), cmp.Compare(a.Pool, b.Pool), a.Over.Compare(b.Over), cmp.Compare(a.Buckets[0], b.Buckets[0]))
	})
	s.orders, s.digest, s.told = make([]PinOrder, 0, len(orders)), 0, 0
	for _, o := range orders {
		s.digest += o.digest()
		s.orders = append(s.orders, *o)
	}
}

// digest is a sum over the buckets, so that it does not matter in which pieces
// an order came. Two nodes that know the same have the same digest; to make two
// sets of one digest is in the power of nobody without the key.
func (o *PinOrder) digest() (sum uint64) {
	h := uint64(14695981039346656037) // FNV-1a
	mix := func(v uint64) {
		for range 8 {
			h = (h ^ v&0xff) * 1099511628211
			v >>= 8
		}
	}
	text := func(s string) {
		mix(uint64(len(s)))
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
	}
	text(o.Pool)
	text(o.Node)
	text(o.Version.Writer.Name)
	mix(o.Version.Writer.Incarnation)
	mix(o.Version.Counter)
	for _, b := range o.Buckets {
		sum += finalise(h + uint64(b)*0x9e3779b97f4a7c15)
	}
	return sum
}

// finalise is that of splitmix64 (Steele et al. 2014).
func finalise(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// give makes the orders by which some buckets of a pool are said to belong to a
// node: one, or one for each version that it replaces.
func (s *pinSet) give(self Ref, pool, node string, buckets []uint32, at int64) []PinOrder {
	version := PinVersion{Counter: s.counter + 1, Writer: self}
	var orders []PinOrder
	place := map[PinVersion]int{}
	for _, b := range buckets {
		var over PinVersion
		if w := s.word(pool, b); w != nil {
			over = w.version
		}
		i, ok := place[over]
		if !ok {
			i = len(orders)
			place[over], orders = i, append(orders, PinOrder{Pool: pool, Node: node, Version: version, Over: over, At: at})
		}
		orders[i].Buckets = append(orders[i].Buckets, b)
	}
	return orders
}

// word is the newest about a bucket, nil if nobody has said anything.
func (s *pinSet) word(pool string, bucket uint32) *pinWord {
	if words := s.words[pool]; int(bucket) < len(words) {
		return words[bucket]
	}
	return nil
}

// pinnedTo is the node that a bucket is pinned to, "" for none.
func (s *pinSet) pinnedTo(pool string, bucket uint32) string {
	if w := s.word(pool, bucket); w != nil {
		return w.node
	}
	return ""
}

// clone is a copy to try something on.
func (s *pinSet) clone() *pinSet {
	c := &pinSet{words: make(map[string][]*pinWord, len(s.words)), counter: s.counter}
	for pool, words := range s.words {
		c.words[pool] = slices.Clone(words)
	}
	return c
}
