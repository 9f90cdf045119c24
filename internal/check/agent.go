package check

import (
	"bufio"
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/rota-cluster/rota/internal/health"
)

// agent reads a line from a program that knows how much this host can carry,
// in the words of HAProxy's agent-check (configuration manual, "agent-check").
type agent struct{ target string }

func (p agent) probe(ctx context.Context) Outcome {
	conn, err := dial(ctx, "tcp", p.target)
	if err != nil {
		return failedBy(ctx, "connect to "+p.target, err)
	}
	defer conn.Close()
	line, err := bufio.NewReader(io.LimitReader(conn, 512)).ReadString('\n')
	if err != nil && line == "" {
		return failedBy(ctx, "answer of "+p.target, err)
	}
	return judgeAgent(line)
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
