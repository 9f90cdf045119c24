package assign

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// candidate is a node while a table is made.
type candidate struct {
	seed    uint64 // of the ranks that buckets give to this node
	inverse uint64 // 2^25 ÷ weight
	weight  uint64 // 0 … MaxWeight
	quota   uint32 // buckets in all, pins included
	pinned  uint32 // of them pinned
	index   int16  // in the caller's list
}

// room is how many buckets the candidate may still take.
func (c *candidate) room() uint32 { return c.quota - c.pinned }

func newCandidates(pool string, nodes []Node) []candidate {
	candidates := make([]candidate, len(nodes))
	idle := !slices.ContainsFunc(nodes, func(n Node) bool { return n.Weight > 0 })
	poolSum := sha256.Sum256([]byte("rota assign 1 " + pool))
	text := make([]byte, 0, 128)
	for i, n := range nodes {
		weight := uint64(min(n.Weight, MaxWeight))
		if idle {
			weight = 1
		}
		text = append(append(text[:0], poolSum[:]...), n.Name...)
		sum := sha256.Sum256(text)
		candidates[i] = candidate{
			seed:    binary.BigEndian.Uint64(sum[:]),
			inverse: 1 << 25 / max(weight, 1),
			weight:  weight,
			index:   int16(i),
		}
	}
	return candidates
}

// setQuotas shares the buckets by weight. A node with more pins than its share
// keeps them and leaves the sharing, which makes the others' shares smaller and
// may show another such node: hence the loop, at most once per node.
func setQuotas(candidates []candidate, buckets uint32) {
	sharing := make([]*candidate, 0, len(candidates))
	for i := range candidates {
		if candidates[i].weight > 0 {
			sharing = append(sharing, &candidates[i])
		}
	}
	for before := -1; len(sharing) != before; {
		before = len(sharing)
		share(sharing, buckets)
		sharing = slices.DeleteFunc(sharing, func(c *candidate) bool {
			if c.pinned <= c.quota {
				return false
			}
			c.quota = c.pinned
			buckets -= c.pinned
			return true
		})
	}
}

// share sets the quotas by largest remainder. Of equal remainders the order of
// the seeds decides, so that not the same node comes first in every pool.
func share(sharing []*candidate, buckets uint32) {
	var total uint64
	for _, c := range sharing {
		total += c.weight
	}
	left := buckets
	for _, c := range sharing {
		c.quota = uint32(uint64(buckets) * c.weight / total)
		left -= c.quota
	}
	remainder := func(c *candidate) uint64 { return uint64(buckets) * c.weight % total }
	slices.SortFunc(sharing, func(a, b *candidate) int {
		return cmp.Or(cmp.Compare(remainder(b), remainder(a)), cmp.Compare(a.seed, b.seed), cmp.Compare(a.index, b.index))
	})
	for _, c := range sharing[:left] {
		c.quota++
	}
}
