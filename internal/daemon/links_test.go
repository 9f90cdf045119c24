package daemon

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/ownership"
	"github.com/rota-cluster/rota/internal/peer"
)

// TestWhoDoesNotComeByTheSecondPath is told, unless there has been no time for it yet, or
// something else is wrong with him.
func TestWhoDoesNotComeByTheSecondPath(t *testing.T) {
	const pause, long = 300 * time.Millisecond, time.Second
	s := secondHeard{}
	for at := ownership.Time(0); at <= 10*time.Second; at += 50 * time.Millisecond {
		for name, way := range map[string]func() (comes, bySecond bool){
			"both":     func() (bool, bool) { return true, true },
			"cut":      func() (bool, bool) { return true, at <= 4*time.Second },
			"never":    func() (bool, bool) { return true, false },
			"comes":    func() (bool, bool) { return at > 9500*time.Millisecond, false },
			"is back":  func() (bool, bool) { return at < time.Second || at > 9500*time.Millisecond, at < time.Second },
			"silent":   func() (bool, bool) { return at < time.Second, at < time.Second },
			"direct":   func() (bool, bool) { return true, false },
			"half way": func() (bool, bool) { return true, at%(500*time.Millisecond) == 0 },
		} {
			comes, second := way()
			if comes {
				s.note(name, ownership.PathService, at, pause)
			}
			if second {
				s.note(name, ownership.PathSecond, at, pause)
			}
		}
	}
	var nodes []ownership.NodeStatus
	for _, name := range []string{"both", "comes", "cut", "half way", "is back", "never"} {
		nodes = append(nodes, ownership.NodeStatus{Ref: ownership.Ref{Name: name}})
	}
	nodes = append(nodes, ownership.NodeStatus{Ref: ownership.Ref{Name: "silent"}, Silent: true},
		ownership.NodeStatus{Ref: ownership.Ref{Name: "direct"}, Path: ownership.PathUnicast},
		ownership.NodeStatus{Ref: ownership.Ref{Name: "self"}, Self: true})
	got := s.missing(nodes, 10*time.Second, long)
	if want := []string{"cut (not for 6s)", "never (never)"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWarningsOfTheSecondPath(t *testing.T) {
	unicast := api.Path{Path: "unicast", Trouble: "no address"}
	for _, row := range []struct {
		about   string
		paths   []api.Path
		missing []string
		want    string
	}{
		{"none is configured", []api.Path{unicast}, []string{"b (never)"}, ""},
		{"all is well", []api.Path{{Interface: "eth1"}, unicast}, nil, ""},
		{"a peer does not come by it", []api.Path{{Interface: "eth1"}}, []string{"b (not for 2s)"}, "not by the second path (eth1): b (not for 2s)"},
		{"this node's own is broken, of which that is a consequence", []api.Path{{Interface: "eth1", Trouble: "eth1: no carrier"}}, []string{"b (not for 2s)"}, "eth1: no carrier"},
	} {
		ws := secondWarnings(row.paths, row.missing)
		switch {
		case row.want == "" && len(ws) == 0:
		case len(ws) != 1 || ws[0].Code != api.WarnSecondPath || !strings.Contains(ws[0].Text, row.want):
			t.Errorf("%s: %v, want %q", row.about, ws, row.want)
		}
	}
}

func TestAnOutageNamesTheInterfaceAndTheRemedy(t *testing.T) {
	began := time.Now().Add(-90 * time.Second)
	for _, row := range []struct {
		outage outage
		want   string
	}{
		{outage{why: peer.ErrNoCarrier, since: began}, "NO CARRIER on eth0 for 1m30"},
		{outage{why: peer.ErrDown, since: began}, "eth0 is DOWN for 1m30"},
	} {
		ws := row.outage.warning("eth0")
		if len(ws) != 1 || ws[0].Code != api.WarnNoCarrier || !strings.Contains(ws[0].Text, row.want) {
			t.Errorf("%v, want %q", ws, row.want)
		}
	}
	if ws := (outage{since: began}).warning("eth0"); len(ws) != 0 {
		t.Errorf("without an outage: %v", ws)
	}
}

func TestAForeignAddressIsTheCauseOfAMissingRoute(t *testing.T) {
	shared := netip.MustParseAddr("192.0.2.10")
	if got := noWay(shared, "eth0", nil); !strings.Contains(got, "its route has gone") {
		t.Errorf("without one: %q", got)
	}
	if got := noWay(shared, "eth0", []string{"remove it with: ip addr del X"}); !strings.HasSuffix(got, "by eth0: remove it with: ip addr del X") {
		t.Errorf("with one: %q", got)
	}
}
