package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/rota-cluster/rota/internal/lab/segment"
)

// stopPatience is how long a daemon may take to stop when asked to.
const stopPatience = 5 * time.Second

// stopAgain is how soon after it a daemon is asked once more.
const stopAgain = 50 * time.Millisecond

// errNotRunning means that there is no daemon to do it to.
var errNotRunning = errors.New("its daemon is not running")

// daemon is one run of a node's `rota run`.
type daemon struct {
	process *os.Process
	ended   chan struct{}
	err     error // of its end; good once ended is closed
}

// startDaemon starts the daemon inside the host. Its output is added to the log file.
func startDaemon(h *segment.Host, cmd *exec.Cmd, logFile string) (*daemon, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the daemon's log: %w", err)
	}
	defer log.Close() // the child has its own
	cmd.Stdout, cmd.Stderr = log, log
	if err := h.Start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	d := &daemon{process: cmd.Process, ended: make(chan struct{})}
	go func() {
		d.err = cmd.Wait()
		close(d.ended)
	}()
	return d, nil
}

func (d *daemon) running() bool {
	select {
	case <-d.ended:
		return false
	default:
		return true
	}
}

func (d *daemon) signal(s syscall.Signal) error {
	if err := d.process.Signal(s); errors.Is(err, os.ErrProcessDone) {
		return errNotRunning
	} else if err != nil {
		return fmt.Errorf("signal process %d: %w", d.process.Pid, err)
	}
	return nil
}

// stop asks the daemon to stop at once, frozen or not, and kills it if it does not in
// time. It is an error if it had to, or if the daemon failed. At one signal it would
// drain; two that come together are one to it, so it is told until it has ended.
func (d *daemon) stop() error {
	patience, again := time.NewTimer(stopPatience), time.NewTicker(stopAgain)
	defer patience.Stop()
	defer again.Stop()
	for first := true; ; first = false {
		if err := d.signal(syscall.SIGTERM); err != nil && (first || !errors.Is(err, errNotRunning)) {
			return err
		}
		if err := d.signal(syscall.SIGCONT); err != nil && !errors.Is(err, errNotRunning) {
			return err
		}
		select {
		case <-d.ended:
			return d.failure()
		case <-again.C:
		case <-patience.C:
			return errors.Join(fmt.Errorf("did not stop within %s", stopPatience), d.kill())
		}
	}
}

// leave asks the daemon once to stop, and waits until it has ended or ctx has.
func (d *daemon) leave(ctx context.Context) error {
	if err := d.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-d.ended:
		return d.failure()
	case <-ctx.Done():
		return fmt.Errorf("has not stopped: %w", ctx.Err())
	}
}

// failure of a daemon that was asked to end. One that was so young that the
// signal itself ended it has not failed.
func (d *daemon) failure() error {
	var exit *exec.ExitError
	if errors.As(d.err, &exit) {
		if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() && s.Signal() == syscall.SIGTERM {
			return nil
		}
	}
	return d.err
}

// kill ends the daemon at once and waits until it is gone.
func (d *daemon) kill() error {
	if err := d.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-d.ended
	return nil
}

const logTail = 6 << 10 // bytes

// lastLines of a log, to be told with an error.
func lastLines(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, size-logTail), io.SeekStart)
	}
	tail, _ := io.ReadAll(f)
	return string(bytes.TrimSpace(tail))
}
