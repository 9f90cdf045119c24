package health

import (
	"fmt"
	"slices"
)

// Finding is what a sign or check says about a node in one pool.
type Finding struct {
	Name   string
	Target string // of a sign that looks at several: there is a finding for each that is not well
	Level  Level
	Text   string // why, in plain words: "12 % of the time stalled (warn at 10 %)"
	// Percent is what is left of the weight at this level, 1 … 100: what the
	// configuration says for a warning, or what an agent answered.
	Percent int
	Check   bool // the service itself fails; else the host is likely to
	// Waiting: a check without a verdict yet.
	Waiting bool
	// DependsOn are findings that explain this one when they are ill too; no circles.
	DependsOn []string
}

// Verdict sums up the findings for one pool.
type Verdict struct {
	Level   Level
	Percent int // 0 … 100: what is left of the configured weight
	Illness Illness
	// Waiting: the node does not join the pool yet.
	Waiting bool
	// Reasons are one line for each root cause, the worst first.
	Reasons []string
	// Blame is what would leave because of something else: "nginx by disk_space".
	Blame []string
}

// Illness says how ill a node is; of nodes that would all leave those with the
// least go on.
type Illness uint16

// The classes of illness: a service that fails its check does not serve now; a
// host with a bad sign still does.
const (
	illWarn  Illness = 1
	illLeave Illness = 1 << 8
	illCheck Illness = 2 << 8
	illCount         = 1<<8 - 1 // of root causes in a class, at most
)

// Judge sums up. Findings whose Sight is in blamed count as warnings: what they look
// at, not this node, is ill.
func Judge(findings []Finding, blamed []string) Verdict {
	v := Verdict{Percent: 100}
	ill := slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool { return f.Level == OK && f.Percent >= 100 && !f.Waiting })
	for i := range ill {
		if slices.Contains(blamed, Sight(ill[i].Name, ill[i].Target)) && ill[i].Level > OK {
			ill[i].Level, ill[i].Percent = Warn, 100
			ill[i].Text += "; all nodes see it, so this node is not to blame"
		}
	}
	slices.SortStableFunc(ill, func(a, b Finding) int { return int(b.Level) - int(a.Level) })
	for _, f := range ill {
		v.Level = max(v.Level, f.Level)
		v.Waiting = v.Waiting || f.Waiting
		v.Percent = min(v.Percent, f.Percent)
		if root(ill, f) == f.Name {
			v.Reasons = append(v.Reasons, reason(ill, f))
		} else if f.Level == Leave {
			v.Blame = append(v.Blame, f.Name+" by "+root(ill, f))
		}
	}
	if v.Level == Leave || v.Waiting {
		v.Percent = 0
	}
	v.Illness = illness(ill)
	return v
}

// root is the finding that explains f: f itself unless something that it
// depends on is ill too, if only to a warning.
func root(ill []Finding, f Finding) string {
	for range ill {
		i := slices.IndexFunc(ill, func(g Finding) bool { return g.Level > OK && slices.Contains(f.DependsOn, g.Name) })
		if i < 0 || f.Level == OK {
			break
		}
		f = ill[i]
	}
	return f.Name
}

// reason tells of a root cause and of what follows from it.
func reason(ill []Finding, f Finding) string {
	text := fmt.Sprintf("%s: %s", f.Name, f.Text)
	if f.Waiting && f.Text == "" {
		return f.Name + ": no verdict yet"
	} else if f.Waiting {
		return f.Name + ": no verdict yet, " + f.Text
	}
	for _, g := range ill {
		if g.Name != f.Name && root(ill, g) == f.Name {
			text += fmt.Sprintf("; hence %s: %s", g.Name, g.Text)
		}
	}
	return text
}

// illness is the worst class, and how many root causes it has.
func illness(ill []Finding) Illness {
	var worst, n Illness
	for _, f := range ill {
		class := Illness(0)
		switch {
		case f.Level == Leave && f.Check:
			class = illCheck
		case f.Level == Leave:
			class = illLeave
		case f.Level == Warn:
			class = illWarn
		}
		switch {
		case class > worst:
			worst, n = class, 0
		case class == worst && class >= illLeave && root(ill, f) == f.Name:
			n = min(n+1, illCount)
		}
	}
	return worst + n
}

// Share is what percent leaves of a weight: at least 1 unless one of the two is 0.
func Share(weight uint16, percent int) uint16 {
	if weight == 0 || percent <= 0 {
		return 0
	}
	return uint16(max(1, int(weight)*min(percent, 100)/100))
}
