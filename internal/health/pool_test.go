package health

import (
	"reflect"
	"testing"
)

func TestJudge(t *testing.T) {
	disk := Finding{Name: "disk_space", Level: Leave, Percent: 50, Text: "/var 99 %"}
	diskWarns := Finding{Name: "disk_space", Level: Warn, Percent: 50, Text: "/var 95 %"}
	nginx := Finding{Name: "nginx", Level: Leave, Percent: 100, Check: true, Text: "503", DependsOn: []string{"disk_space"}}
	after := Finding{Name: "app", Level: Leave, Percent: 100, Check: true, Text: "refused", DependsOn: []string{"nginx"}}
	gateway := Finding{Name: "gateway", Level: Leave, Percent: 50, Text: "no answer"}
	hostA := Finding{Name: "hosts", Target: "a", Level: Leave, Percent: 100, Text: "a: no answer"}
	hostB := Finding{Name: "hosts", Target: "b", Level: Leave, Percent: 100, Text: "b: no answer"}
	for _, row := range []struct {
		name     string
		findings []Finding
		blamed   []string
		want     Verdict
	}{
		{"nobody says anything", nil, nil, Verdict{Percent: 100}},
		{"all have lost one target, this node another too", []Finding{hostA, hostB}, []string{"hosts", "hosts a"},
			Verdict{Level: Leave, Illness: illLeave, Reasons: []string{"hosts: b: no answer", "hosts: a: no answer; all nodes see it, so this node is not to blame"}}},
		{"all is well", []Finding{{Name: "a", Percent: 100}}, nil, Verdict{Percent: 100}},
		{"a warning takes weight away", []Finding{diskWarns}, nil,
			Verdict{Level: Warn, Percent: 50, Illness: illWarn, Reasons: []string{"disk_space: /var 95 %"}}},
		{"of two warnings the stronger counts", []Finding{diskWarns, {Name: "b", Level: Warn, Percent: 80, Text: "x"}}, nil,
			Verdict{Level: Warn, Percent: 50, Illness: illWarn, Reasons: []string{"disk_space: /var 95 %", "b: x"}}},
		{"an agent asks for less and is well", []Finding{{Name: "agent", Percent: 30, Text: "30 %"}}, nil,
			Verdict{Percent: 30, Reasons: []string{"agent: 30 %"}}},
		{"a sign that leaves", []Finding{disk}, nil,
			Verdict{Level: Leave, Illness: illLeave, Reasons: []string{"disk_space: /var 99 %"}}},
		{"a check that fails is worse than a sign", []Finding{nginx}, nil,
			Verdict{Level: Leave, Illness: illCheck, Reasons: []string{"nginx: 503"}}},
		{"a full disk that makes a check fail is one cause", []Finding{nginx, disk}, nil,
			Verdict{Level: Leave, Illness: illCheck, Reasons: []string{"disk_space: /var 99 %; hence nginx: 503"}, Blame: []string{"nginx by disk_space"}}},
		{"and one when it only warns", []Finding{nginx, diskWarns}, nil,
			Verdict{Level: Leave, Illness: illCheck, Reasons: []string{"disk_space: /var 95 %; hence nginx: 503"}, Blame: []string{"nginx by disk_space"}}},
		{"a chain has one cause", []Finding{after, nginx, disk}, nil,
			Verdict{Level: Leave, Illness: illCheck, Reasons: []string{"disk_space: /var 99 %; hence app: refused; hence nginx: 503"}, Blame: []string{"app by disk_space", "nginx by disk_space"}}},
		{"two causes", []Finding{gateway, disk}, nil,
			Verdict{Level: Leave, Illness: illLeave + 1, Reasons: []string{"gateway: no answer", "disk_space: /var 99 %"}}},
		{"what all nodes see is not held against one", []Finding{gateway}, []string{"gateway"},
			Verdict{Level: Warn, Percent: 100, Illness: illWarn, Reasons: []string{"gateway: no answer; all nodes see it, so this node is not to blame"}}},
		{"no verdict yet", []Finding{{Name: "nginx", Percent: 100, Check: true, Waiting: true}}, nil,
			Verdict{Waiting: true, Reasons: []string{"nginx: no verdict yet"}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := Judge(row.findings, row.blamed); !reflect.DeepEqual(got, row.want) {
				t.Errorf("got  %+v\nwant %+v", got, row.want)
			}
		})
	}
}

func TestShare(t *testing.T) {
	for _, row := range []struct {
		weight  uint16
		percent int
		want    uint16
	}{{100, 100, 100}, {100, 50, 50}, {3, 1, 1}, {0, 100, 0}, {1000, 0, 0}, {1000, 250, 1000}} {
		if got := Share(row.weight, row.percent); got != row.want {
			t.Errorf("%d %% of %d: got %d, want %d", row.percent, row.weight, got, row.want)
		}
	}
}
