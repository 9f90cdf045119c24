package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
)

func TestWhatADrainWaitsFor(t *testing.T) {
	st := &api.Status{
		Nodes: []api.Node{{Name: "node-b", State: api.Draining, Lingering: 3}},
		Pools: []api.Pool{
			{Name: "web", Addresses: []string{"192.0.2.10", "2001:db8::10"}, Lingering: "0-9,12", LingeringConnections: 12, LingeringMS: 61000},
			{Name: "mail", Addresses: []string{"192.0.2.11"}},
		},
	}
	const here = "12 connections open here in 11 buckets (for 1 min 1 s at most); " +
		"they are listed by: ss -Htn state connected exclude time-wait '( src 192.0.2.10 or src [2001:db8::10] )'"
	if got := waitedFor(st, ""); got != here {
		t.Errorf("here: %s", got)
	}
	if got := waitedFor(st, "node-b"); got != "node-b has connections open in 3 buckets (there rota status tells how many)" {
		t.Errorf("of another node: %s", got)
	}
	if got := waitedFor(st, "node-z") + waitedFor(&api.Status{}, ""); got != "" {
		t.Errorf("where nothing is left: %s", got)
	}
	var out strings.Builder
	begin := time.Unix(0, 0)
	w := waiting{to: &out, told: begin}
	for s := range 25 {
		w.look(st, begin.Add(time.Duration(s)*time.Second))
	}
	if out.String() != strings.Repeat("waits: "+here+"\n", 2) || w.and() != ": "+here {
		t.Errorf("in 25 s: %s; at the end%s", out.String(), w.and())
	}
}
