package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rota-cluster/rota/internal/api"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)

// healthy is a cluster of three with nothing to complain of.
func healthy() *api.Status {
	return &api.Status{
		Cluster: "web", Node: "node-a", State: api.Serving, Since: noon.Add(-75 * time.Minute), Now: noon,
		View:    api.View{ID: "17@node-a", Number: 17, Agreed: true, Members: []string{"node-a", "node-b", "node-c"}},
		LeaseMS: 287,
		Nodes: []api.Node{
			{Name: "node-a", State: api.Serving, Address: "192.0.2.1", Weight: 100, Self: true},
			{Name: "node-b", State: api.Serving, Address: "192.0.2.2", Weight: 100, HeardMS: 12},
			{Name: "node-c", State: api.Serving, Address: "192.0.2.3", Weight: 50, HeardMS: 41},
		},
		Pools: []api.Pool{{
			Name: "web", Addresses: []string{"192.0.2.10", "2001:db8::10"}, MAC: "03:e9:c4:17:26:3a", Hash: "source-address-port",
			Buckets: 4096, Owners: map[string]int{"node-a": 1639, "node-b": 1638, "node-c": 819},
			Weights:  map[string]int{"node-a": 100, "node-b": 100, "node-c": 50},
			Datapath: "tc", Reason: "veth loses its receive offloads under native XDP",
			Verdicts: map[string]uint64{"pass": 1200345, "drop-foreign": 812, "drop-lease": 0, "drop-beat": 99, "pass-beat": 99},
		}},
	}
}

