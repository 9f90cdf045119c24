package check

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/rota-cluster/rota/internal/health"
)

// agent reads a line from a program that knows how much this host can carry,
// in the words of HAProxy's agent-check (configuration manual, "agent-check").
func agent(target string) talk {
	const longest = 512
	said := &agentSaid{Percent: 100}
	return talk{address: target, past: said, judge: always(func(answer []byte, end error) (Outcome, bool) {
		answer = answer[:min(len(answer), longest)]
		line := answer
		if i := bytes.IndexAny(answer, "\r\n"); i >= 0 {
			line = answer[:i]
		}
		switch {
		case len(line) < len(answer), len(answer) == longest, end != nil && len(answer) > 0:
			return said.judge(string(line)), true
		case end != nil:
			return failure("answer of "+target, end), true
		}
		return Outcome{}, false
	})}
}

// agentSaid is what an agent has said last of each sort of thing. What a line does not
// mention stays: only "ready" takes back "drain", and only "up" takes back "down".
type agentSaid struct {
	Admin, Health string // the word that keeps this host out, or ""
	Percent       int
}

func (a *agentSaid) judge(line string) Outcome {
	words, why, _ := strings.Cut(line, "#")
	understood := false
	for _, word := range strings.FieldsFunc(strings.ToLower(words), func(r rune) bool { return strings.ContainsRune(" \t,", r) }) {
		understood = a.take(word) || understood
	}
	if !understood {
		return failed("says %q, which is no weight and no state", oneLine(words))
	}
	out := passed("says " + oneLine(words))
	out.Percent = a.Percent
	for _, word := range []string{a.Admin, a.Health} {
		if word != "" && !strings.Contains(strings.ToLower(words), word) {
			out.Text += ", and has said " + word
		}
	}
	if why = oneLine(why); why != "" {
		out.Text += ": " + why
	}
	if a.Admin != "" || a.Health != "" || a.Percent == 0 {
		out.Level = health.Leave
	}
	return out
}

// take tells whether it knows the word. The last of each sort counts.
func (a *agentSaid) take(word string) bool {
	switch word {
	case "ready":
		a.Admin = ""
		return true
	case "drain", "maint":
		a.Admin = word
		return true
	case "up":
		a.Health = ""
		return true
	case "down", "fail", "failed", "stopped":
		a.Health = word
		return true
	}
	if most, ok := strings.CutPrefix(word, "maxconn:"); ok { // how many connections to give it: rota gives buckets
		_, err := strconv.ParseUint(most, 10, 32)
		return err == nil
	}
	weight, ok := strings.CutSuffix(word, "%")
	n, err := strconv.ParseUint(weight, 10, 32)
	if !ok || err != nil {
		return false
	}
	a.Percent = int(min(n, 100))
	return true
}
