package assign

import (
	"fmt"
	"testing"
)

func BenchmarkTable(b *testing.B) {
	for _, size := range []struct {
		nodes   int
		buckets uint32
	}{{3, 4096}, {64, 4096}, {64, 65536}} {
		nodes := equal(size.nodes, 0)
		b.Run(fmt.Sprintf("nodes=%d/buckets=%d", size.nodes, size.buckets), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Table("web", size.buckets, nodes, nil)
			}
		})
	}
}