func TestStatusText(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*api.Status)
		want   string
	}{
		{"all is well", func(*api.Status) {}, `
node-a of cluster web: serving since 10:45:00 (1 h 15 min)
view 17 of 3 nodes, agreed; lease good for 287 ms

NODE      STATE    WEIGHT      HEARD  ADDRESS
node-a *  serving     100          -  192.0.2.1
node-b    serving     100  12 ms ago  192.0.2.2
node-c    serving      50  41 ms ago  192.0.2.3

POOL web: 192.0.2.10 2001:db8::10
  4096 buckets by source-address-port; MAC 03:e9:c4:17:26:3a
  datapath tc: veth loses its receive offloads under native XDP
  OWNER     BUCKETS  SHARE  WEIGHT
  node-a *     1639  40.0%     100  ############
  node-b       1638  40.0%     100  ############
  node-c        819  20.0%      50  ######
  packets: pass 1.2M, drop-foreign 812
`},
		{"this node is ill and owns nothing", func(st *api.Status) {
			p := &st.Pools[0]
			st.Nodes, p.Verdicts, p.Reason = nil, nil, ""
			p.Owners, p.Weights["node-a"] = map[string]int{"node-b": 2731, "node-c": 1365}, 0
			st.Warnings = []api.Warning{{Code: api.WarnOwnsNothing, Text: "takes part, but owns nothing"}}
		}, `
node-a of cluster web: serving since 10:45:00 (1 h 15 min) - owns nothing
view 17 of 3 nodes, agreed; lease good for 287 ms

NODE  STATE  WEIGHT  HEARD  ADDRESS

POOL web: 192.0.2.10 2001:db8::10
  4096 buckets by source-address-port; MAC 03:e9:c4:17:26:3a
  datapath tc
  OWNER   BUCKETS  SHARE  WEIGHT
  node-b     2731  66.7%     100  ####################
  node-c     1365  33.3%      50  ##########
`},
		{"this node is ill", func(st *api.Status) {
			at := 99.0
			warn := 10.0
			st.Nodes, st.Pools = st.Nodes[:1], nil
			st.Nodes[0].Weight, st.Nodes[0].Health = 0, []string{"disk_space: /var: 99.4 % of the space in use (leave at 99%); hence nginx: status 500"}
			st.Checks = []api.Finding{
				{Name: "nginx", Pool: "web", Answer: "measured", Level: "leave", Text: "status 500", Since: noon.Add(-time.Minute)},
				{Name: "smtp", Pool: "mail", Answer: "measured", Level: "ok", Text: "connects"},
			}
			st.Signs = []api.Finding{
				{Name: "memory_pressure", Answer: "measured", Level: "warn", Value: 3, Threshold: &warn, Unit: "%", Since: noon.Add(-3 * time.Minute), HeldMS: 20000},
				{Name: "disk_space", Answer: "measured", Level: "leave", Value: 99.4, Threshold: &at, Unit: "%", Since: noon.Add(-182 * time.Second)},
				{Name: "io_pressure", Answer: "cannot tell", Level: "ok"},
				{Name: "raid", Answer: "broken", Level: "ok", Text: "md0: no such file"},
			}
		}, `
node-a of cluster web: serving since 10:45:00 (1 h 15 min)
view 17 of 3 nodes, agreed; lease good for 287 ms
! node-a: disk_space: /var: 99.4 % of the space in use (leave at 99%); hence
  nginx: status 500

NODE      STATE    WEIGHT  HEARD  ADDRESS
node-a *  serving       0      -  192.0.2.1

SIGN OR CHECK    LEVEL   VALUE  LIMIT  SINCE
web/nginx        leave       -      -  11:59:00 (1 min 0 s)
memory_pressure  warn       3%    10%  11:57:00 (3 min 0 s); over in 20 s
disk_space       leave   99.4%    99%  11:56:58 (3 min 2 s)
raid             broken      -      -  -
`},
		{"a pool that one node has", func(st *api.Status) {
			st.Nodes = nil
			p := &st.Pools[0]
			p.Spread, p.Active, p.Because, p.Preempt = "single", "node-b", "it has the highest priority", true
			p.Priorities = map[string]int{"node-a": 100, "node-b": 200, "node-c": 100}
			p.Owners, p.Verdicts = map[string]int{"node-a": 0, "node-b": 4096, "node-c": 0}, nil
		}, `
node-a of cluster web: serving since 10:45:00 (1 h 15 min)
view 17 of 3 nodes, agreed; lease good for 287 ms

NODE  STATE  WEIGHT  HEARD  ADDRESS

POOL web: 192.0.2.10 2001:db8::10
  4096 buckets by source-address-port; MAC 03:e9:c4:17:26:3a
  datapath tc: veth loses its receive offloads under native XDP
  single: active is node-b: it has the highest priority; preempt is on;
    priorities: node-a 100, node-b 200, node-c 100
  OWNER     BUCKETS   SHARE  WEIGHT
  node-a *        0    0.0%     100
  node-b       4096  100.0%     100  ##############################
  node-c          0    0.0%      50
`},
		{"pins, of which three have no effect", func(st *api.Status) {
			st.Nodes = st.Nodes[1:]
			st.Nodes[0].State = api.Draining
			p := &st.Pools[0]
			p.Weights["node-c"], p.Owners, p.Verdicts = 0, map[string]int{"node-a": 4096}, nil
			p.Pins = map[string]string{"node-a": "0-3", "node-b": "4-7", "node-c": "8", "node-z": "9,11"}
			st.Nodes = append(st.Nodes, api.Node{Name: "node-a", State: api.Serving, Weight: 100, Self: true})
		}, `
node-a of cluster web: serving since 10:45:00 (1 h 15 min)
view 17 of 3 nodes, agreed; lease good for 287 ms
! node-b is draining

NODE      STATE     WEIGHT      HEARD  ADDRESS
node-b    draining     100  12 ms ago  192.0.2.2
node-c    serving       50  41 ms ago  192.0.2.3
node-a *  serving      100          -  -

POOL web: 192.0.2.10 2001:db8::10
  4096 buckets by source-address-port; MAC 03:e9:c4:17:26:3a
  datapath tc: veth loses its receive offloads under native XDP
  OWNER     BUCKETS   SHARE  WEIGHT
  node-a *     4096  100.0%     100  ##############################
  pinned: to node-a 4 buckets: 0-3; to node-b (draining, so without effect) 4
    buckets: 4-7; to node-c (weight 0, so without effect) 1 bucket: 8; to node-z
    (not heard, so without effect) 2 buckets: 9,11
`},
		{"a node was cut off and this one took its share over", func(st *api.Status) {
			st.View.Number, st.View.Members = 18, []string{"node-a", "node-b"}
			st.Nodes[2].State, st.Nodes[2].HeardMS = api.Silent, 12345
			st.Nodes[1].Health = []string{"memory pressure 34 % (warns from 10 %)"}
			st.Degraded = true
			st.Heartbeat.Dropped = map[string]uint64{"replayed": 2, "forged": 7}
			p := &st.Pools[0]
			p.Owners = map[string]int{"node-a": 2048, "node-b": 2048}
			p.Lingering, p.LingeringMS, p.Contested = "0-12,17", 29900, "100-299"
			st.Warnings = []api.Warning{{Code: api.WarnPeerSilent, Text: "not told twice"}, {Code: "state-dir", Text: "/var/lib/rota cannot be written: runs without memory, and a line that is long is broken before it leaves the screen"}}
		}, `
node-a of cluster web: serving since 10:45:00 (1 h 15 min) - degraded
view 18 of 2 nodes, agreed; lease good for 287 ms
beats dropped: forged 7, replayed 2
! node-c is silent since 11:59:47 (12 s)
! node-b: memory pressure 34 % (warns from 10 %)
! /var/lib/rota cannot be written: runs without memory, and a line that is long
  is broken before it leaves the screen

NODE      STATE    WEIGHT      HEARD  ADDRESS
node-a *  serving     100          -  192.0.2.1
node-b    serving     100  12 ms ago  192.0.2.2
node-c    silent       50   12 s ago  192.0.2.3

POOL web: 192.0.2.10 2001:db8::10
  4096 buckets by source-address-port; MAC 03:e9:c4:17:26:3a
  datapath tc: veth loses its receive offloads under native XDP
  OWNER     BUCKETS  SHARE  WEIGHT
  node-a *     2048  50.0%     100  ###############
  node-b       2048  50.0%     100  ###############
  this node still serves connections of 14 buckets: 0-12,17 (for 29 s at most);
    shares with their old owners 200 buckets: 100-299
  packets: pass 1.2M, drop-foreign 812
`},
		{"the lease ran out and nobody owns anything that is known", func(st *api.Status) {
			st.State, st.Since, st.LeaseMS = api.Fenced, noon.Add(-26*time.Hour), 0
			st.View = api.View{}
			st.Nodes = st.Nodes[:1]
			st.Nodes[0].State = api.Fenced
			st.Warnings = []api.Warning{{Code: api.WarnNotServing, Text: "hears 1 of 3 expected nodes: no majority"}}
			p := &st.Pools[0]
			p.Owners, p.Verdicts = nil, nil
			p.Buckets = 4
		}, `
node-a of cluster web: fenced since 2026-02-28 10:00 (1 d 2 h)
no view yet; lease over
! this node is fenced: it may not own anything: hears 1 of 3 expected nodes: no
  majority
! pool web: 4 of 4 buckets have no owner that this node hears of

NODE      STATE   WEIGHT  HEARD  ADDRESS
node-a *  fenced     100      -  192.0.2.1

POOL web: 192.0.2.10 2001:db8::10
  4 buckets by source-address-port; MAC 03:e9:c4:17:26:3a
  datapath tc: veth loses its receive offloads under native XDP
  OWNER   BUCKETS   SHARE  WEIGHT
  nobody        4  100.0%       -  ##############################
`},
		{"the network leaves this node out, which hears of it by other ways", func(st *api.Status) {
			st.State, st.LeaseMS, st.Pools = api.Fenced, 0, nil
			st.Nodes[0].State, st.Nodes[1].Path, st.Nodes[2].Path = api.Fenced, "second", "unicast"
			st.Heartbeat.Paths = []api.Path{{Path: "second", Interface: "eth1"}, {Path: "unicast", Trouble: "this node has no address of its own to send from"}}
			st.Warnings = []api.Warning{{Code: api.WarnNotServing, Text: "the network does not bring this node the service's traffic"}}
		}, `
node-a of cluster web: fenced since 10:45:00 (1 h 15 min)
view 17 of 3 nodes, agreed; lease over
! this node is fenced: it may not own anything: the network does not bring this
  node the service's traffic
! no beats by unicast: this node has no address of its own to send from

NODE      STATE    WEIGHT                 HEARD  ADDRESS
node-a *  fenced      100                     -  192.0.2.1
node-b    serving     100   12 ms ago by second  192.0.2.2
node-c    serving      50  41 ms ago by unicast  192.0.2.3
`},
		{"names that are too long for the screen", func(st *api.Status) {
			long := strings.Repeat("very-", 12) + "xy"
			st.Cluster, st.Pools = long, nil
			st.Nodes[1] = api.Node{Name: long, State: api.Incompatible, Address: "2001:db8:1111:2222:3333:4444:5555:6666", Weight: 1000, HeardMS: 90061000}
			st.Nodes = st.Nodes[:2]
		}, `
node-a of cluster
  very-very-very-very-very-very-very-very-very-very-very-very-xy: serving since
  10:45:00 (1 h 15 min)
view 17 of 3 nodes, agreed; lease good for 287 ms
! very-very-very-very-very-very-very-very-very-very-very-very-xy is
  incompatible: its pools or quorum differ, nothing is shared with it

NODE          STATE         WEIGHT        HEARD  ADDRESS
node-a *      serving          100            -  192.0.2.1
very-very-v~  incompatible    1000  1 d 1 h ago  2001:db8:1111:2222:3333:4444:5~
`},
	} {
		t.Run(row.name, func(t *testing.T) {
			st := healthy()
			row.change(st)
			got := statusText(st, style{width: width})
			if got != row.want[1:] {
				t.Errorf("got\n%s\nwant\n%s", got, row.want[1:])
			}
			fits(t, got)
		})
	}
}

