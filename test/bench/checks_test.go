package bench

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/lab"
)

var checksFor = flag.Duration("checks-for", 20*time.Second, "how long a daemon with many checks is watched")

// BenchmarkChecks measures what 500 HTTP checks cost the daemon of one node of three, and
// how late its beats are, by its own measure; without checks beside it. It fails if the
// checks take half a core, or a beat is an interval late.
func BenchmarkChecks(b *testing.B) {
	for _, row := range []struct {
		checks   int
		interval time.Duration
	}{{0, time.Second}, {500, 5 * time.Second}, {500, 500 * time.Millisecond}} {
		b.Run(fmt.Sprintf("%devery%s", row.checks, row.interval), func(b *testing.B) {
			measured(b, func(b *testing.B) { measureChecks(b, row.checks, row.interval) })
		})
	}
}

// oneCheck stands in every node's configuration.
const oneCheck = `{name: http, http: "http://127.0.0.1/", interval: 1s}`

func measureChecks(b *testing.B, checks int, interval time.Duration) {
	l := clusterAs(b, standard, lab.Options{Nodes: 3, Pools: []lab.Pool{{Name: "web", Checks: []string{oneCheck}}}})
	n := l.Node(1)
	giveChecks(b, n, checks, interval)
	must(b, l.StartDaemons())
	agree(b, l)
	before := allLate(b, n)
	usage, err := n.Usage(soon(b), *checksFor)
	must(b, err)
	late := allLate(b, n).since(before)
	s, err := n.Status(soon(b))
	must(b, err)
	for _, f := range s.Checks {
		if f.Level != "ok" {
			b.Errorf("%s: %s", f.Name, f.Text)
			break
		}
	}
	b.Logf("%d checks every %s: %s; late by at most %s in 99.9 %%, %s at worst, of %d",
		len(s.Checks), interval, usage, upto(late.quantile(0.999)), short(late.worst), late.wakes())
	b.ReportMetric(usage.CPU*100, "%-of-a-core")
	b.ReportMetric(late.quantile(0.999), "p99.9-late-ms")
	b.ReportMetric(milliseconds(late.worst), "max-late-ms")
	if len(s.Checks) != checks || usage.CPU > 0.5 || late.worst >= standard.interval {
		b.Errorf("%d checks; want %d, at most half a core, and no beat %s late", len(s.Checks), checks, standard.interval)
	}
}

// giveChecks replaces the check in a node's configuration.
func giveChecks(b *testing.B, n *lab.Node, checks int, interval time.Duration) {
	b.Helper()
	text, err := os.ReadFile(n.ConfigFile())
	must(b, err)
	var many strings.Builder
	for i := range checks {
		fmt.Fprintf(&many, "      - {name: http%d, http: \"http://127.0.0.1/\", interval: %s, timeout: 5s}\n", i, interval)
	}
	with := strings.Replace(string(text), "      - "+oneCheck+"\n", many.String(), 1)
	if with == string(text) {
		b.Fatalf("no check to replace in\n%s", text)
	}
	if checks == 0 {
		with = strings.Replace(with, "    checks:\n", "", 1)
	}
	must(b, os.WriteFile(n.ConfigFile(), []byte(with), 0o600))
}
