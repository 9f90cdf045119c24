package check

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
)

// serveAt makes this test's program a web server, so that what it costs is not
// counted as the checks'.
const serveAt = "ROTA_CHECK_SERVE"

func serve(address string) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, l.Addr())
	go func() { // it ends with the test
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	err = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	fmt.Fprintln(os.Stderr, err)
}

func otherProcess(tb testing.TB) string {
	tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveAt+"=127.0.0.1:0")
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // it ends when its input does
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		tb.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// cost runs n HTTP checks for a while and returns the part of a core that they take.
func cost(tb testing.TB, n int, interval, lasts time.Duration) (core float64, runs int) {
	tb.Helper()
	address := otherProcess(tb)
	var checks []config.Check
	for i := range n {
		c := of("http", "http://"+address+"/"+strconv.Itoa(i))
		c.Interval, c.Timeout = interval, 300*time.Millisecond
		checks = append(checks, c)
	}
	var done, bad atomic.Int64
	var last atomic.Value
	r, err := New(checks, env, func(r Report) {
		done.Add(1)
		if r.Level != health.OK {
			bad.Add(1)
			last.Store(r.Text)
		}
	})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), lasts)
	defer cancel()
	before := used(tb)
	r.Run(ctx)
	core = (used(tb) - before).Seconds() / lasts.Seconds()
	if bad.Load() > done.Load()/100 {
		tb.Errorf("%d of %d failed, e.g. %v", bad.Load(), done.Load(), last.Load())
	}
	return core, int(done.Load())
}

// used is the time that this process has had a core, its own and the kernel's for it.
func used(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkCost(b *testing.B) {
	for _, interval := range []time.Duration{5 * time.Second, 500 * time.Millisecond} {
		b.Run(fmt.Sprintf("500every%s", interval), func(b *testing.B) {
			for b.Loop() {
				core, runs := cost(b, 500, interval, 2*max(interval, 2*time.Second))
				b.ReportMetric(100*core, "%core")
				b.ReportMetric(float64(runs), "probes")
			}
		})
	}
}

func TestCost(t *testing.T) {
	core, runs := cost(t, 500, 500*time.Millisecond, 3*time.Second)
	t.Logf("%.1f %% of a core, %d probes", 100*core, runs)
	if core > 0.5 || runs < 2500 {
		t.Errorf("500 checks every 500 ms take %.0f %% of a core and ran %d times in 3 s; want at most 50 %% and 2500 or more", 100*core, runs)
	}
	if n := timeWaits(t); n > 500 {
		t.Errorf("%d connections in TIME_WAIT", n)
	}
}

// timeWaits counts the host's connections in that state, of which a few are others'.
func timeWaits(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text))
	for i, f := range fields {
		if f == "tw" {
			n, err := strconv.Atoi(fields[i+1])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no tw in %s", text)
	return 0
}