func TestAPoolThatNobodyHas(t *testing.T) {
	p := api.Pool{Spread: "single", Because: "nobody is", Preempt: true}
	if got := activeText(&p); got != "  single: nobody is active; preempt is on\n" {
		t.Errorf("%q", got)
	}
}

// That a node left on purpose is news for a while; then the table of nodes has it.
func TestWhoLeftIsNewsForAWhile(t *testing.T) {
	st := healthy()
	st.Nodes[1].State, st.Nodes[1].HeardMS = api.Left, 9*60*1000
	if got := statusText(st, style{}); !strings.Contains(got, "! node-b left 9 min 0 s ago\n") {
		t.Error(got)
	}
	st.Nodes[1].HeardMS = leftTold.Milliseconds()
	if got := statusText(st, style{}); strings.Contains(got, "! node-b") || !strings.Contains(got, "node-b    left ") {
		t.Error(got)
	}
}

func fits(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestStatusOfTheLargestCluster(t *testing.T) {
	st := healthy()
	st.Nodes, st.View.Members = nil, nil
	p := &st.Pools[0]
	p.Owners = map[string]int{}
	for i := range 64 {
		name := fmt.Sprintf("node-%02d.rack-%d.example.com", i, i/8)
		st.Nodes = append(st.Nodes, api.Node{Name: name, State: api.Serving, Weight: 100, Self: i == 0})
		p.Owners[name] = 64
	}
	got := statusText(st, style{width: width})
	fits(t, got)
	if n := strings.Count(got, "\n"); n > 110 {
		t.Errorf("%d lines:\n%s", n, got)
	}
}

func TestColoursAreOnlyColours(t *testing.T) {
	st := healthy()
	st.Nodes[2].State = api.Silent
	coloured, without := statusText(st, style{colours: true}), statusText(st, style{})
	if !strings.Contains(coloured, "\x1b[") || strings.Contains(without, "\x1b[") {
		t.Error("colours where there should be none, or the reverse")
	}
	for _, p := range []paint{good, warn, bad, bold, faint} {
		coloured = strings.ReplaceAll(coloured, "\x1b["+string(p)+"m", "")
	}
	if coloured = strings.ReplaceAll(coloured, "\x1b[0m", ""); coloured != without {
		t.Errorf("colours change the text:\n%s\n%s", coloured, without)
	}
}

func TestUnits(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 ms", 0: "0 ms", 999 * time.Millisecond: "999 ms", 1250 * time.Millisecond: "1.2 s", 59 * time.Second: "59 s",
		61 * time.Second: "1 min 1 s", 3*time.Hour + 59*time.Minute: "3 h 59 min", 49 * time.Hour: "2 d 1 h",
	} {
		if got := ago(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0", 999999: "999999", 1234567: "1.2M", 99e9: "99.0G", 1<<64 - 1: "18446.7P"} {
		if got := count(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	if got := percent(1, 3) + percent(0, 0) + percent(4096, 4096); got != "33.3%-100.0%" {
		t.Error(got)
	}
}

// A drain tells what ends it: an order only what an order began.
func TestWhatEndsADrain(t *testing.T) {
	const host = "hands over: own address or its route has gone"
	for _, row := range []struct {
		what, want string
		state      api.State
		drain      api.Drain
		why        string
	}{
		{"by order", "! this node drains: it takes no new connections (rota resume ends it)\n", api.Draining, api.Drain{Order: "new kernel"}, ""},
		{"by the host", "! this node takes no new connections until its host can serve again: hands over:\n  own address or its route has gone\n", api.Draining, api.Drain{Host: "own address"}, host},
		{"by both", "! this node drains by order (rota resume ends that), and would hand over\n  without: hands over: own address or its route has gone\n", api.Draining, api.Drain{Order: "new kernel", Host: "own address"}, host},
		{"by a stop", "! this node drains, as the daemon stops: it takes no new connections\n", api.Draining, api.Drain{Order: "new kernel", Stop: "the daemon stops"}, ""},
	} {
		st := &api.Status{Node: "node-a", State: row.state, Drain: row.drain, Now: noon, Since: noon}
		if row.why != "" {
			st.Warnings = []api.Warning{{Code: api.WarnNotServing, Text: row.why}}
		}
		if text := statusText(st, style{}); !strings.Contains(text, row.want) {
			t.Errorf("%s:\n%s\nlacks %q", row.what, text, row.want)
		}
	}
}
