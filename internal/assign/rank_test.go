package assign

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestMinusLog2(t *testing.T) {
	worst := 0.0
	before := uint64(math.MaxUint64)
	for _, x := range ladder() {
		got := minusLog2(x)
		if got > before {
			t.Fatalf("rises at %#x", x)
		}
		before = got
		want := 64 - math.Log2(float64(max(x, 1)))
		worst = max(worst, math.Abs(float64(got)/(1<<32)-want))
	}
	if worst > 3e-6 {
		t.Errorf("off by up to %g", worst)
	}
	if most, least := minusLog2(0), minusLog2(math.MaxUint64); most != 1<<38 || least == 0 || least > 1<<20 {
		t.Errorf("from %d to %d", least, most)
	}
}

// ladder rises from 0 to the greatest number, in small steps near both ends.
func ladder() []uint64 {
	var steps []uint64
	for x := uint64(0); x < 1000; x++ {
		steps = append(steps, x)
	}
	for x := uint64(1000); x < 1<<63; x += x/997 + 1 {
		steps = append(steps, x)
	}
	for x := uint64(1) << 32; x > 0; x /= 2 {
		steps = append(steps, math.MaxUint64-x+1)
	}
	return append(steps, math.MaxUint64)
}

// What first leaves out changes nothing.
func TestFirstIsTheLeastRank(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 300 {
		_, nodes, _ := randomCase(r)
		candidates := newCandidates("web", nodes)
		for range 100 {
			bucket := r.Uint32()
			want, least := 0, uint64(math.MaxUint64)
			for i, c := range candidates {
				if rank := minusLog2(mix(c.seed+(uint64(bucket)+1)*0x9e3779b97f4a7c15)) * c.inverse; rank < least {
					want, least = i, rank
				}
			}
			if got := first(candidates, bucket); got != want {
				t.Fatalf("%v: bucket %d goes to candidate %d, ranks %d least", nodes, bucket, got, want)
			}
		}
	}
}

// Ranks alone, without quotas, come first in proportion to the weights: that
// is what keeps movement small when a weight changes.
func TestRanksFollowWeights(t *testing.T) {
	nodes := []Node{{"a", 1}, {"b", 10}, {"c", 100}, {"d", 1000}, {"e", 889}}
	candidates := newCandidates("web", nodes)
	const tries = 1 << 20
	var count [5]int
	for i := range uint32(tries) {
		count[first(candidates, i)]++
	}
	for i, n := range nodes {
		want := float64(n.Weight) / 2000 * tries
		if off := math.Abs(float64(count[i]) - want); off > 5*math.Sqrt(want) {
			t.Errorf("%s is ranked first %d times, want %.0f", n.Name, count[i], want)
		}
	}
}
