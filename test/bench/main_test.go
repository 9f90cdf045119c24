package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/service"
)

// rota is the program as `make build` builds it.
var rota string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (code int, err error) {
	if os.Geteuid() != 0 {
		return 1, errors.New("these benchmarks make network namespaces and load BPF programs: run them as root")
	}
	dir, err := os.MkdirTemp("", "rota-bench")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	rota = filepath.Join(dir, "rota")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", rota, "../../cmd/rota")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build rota: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// profile is a beat and a lease that rota is measured with.
type profile struct{ interval, lease time.Duration }

var (
	standard = profile{50 * time.Millisecond, 300 * time.Millisecond} // the daemon's defaults
	fast     = profile{10 * time.Millisecond, 50 * time.Millisecond}
	profiles = []profile{standard, fast}
)

func (p profile) String() string { return fmt.Sprintf("%s-%s", p.interval, p.lease) }

// patience with what must come.
const patience = time.Minute

func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// cluster is a lab that ends with its benchmark. Its daemons do not run yet.
func cluster(t testing.TB, nodes int, p profile) *lab.Lab {
	t.Helper()
	return clusterAs(t, p, lab.Options{Nodes: nodes})
}

// clusterAs is a cluster with other options.
func clusterAs(t testing.TB, p profile, o lab.Options) *lab.Lab {
	t.Helper()
	o.Interval, o.Lease, o.Idle, o.Binary = p.interval, p.lease, true, rota
	l, err := lab.New(o)
	must(t, err)
	must(t, l.Start(soon(t)))
	t.Cleanup(func() {
		for _, n := range l.Nodes() {
			if t.Failed() {
				text, _ := os.ReadFile(n.LogFile())
				t.Logf("%s said:\n%s", n.Name(), text)
			}
		}
		must(t, l.Close())
	})
	return l
}

// serving is a lab whose nodes agree.
func serving(t testing.TB, nodes int, p profile) *lab.Lab {
	t.Helper()
	l := cluster(t, nodes, p)
	must(t, l.StartDaemons())
	agree(t, l)
	return l
}

// agree waits until these nodes, or all that nothing was done to, share a view.
func agree(t testing.TB, l *lab.Lab, nodes ...*lab.Node) {
	t.Helper()
	_, err := l.WaitAgreed(soon(t), nodes...)
	must(t, err)
}

// web and lines are where the lab's nodes serve.
func web() netip.AddrPort   { return netip.AddrPortFrom(lab.Shared4, service.HTTPPort) }
func lines() netip.AddrPort { return netip.AddrPortFrom(lab.Shared4, service.LinePort) }

// measured runs a measurement once, however often it is asked for: each takes
// seconds and reports figures of its own, so Go's time per operation means nothing.
func measured(b *testing.B, measure func(b *testing.B)) {
	b.Helper()
	for b.Loop() {
		measure(b)
	}
	b.ReportMetric(0, "ns/op")
}

// milliseconds for a column.
func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// short is a duration for a line.
func short(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
