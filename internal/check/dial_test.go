package check

import (
	"context"
	"net"
	"os"
	"runtime"
	"testing"
	"time"
)

// A name server that does not answer costs a check nothing once its time is over.
func TestALookupEndsWithItsProbe(t *testing.T) {
	count := func() (int, int) {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries), runtime.NumGoroutine()
	}
	lookup := func(server, name string, within time.Duration) ([]net.IPAddr, error) {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		r := resolver(ctx)
		ask := r.Dial
		r.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) { return ask(ctx, network, server) }
		return r.LookupIPAddr(ctx, name) // as a Dialer does
	}
	if found, err := lookup(nameServer(t), "ok.test.", 10*time.Second); err != nil || len(found) != 1 || found[0].String() != "192.0.2.1" {
		t.Errorf("one that answers: %v, %v", found, err)
	}
	mute := silentUDP(t)
	look := func() {
		if found, err := lookup(mute, "name.example.", 20*time.Millisecond); err == nil {
			t.Fatalf("found %v", found)
		}
	}
	look()
	files, routines := settled(count)
	began := time.Now()
	for range 20 {
		look()
	}
	for {
		f, g := count()
		if f <= files && g <= routines {
			return
		}
		if time.Since(began) > 3*time.Second { // a resolver by itself takes 5 s for each attempt
			t.Fatalf("%d descriptors and %d goroutines, before %d and %d", f, g, files, routines)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
