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
	return talk{address: target, judge: always(func(answer []byte, end error) (Outcome, bool) {
		line, _, whole := bytes.Cut(answer[:min(len(answer), longest)], []byte("\n"))
		switch {
		case whole, len(answer) >= longest, end != nil && len(answer) > 0:
			return judgeAgent(string(line)), true
		case end != nil:
			return failure("answer of "+target, end), true
		}
		return Outcome{}, false
	})}
}

// judgeAgent takes the last word of each sort: a weight, and whether to serve.
// What is said after a #, or about the number of connections, is not for rota.
func judgeAgent(line string) Outcome {
	line, why, _ := strings.Cut(strings.TrimSpace(line), "#")
	out := passed("says " + oneLine(line))
	understood := false
	for _, word := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t,", r) }) {
		switch weight, isWeight := strings.CutSuffix(word, "%"); word {
		case "up", "ready":
			understood = true
			out.Level = health.OK
		case "down", "fail", "failed", "stopped", "maint", "drain":
			understood = true
			out.Level = health.Leave
		default:
			if n, err := strconv.Atoi(weight); isWeight && err == nil && n >= 0 {
				understood = true
				out.Percent = min(n, 100)
			}
		}
	}
	if out.Percent == 0 {
		out.Level = health.Leave
	}
	if why = strings.TrimSpace(why); why != "" {
		out.Text += ": " + oneLine(why)
	}
	if !understood {
		return failed("says %q, which is no weight and no state", oneLine(line))
	}
	return out
}
