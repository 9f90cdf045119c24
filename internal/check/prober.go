package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
	"github.com/rota-cluster/rota/internal/systembus"
	"github.com/rota-cluster/rota/internal/turn"
)

func newProber(c config.Check, env Env) (prober, error) {
	switch target := c.Target[0]; c.Kind {
	case "agent":
		return agent(target), nil
	case "dns":
		return newDNS(c, env.Random)
	case "exec":
		return &program{args: c.Target, start: env.Start, random: env.Random, turn: turn.New()}, nil
	case "file":
		return newBounded(file{path: target, absent: c.Absent}.look), nil
	case "grpc":
		return newGRPC(c, env.Now)
	case "http", "https":
		return newHTTP(c, env.Now)
	case "process":
		p := process{proc: "/proc", target: target}
		return newBounded(p.look), nil
	case "systemd":
		return unit{bus: systembus.Address(), name: target}, nil
	case "tcp":
		return tcp(target), nil
	case "tls":
		return newTLS(c, env.Now)
	}
	return nil, fmt.Errorf("nobody knows how to check %s", c.Kind)
}

func passed(text string) Outcome {
	return Outcome{Result: health.Result{Text: text}, Percent: 100}
}

func failed(format string, args ...any) Outcome {
	return Outcome{Result: health.Result{Level: health.Leave, Text: fmt.Sprintf(format, args...)}, Percent: 100}
}

// failedBy says in plain words why something could not be done before ctx was over.
func failedBy(ctx context.Context, doing string, err error) Outcome {
	if ctx.Err() != nil {
		err = os.ErrDeadlineExceeded
	}
	return failure(doing, err)
}

// failure says in plain words why something could not be done.
func failure(doing string, err error) Outcome {
	if lack := lackOf(err); lack != "" {
		return unlooked(doing, lack)
	}
	var dns *net.DNSError
	var number syscall.Errno
	var file *fs.PathError // doing names it
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return failed("%s: not done in time", doing)
	case errors.As(err, &dns):
		return failed("%s: %s: %s", doing, dns.Name, dns.Err)
	case errors.As(err, &number):
		return failed("%s: %s", doing, number.Error())
	case errors.As(err, &file):
		return failed("%s: %s", doing, oneLine(file.Err.Error()))
	}
	return failed("%s: %s", doing, oneLine(err.Error()))
}

// oneLine keeps what others write fit to be shown: one line, not too long,
// without control characters.
func oneLine(s string) string {
	const most = 200
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}

// bounded runs what the kernel may not let go of beside the slot, one at a time.
type bounded struct {
	do      func() Outcome
	pending chan Outcome
	turn    turn.Turn
}

func newBounded(do func() Outcome) *bounded { return &bounded{do: do, turn: turn.New()} }

func (b *bounded) turns() *turn.Turn { return &b.turn }

func (b *bounded) probe(ctx context.Context) Outcome {
	if b.pending == nil && b.turn.Take(ctx) {
		pending := make(chan Outcome, 1)
		go func() {
			defer b.turn.Give()
			pending <- b.do()
		}()
		b.pending = pending
	}
	select {
	case o := <-b.pending:
		b.pending = nil
		return o
	case <-ctx.Done():
		return failed("the kernel does not answer: a file system or process hangs")
	}
}
