package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// binary is rota as `make build` builds it; it may be run by anybody.
var binary string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (code int, err error) {
	if os.Geteuid() != 0 {
		return 1, errors.New("these tests make network namespaces and load BPF programs: run them as root")
	}
	dir, err := os.MkdirTemp("", "rota-test")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil {
		return 1, err
	}
	binary = filepath.Join(dir, "rota")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "../cmd/rota")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build rota: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// outcome of a command.
type outcome struct {
	code           int
	stdout, stderr string
}

// patience with what must come, on a machine that is busy with other things.
const patience = 30 * time.Second

// rota runs a command that talks to a daemon, or to nobody.
func rota(t *testing.T, args ...string) outcome {
	t.Helper()
	return finish(t, exec.CommandContext(soon(t), binary, args...), (*exec.Cmd).Run)
}

// order is rota for commands that must succeed.
func order(t *testing.T, args ...string) string {
	t.Helper()
	o := rota(t, args...)
	if o.code != 0 || o.stderr != "" {
		t.Fatalf("rota %v: exit %d, %s", args, o.code, o.stderr)
	}
	return o.stdout
}

// finish runs a prepared command to its end, which may be a failure.
func finish(t *testing.T, cmd *exec.Cmd, run func(*exec.Cmd) error) outcome {
	t.Helper()
	o, err := conclude(cmd, run)
	must(t, err)
	return o
}

func conclude(cmd *exec.Cmd, run func(*exec.Cmd) error) (outcome, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := run(cmd)
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		return outcome{}, fmt.Errorf("%v: %w", cmd.Args, err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}, nil
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// waitFor waits for a condition.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	if waited, err := waitUntil(patience, holds); err != nil {
		t.Fatalf("waited %s in vain for: %s", waited.Round(time.Second), what)
	}
}

var errInVain = errors.New("in vain")

// waitUntil waits for a condition and tells for how long.
func waitUntil(limit time.Duration, holds func() bool) (time.Duration, error) {
	begin := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if time.Since(begin) > limit {
			return time.Since(begin), errInVain
		}
		<-tick.C
	}
	return time.Since(begin), nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
