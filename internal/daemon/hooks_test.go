package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/hook"
	"github.com/rota-cluster/rota/internal/ownership"
)

// TestHooksAreToldOfChanges and of nothing else.
func TestHooksAreToldOfChanges(t *testing.T) {
	var got []string
	h := newHerald(&config.Config{
		Cluster: "web", Node: config.Node{Name: "node-a"},
		Pools: []config.Pool{{Name: "web", Buckets: 4, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")}}},
	}, func(e hook.Event) {
		got = append(got, fmt.Sprintf("%s %s %s %s>%s %d>%d %v: %s",
			e.Event, e.Kind, e.Peer, e.StateBefore, e.State, e.Pools[0].OwnedBefore, e.Pools[0].Owned, e.Degraded, e.Reason))
	})
	owned := func(n int) []ownership.PoolStatus {
		m := ownership.NewBitmap(4)
		for b := range n {
			m.Set(uint32(b))
		}
		return []ownership.PoolStatus{{Owned: m}}
	}
	members := func(names ...string) (v ownership.View) {
		for _, n := range names {
			v.Members = append(v.Members, ownership.Member{Ref: ownership.Ref{Name: n}})
		}
		return v
	}
	other := ownership.NodeStatus{Ref: ownership.Ref{Name: "node-b"}, Mutual: true}
	dead := other
	dead.Silent = true
	for _, row := range []struct {
		what  string
		notes []ownership.Note
		moved bool
		s     ownership.Status
		want  []string
	}{
		{"at the start", nil, true, ownership.Status{State: ownership.StateJoining, Why: "listens", Pools: owned(0)},
			[]string{"state   >joining 0>0 false: listens"}},
		{"when nothing changed", nil, false, ownership.Status{State: ownership.StateJoining, Pools: owned(2)}, nil},
		{"when a table was switched to the same", nil, true, ownership.Status{State: ownership.StateJoining, Pools: owned(0)}, nil},
		{"when it serves beside another",
			[]ownership.Note{{Kind: ownership.NotePeerHeard, Node: "node-b", Text: "is heard"}, {Kind: ownership.NoteViewActive, Text: "view 2"}}, true,
			ownership.Status{State: ownership.StateServing, Pools: owned(2), View: members("node-a", "node-b"), Nodes: []ownership.NodeStatus{other}},
			[]string{"peer peer-heard node-b serving>serving 2>2 false: is heard", "state   joining>serving 2>2 false: view 2", "ownership   serving>serving 0>2 false: view 2"}},
		{"when the other dies",
			[]ownership.Note{{Kind: ownership.NotePeerSilent, Node: "node-b", Text: "silent for 306ms"}}, true,
			ownership.Status{State: ownership.StateServing, Pools: owned(4), View: members("node-a"), Nodes: []ownership.NodeStatus{dead}},
			[]string{"peer peer-silent node-b serving>serving 4>4 true: silent for 306ms", "ownership   serving>serving 2>4 true: node-b: silent for 306ms",
				"takeover  node-b serving>serving 2>4 true: node-b: silent for 306ms", "degraded   serving>serving 4>4 true: node-b has been silent for 0s"}},
		{"when another node is ill",
			[]ownership.Note{{Kind: ownership.NotePeerHealth, Node: "node-b", Text: "pool web: weight 0, was 100"}}, false,
			ownership.Status{State: ownership.StateServing, Pools: owned(4), View: members("node-a"), Nodes: []ownership.NodeStatus{dead}},
			[]string{"health peer-health node-b serving>serving 4>4 true: pool web: weight 0, was 100"}},
		{"when it stops", []ownership.Note{{Kind: ownership.NoteStopped, Text: "stopped"}}, true,
			ownership.Status{State: ownership.StateServing, Pools: owned(0), View: members("node-a"), Nodes: []ownership.NodeStatus{dead}},
			[]string{"state   serving>stopped 0>0 false: stopped", "ownership   stopped>stopped 4>0 false: stopped"}},
	} {
		got = nil
		for _, n := range row.notes {
			h.note(n)
		}
		if row.moved {
			h.moved()
		}
		h.settle(row.s.State, func() ownership.Status { return row.s })
		if !slices.Equal(got, row.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", row.what, got, row.want)
		}
	}
}

// TestHooksAreToldOfHealth: of the sign first, then of what follows from it.
func TestHooksAreToldOfHealth(t *testing.T) {
	var got []string
	h := newHerald(&config.Config{Cluster: "web", Node: config.Node{Name: "node-a"}}, func(e hook.Event) {
		got = append(got, fmt.Sprintf("%s %s %v: %s", e.Event, e.Kind, e.Degraded, e.Reason))
	})
	settle := func() {
		h.settle(ownership.StateServing, func() ownership.Status { return ownership.Status{State: ownership.StateServing} })
	}
	settle()
	for _, row := range []struct {
		what   string
		news   []occurrence
		note   string
		allIll bool
		cutOff string
		want   []string
	}{
		{"nothing", nil, "", false, "", nil},
		{"a warning that moves nothing", []occurrence{{config.HookHealth, eventSign, "raid: warn, was ok"}}, "", false, "", []string{"health sign false: raid: warn, was ok"}},
		{"a check that fails, and a node that is the last", []occurrence{{config.HookHealth, eventCheck, "nginx: leave, was ok"}}, "pool web: goes on", true, "",
			[]string{"health check true: nginx: leave, was ok", "health health true: pool web: goes on", "degraded  true: " + leastIll}},
		{"and that is well again", nil, "pool web: all is well", false, "",
			[]string{"health health false: pool web: all is well", "degraded  false: nothing is wrong any more"}},
		{"a cable that is pulled", nil, "", false, "eth0: no carrier", []string{"degraded  true: eth0: no carrier"}},
		{"and is put back", nil, "", false, "", []string{"degraded  false: nothing is wrong any more"}},
	} {
		got = nil
		h.allIll = row.allIll
		h.carrier(row.cutOff)
		h.happened(row.news...)
		if row.note != "" {
			h.note(ownership.Note{Kind: ownership.NoteHealth, Text: row.note})
		}
		settle()
		if !slices.Equal(got, row.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", row.what, got, row.want)
		}
	}
}
