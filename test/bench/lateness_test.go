package bench

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
)

var lateFor = flag.Duration("late-for", 20*time.Second, "how long the daemons of each setting are watched under load")

// setting is how the daemons run: what the host allows them, and how they collect garbage.
type setting struct {
	scheduling string // what the host leaves of the daemon's wish for real time
	collector  string // variables of the Go runtime; "" leaves it to the daemon
}

// What is put before the daemon to take real time from it, or nice too. A process without
// CAP_SYS_NICE has what its limits give it, and what it had before (sched(7)).
var schedulings = map[string]string{
	"rt":    "exec",
	"nice":  "exec nice -n -20 prlimit --rtprio=0:0 setpriv --bounding-set -sys_nice --inh-caps -sys_nice",
	"plain": "exec prlimit --rtprio=0:0 --nice=0:0 setpriv --bounding-set -sys_nice --inh-caps -sys_nice",
}

var settings = []setting{
	{"rt", ""}, {"nice", ""}, {"plain", ""},
	{"rt", "GOGC=25"}, {"rt", "GOGC=100"}, {"rt", "GOGC=400"}, {"rt", "GOGC=off GOMEMLIMIT=64MiB"},
	{"plain", "GOGC=25"}, {"plain", "GOGC=100"}, {"plain", "GOGC=400"}, {"plain", "GOGC=off GOMEMLIMIT=64MiB"},
}

// BenchmarkLateness measures how late the daemons of a cluster of three come to what they have
// to do at a time, by their own measure, while two busy processes compete for each core, one
// daemon serves old connections of what it has handed over, and somebody reads their status.
func BenchmarkLateness(b *testing.B) {
	for _, s := range settings {
		b.Run(strings.ReplaceAll(strings.TrimSuffix(s.scheduling+"/"+s.collector, "/"), " ", ","), func(b *testing.B) {
			measured(b, func(b *testing.B) { measureLateness(b, s) })
		})
	}
}

func measureLateness(b *testing.B, s setting) {
	l, err := lab.New(lab.Options{Nodes: 3, Interval: fast.interval, Lease: fast.lease, Idle: true, Binary: s.wrapper(b)})
	must(b, err)
	must(b, l.Start(soon(b)))
	defer func() { must(b, l.Close()) }()
	must(b, l.StartDaemons())
	agree(b, l)
	held, err := l.Client().Held(probe.HeldOptions{To: lines(), Connections: 200, Every: 100 * time.Millisecond})
	must(b, err)
	holding := probe.Start(context.Background(), held.Run)
	must(b, held.WaitOpen(soon(b)))
	must(b, l.Node(0).API().Drain(soon(b), api.DrainRequest{}))
	stop, err := l.Load(2 * runtime.NumCPU())
	must(b, err)

	before, stopsBefore := allLate(b, l.Nodes()...), collections(b, l)
	ctx, cancel := context.WithTimeout(context.Background(), *lateFor)
	defer cancel()
	usage, busy := make(chan lab.Usage, 1), make(chan error, 1)
	go func() {
		u, err := l.Node(1).Usage(soon(b), *lateFor)
		usage <- u
		busy <- err
	}()
	for tick := time.NewTicker(100 * time.Millisecond); ctx.Err() == nil; <-tick.C {
		allLate(b, l.Nodes()...)
	}
	must(b, <-busy)
	late := allLate(b, l.Nodes()...).since(before)
	must(b, stop())
	if report, err := holding.Stop(); err != nil || report.Check() != nil {
		b.Logf("held connections: %v, %v", err, report.Check())
	}
	var stops []time.Duration
	for name, all := range collections(b, l) {
		stops = append(stops, all[len(stopsBefore[name]):]...)
	}
	b.Logf("%s: late by at most %s in 99 %%, %s in 99.9 %%, %s at worst, of %d; %d collections, stops of %s at worst; %s",
		s, upto(late.quantile(0.99)), upto(late.quantile(0.999)), short(late.worst), late.wakes(), len(stops), short(slices.Max(append(stops, 0))), <-usage)
	b.ReportMetric(late.quantile(0.99), "p99-ms")
	b.ReportMetric(late.quantile(0.999), "p99.9-ms")
	b.ReportMetric(milliseconds(late.worst), "max-ms")
	b.ReportMetric(float64(len(stops)), "collections")
	b.ReportMetric(milliseconds(slices.Max(append(stops, 0))), "stop-max-ms")
}

