package health

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestDecide(t *testing.T) {
	well := func(name string) Told { return Told{Node: name, Weight: 100} }
	ill := func(name string, i Illness) Told { return Told{Node: name, Weight: 100, Leave: true, Illness: i} }
	for _, row := range []struct {
		name  string
		nodes []Told
		want  string // s: stays, d: stays degraded, -: leaves
	}{
		{"all well", []Told{well("a"), well("b")}, "ss"},
		{"one ill", []Told{ill("a", illLeave), well("b")}, "-s"},
		{"one alone and ill", []Told{ill("a", illCheck)}, "d"},
		{"all ill alike", []Told{ill("a", illLeave), ill("b", illLeave), ill("c", illLeave)}, "ddd"},
		{"the least ill go on", []Told{ill("a", illCheck), ill("b", illLeave), ill("c", illLeave)}, "-dd"},
		{"fewer causes are less ill", []Told{ill("a", illLeave+1), ill("b", illLeave)}, "-d"},
		{"the one that is well wants nothing by order", []Told{ill("a", illLeave), {Node: "b"}}, "ds"},
		{"the ill one wants nothing by order", []Told{{Node: "a", Leave: true, Illness: illLeave}, ill("b", illCheck)}, "-d"},
		{"nobody wants anything", []Told{{Node: "a", Leave: true, Illness: 1}, {Node: "b", Leave: true, Illness: 1}}, "--"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := ""
			for _, n := range row.nodes {
				switch d := Decide(n.Node, row.nodes); {
				case d.Degraded:
					got += "d"
				case d.Stays:
					got += "s"
				default:
					got += "-"
				}
			}
			if got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}

// Whoever is ill and however much: if anybody wants to serve, somebody does.
func TestSomebodyServes(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	for range 20000 {
		nodes := make([]Told, 1+random.IntN(6))
		wanted, served := false, false
		for i := range nodes {
			nodes[i] = Told{
				Node: string(rune('a' + i)), Weight: uint16(random.IntN(3) * 50), Leave: random.IntN(4) > 0, Illness: Illness(random.IntN(3)),
			}
			wanted = wanted || nodes[i].Weight > 0
		}
		for _, n := range nodes {
			d := Decide(n.Node, nodes)
			served = served || d.Stays && n.Weight > 0
			for _, name := range d.LessIll {
				if !Decide(name, nodes).Stays {
					t.Fatalf("%+v: %s leaves for %s, which leaves too", nodes, n.Node, name)
				}
			}
		}
		if wanted && !served {
			t.Fatalf("nobody serves: %+v", nodes)
		}
	}
}

func TestBlame(t *testing.T) {
	var b Blame
	both := [][]string{{"gateway"}, {"reach", "gateway"}}
	one := [][]string{{"gateway"}, nil}
	none := [][]string{nil, nil}
	for _, row := range []struct {
		name string
		at   time.Duration
		sees [][]string
		held []string
		want []string
	}{
		{"one node sees it", 0, one, nil, nil},
		{"all see it", 1 * time.Second, both, nil, []string{"gateway"}},
		{"one finds it again before the others", 20 * time.Second, one, nil, []string{"gateway"}},
		{"but only one for long", 32 * time.Second, one, nil, nil},
		{"a node alone blames nobody", 40 * time.Second, both[:1], nil, nil},
		{"each has lost another", 41 * time.Second, [][]string{{"reach", "reach a"}, {"reach", "reach b"}}, nil, []string{"reach"}},
		{"all have lost the same, one another too", 80 * time.Second, [][]string{{"reach a", "reach b"}, {"reach", "reach b"}}, nil, []string{"reach b"}},
		{"an older version does not say which", 120 * time.Second, [][]string{{"reach a", "gateway x"}, {"reach"}}, nil, []string{"reach a"}},
		{"all have found it again, and patience lasts longer than blame", 151 * time.Second, none, []string{"reach a"}, []string{"reach a"}},
		{"for as long as it takes", 400 * time.Second, none, []string{"reach a"}, []string{"reach a"}},
		{"then this node alone loses it", 401 * time.Second, [][]string{{"reach a"}, {"reach"}, nil}, nil, nil},
		{"which is not blamed on it when it is over either", 410 * time.Second, none, []string{"reach a"}, nil},
	} {
		if got := b.Update(row.at, row.sees, row.held); !slices.Equal(got, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, got, row.want)
		}
	}
}
