package check

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(serveAt); address != "" {
		serve(address)
		return
	}
	os.Exit(m.Run())
}

var env = Env{Now: time.Now, Random: rand.Float64, Start: (*exec.Cmd).Start, Log: slog.New(slog.DiscardHandler)}

// of is a check with the defaults that matter here.
func of(kind string, target ...string) config.Check {
	return config.Check{
		Name: kind, Kind: kind, Target: target, Interval: 20 * time.Millisecond, Timeout: 5 * time.Second, Rise: 1, Fall: 1,
		Status: []config.StatusRange{{First: 200, Last: 399}}, Days: 14, Type: "A",
	}
}

// probe runs a check once; one that a switchboard can hold there too, with the same result.
func probe(t *testing.T, c config.Check) Outcome {
	t.Helper()
	var alone Outcome
	r, err := New([]config.Check{c}, env, func(r Report) { alone = r.Outcome })
	if err != nil {
		t.Fatal(err)
	}
	r.Once(t.Context())
	if _, _, ok := plain(r.slots[0]); ok {
		if held := onSwitchboard(t, r.slots[0].prober.(talk), c); held != alone {
			t.Errorf("%s: on a switchboard %+v, alone %+v", c.Kind, held, alone)
		}
	}
	return alone
}

// onSwitchboard holds a talk once.
func onSwitchboard(t *testing.T, k talk, c config.Check) (out Outcome) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := &Runner{env: env, report: func(r Report) {
		out = r.Outcome
		cancel()
	}}
	b, err := newSwitchboard(r, []*slot{{config: c, prober: k}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.run(ctx); err != nil {
		t.Fatal(err)
	}
	return out
}

// expect compares level and a part of the text.
func expect(t *testing.T, got Outcome, level health.Level, part string) {
	t.Helper()
	if got.Level != level || !strings.Contains(got.Text, part) {
		t.Errorf("got %v %q, want %v with %q", got.Level, got.Text, level, part)
	}
}

// silent is an address where connections open and nobody ever answers.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// closed is an address where nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestHangingTargetCostsItsSlotOnly(t *testing.T) {
	hang := of("http", "http://"+silent(t)+"/")
	hang.Timeout = time.Hour
	quick := of("tcp", silent(t))
	var mu sync.Mutex
	var runs [2]int
	ctx, cancel := context.WithCancel(t.Context())
	r, err := New([]config.Check{hang, quick}, env, func(r Report) {
		mu.Lock()
		defer mu.Unlock()
		if runs[r.Check]++; runs[1] == 10 {
			cancel()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Run(ctx) // and it returns although one of them would wait an hour
	if runs[0] != 0 || runs[1] < 10 {
		t.Errorf("runs %v", runs)
	}
}

func TestTimeout(t *testing.T) {
	for _, kind := range []string{"http", "https", "tls", "agent", "grpc"} {
		target := silent(t)
		if kind == "http" || kind == "https" {
			target = kind + "://" + target + "/"
		}
		c := of(kind, target)
		c.Timeout = 50 * time.Millisecond
		expect(t, probe(t, c), health.Leave, "not done in time")
	}
}

func TestRefused(t *testing.T) {
	for _, kind := range []string{"tcp", "tls", "agent", "grpc"} {
		expect(t, probe(t, of(kind, closed(t))), health.Leave, "connection refused")
	}
	expect(t, probe(t, of("http", "http://"+closed(t)+"/")), health.Leave, "connection refused")
}

// A check that goes on after another Runner is not made sooner than it would have been, nor later.
func TestACheckGoesOn(t *testing.T) {
	c := of("tcp", "127.0.0.1:1")
	c.Interval = time.Minute
	at := time.Now()
	clocked := env
	clocked.Now = func() time.Time { return at }
	for _, row := range []struct {
		last        Report
		least, most time.Duration
	}{
		{Report{}, 0, maxStagger},
		{Report{At: at}, 54 * time.Second, time.Minute},
		{Report{At: at, Took: 20 * time.Second}, 34 * time.Second, 40 * time.Second},
		{Report{At: at.Add(-50 * time.Second)}, 4 * time.Second, 10 * time.Second},
		{Report{At: at.Add(-time.Hour)}, 0, maxStagger},
		{Report{At: at.Add(time.Hour)}, time.Minute, time.Minute},
	} {
		r, err := New([]config.Check{c}, clocked, func(Report) {})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Recall(0, row.last); err != nil {
			t.Fatal(err)
		}
		if got := r.stagger(r.slots[0]); got < row.least || got > row.most {
			t.Errorf("%+v: first after %v, want %v to %v", row.last, got, row.least, row.most)
		}
	}
}

// Every kind, against targets that answer, refuse and hang, again and again.
func TestNothingLeaks(t *testing.T) {
	web := newWebServer(t)
	var checks []config.Check
	for _, c := range []config.Check{
		of("http", web.plain.URL+"/"), of("http", "http://"+silent(t)+"/"), of("http", "http://"+closed(t)+"/"),
		web.trusted(of("https", web.secure.URL+"/")), of("https", "https://"+silent(t)+"/"),
		of("tcp", web.address()), of("tcp", full(t)), of("tls", silent(t)), of("grpc", silent(t)), of("grpc", web.grpc()), of("agent", silent(t)),
		of("exec", "/bin/sleep", "60"), of("exec", "/bin/true"), of("process", "no-such"), of("file", "/"),
		of("systemd", "x.service"), withServer(of("dns", "example.com"), silentUDP(t)),
	} {
		c.Timeout = 30 * time.Millisecond
		checks = append(checks, c)
	}
	count := func() (int, int) {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries), runtime.NumGoroutine()
	}
	run := func() {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		r, err := New(checks, env, func(Report) {})
		if err != nil {
			t.Fatal(err)
		}
		r.Run(ctx)
	}
	run() // whatever is made once, like the poller
	files, routines := settled(count)
	for range 3 {
		run()
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		f, g := count()
		if f <= files && g <= routines {
			return
		}
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%d descriptors and %d goroutines, before %d and %d\n%s", f, g, files, routines, stacks[:runtime.Stack(stacks, true)])
		}
		runtime.Gosched()
	}
}

// settled waits until two counts in a row, some time apart, are the same.
func settled(count func() (int, int)) (int, int) {
	f, g := count()
	for {
		time.Sleep(50 * time.Millisecond)
		f2, g2 := count()
		if f == f2 && g == g2 {
			return f, g
		}
		f, g = f2, g2
	}
}