func (s setting) String() string {
	if s.collector == "" {
		return s.scheduling + ", the daemon's own collector"
	}
	return s.scheduling + ", " + s.collector
}

// wrapper is a program that runs rota so.
func (s setting) wrapper(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "rota")
	text := fmt.Sprintf("#!/bin/sh\nexport GODEBUG=gctrace=1 %s\n%s %s \"$@\"\n", s.collector, schedulings[s.scheduling], rota)
	must(b, os.WriteFile(path, []byte(text), 0o755))
	return path
}

// lateOf daemons, all together.
type lateOf struct {
	bins  []api.LateBin
	worst time.Duration // of the last minutes
}

func allLate(b *testing.B, nodes ...*lab.Node) (all lateOf) {
	b.Helper()
	for _, n := range nodes {
		s, err := n.Status(soon(b))
		if err != nil {
			b.Logf("%v", err)
			return all
		}
		if all.bins == nil {
			all.bins = make([]api.LateBin, len(s.Heartbeat.Late))
		}
		for i, bin := range s.Heartbeat.Late {
			all.bins[i].UptoMS = bin.UptoMS
			all.bins[i].Wakes += bin.Wakes
		}
		all.worst = max(all.worst, time.Duration(s.Heartbeat.LateMaxMS*float64(time.Millisecond)))
	}
	return all
}

// since an earlier look. The worst is that of the whole time if it came since, else as the
// bins tell it.
func (l lateOf) since(before lateOf) lateOf {
	for i := range l.bins {
		l.bins[i].Wakes -= before.bins[i].Wakes
	}
	if l.worst <= before.worst {
		l.worst = time.Duration(l.quantile(1) * float64(time.Millisecond))
	}
	return l
}

func (l lateOf) wakes() (n uint64) {
	for _, bin := range l.bins {
		n += bin.Wakes
	}
	return n
}

// quantile is the limit of the bin in which it lies, 0 if that has none.
func (l lateOf) quantile(q float64) float64 {
	below := uint64(0)
	for _, bin := range l.bins {
		if below += bin.Wakes; float64(below) >= q*float64(l.wakes()) {
			return bin.UptoMS
		}
	}
	return 0
}

func upto(ms float64) string { return strconv.FormatFloat(ms, 'f', -1, 64) + "ms" }

// trace is a line of GODEBUG=gctrace=1: the first and the last time are with the world stopped.
var trace = regexp.MustCompile(`^gc \d+ @.*: ([0-9.]+)\+[0-9.]+\+([0-9.]+) ms clock`)

// collections of all daemons so far: for each the longer of its two stops of the world.
func collections(b *testing.B, l *lab.Lab) map[string][]time.Duration {
	b.Helper()
	all := make(map[string][]time.Duration)
	for _, n := range l.Nodes() {
		f, err := os.Open(n.LogFile())
		must(b, err)
		for lines := bufio.NewScanner(f); lines.Scan(); {
			m := trace.FindStringSubmatch(lines.Text())
			if m == nil {
				continue
			}
			var longest time.Duration
			for _, word := range m[1:] {
				ms, err := strconv.ParseFloat(word, 64)
				must(b, err)
				longest = max(longest, time.Duration(ms*float64(time.Millisecond)))
			}
			all[n.Name()] = append(all[n.Name()], longest)
		}
		must(b, f.Close())
	}
	return all
}
