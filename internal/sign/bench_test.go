package sign

import (
	"context"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/config"
)

// BenchmarkCost is what it takes of a core to look at all signs of this host at their intervals.
func BenchmarkCost(b *testing.B) {
	const lasts = 10 * time.Second
	env := Env{Roots: HostRoots(), Now: time.Now, Interface: "lo"}
	for b.Loop() {
		ctx, cancel := context.WithCancel(b.Context())
		var looking sync.WaitGroup
		looking.Go(func() { New(new(config.Config).SignsInForce(), env, func(Report) {}).Run(ctx) })
		time.Sleep(time.Second) // the first look reads all that the kernel has kept of its log
		before := used(b)
		time.Sleep(lasts)
		b.ReportMetric(100*(used(b)-before).Seconds()/lasts.Seconds(), "%core")
		cancel()
		looking.Wait()
	}
	b.ReportMetric(0, "ns/op")
}

// used is the time that this process has had a core, its own and the kernel's for it.
func used(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
