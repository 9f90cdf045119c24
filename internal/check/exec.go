package check

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/turn"
)

// program runs a command in a process group of its own, and kills the group
// when the time is over or the command has ended; in the first case its strays too.
type program struct {
	args    []string
	start   func(*exec.Cmd) error
	random  func() float64
	pending chan Outcome // of a command that could not be killed yet
	turn    turn.Turn
}

func (p *program) turns() *turn.Turn { return &p.turn }

// killWithin is how long a killed command may take to be gone.
const killWithin = 200 * time.Millisecond

func (p *program) probe(ctx context.Context) Outcome {
	if p.pending == nil && p.turn.Take(ctx) {
		pending := make(chan Outcome, 1)
		p.pending = pending
		go func() {
			defer p.turn.Give()
			pending <- p.run(ctx)
		}()
	}
	select {
	case o := <-p.pending:
		p.pending = nil
		return o
	case <-ctx.Done():
	}
	grace := time.NewTimer(killWithin)
	defer grace.Stop()
	select {
	case o := <-p.pending:
		p.pending = nil
		return o
	case <-grace.C:
		return failed("%s was killed and does not end; no other is started before", p.args[0])
	}
}

func (p *program) run(ctx context.Context) Outcome {
	cmd := exec.CommandContext(ctx, p.args[0], p.args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	output := &tail{}
	cmd.Stdout, cmd.Stderr = output, output
	cmd.Cancel = func() error { return killGroup(cmd.Process.Pid) }
	cmd.WaitDelay = killWithin / 2 // for others that hold its output open
	left := strays{mark: markOf(p.random)}
	cmd.Env = append(cmd.Environ(), left.mark)
	err := p.start(cmd)
	if err == nil {
		left.since = startOf(cmd.Process.Pid)
		err = cmd.Wait()
	}
	if cmd.Process != nil {
		_ = killGroup(cmd.Process.Pid) // nobody is left, most likely
	}
	if cmd.Process != nil && ctx.Err() != nil {
		left.kill()
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return failed("%s did not end in time and was killed", p.args[0])
	case errors.As(err, &exit):
		return failed("%s: %s", exit.ProcessState, output.line())
	case errors.Is(err, unix.EAGAIN): // of fork(2)
		return unlooked("start "+p.args[0], "too many processes (raise TasksMax of the daemon, or kernel.pid_max)")
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return failedBy(ctx, "start "+p.args[0], err)
	}
	return passed(output.line())
}

func killGroup(pid int) error { return unix.Kill(-pid, unix.SIGKILL) }

// tail keeps the end of what a program writes.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	const most = 1024
	t.text = append(t.text, p[max(0, len(p)-most):]...)
	t.text = t.text[max(0, len(t.text)-most):]
	return len(p), nil
}

// line is the last one that is not empty.
func (t *tail) line() string {
	lines := bytes.Split(bytes.TrimSpace(t.text), []byte("\n"))
	return strings.TrimSpace(oneLine(string(lines[len(lines)-1])))
}
