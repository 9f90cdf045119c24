package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxOutput is how much of what a command says is logged, in bytes.
	maxOutput = 4 << 10
	// pipePatience is how long after a command's end what it left behind may hold its output.
	pipePatience = time.Second
)

// path is what cron gives its jobs, and where administrators put their own.
const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// run runs a command for one event and logs what it says, and if it fails.
func (r *Runner) run(ctx context.Context, c command, e *Event) {
	document, err := json.Marshal(e)
	if err != nil {
		r.o.Log.Error("hook: write the event", "hook", c.name(), "error", err)
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("killed after %v", c.timeout))
	defer cancel()
	var said output
	cmd := exec.CommandContext(ctx, c.words[0], c.words[1:]...)
	cmd.Stdin = bytes.NewReader(append(document, '\n'))
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Dir = "/"
	cmd.Env = append(append([]string{path, "HOME=/"}, r.o.Env...), e.environment()...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd.Process.Pid) }
	cmd.WaitDelay = pipePatience
	if err = r.o.Start(cmd); err == nil {
		err = cmd.Wait()
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	log := r.o.Log.With("hook", c.name(), "event", e.Event)
	switch {
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		log.Warn("hook: failed", "error", err, "output", said.String())
	case said.text.Len() > 0:
		log.Info("hook: said", "output", said.String())
	default:
		log.Debug("hook: done")
	}
}

// killGroup ends a command and what it has started.
func killGroup(leader int) error {
	if err := unix.Kill(-leader, unix.SIGKILL); !errors.Is(err, unix.ESRCH) {
		return err
	}
	return os.ErrProcessDone
}

// output keeps the beginning of what is written, and swallows the rest.
type output struct {
	text bytes.Buffer
	more int
}

func (o *output) Write(b []byte) (int, error) {
	keep := min(len(b), maxOutput-o.text.Len())
	o.text.Write(b[:keep])
	o.more += len(b) - keep
	return len(b), nil
}

func (o *output) String() string {
	text := strings.TrimRight(o.text.String(), "\n")
	if o.more > 0 {
		text += fmt.Sprintf(" … and %d bytes more", o.more)
	}
	return text
}
