// Package stress makes memory short in a control group: processes in it wait
// for memory, and the kernel tells their pressure in the words in which it tells
// the host's. Nothing outside the group is short of anything.
package stress

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// limit of the group's memory in bytes. What its processes read over and over is four times as much.
const limit = 16 << 20

// Group is a control group with little memory.
type Group struct {
	told  string   // its directory in the hierarchy that tells pressure
	made  []string // all its directories
	file  *os.File // what does not fit
	limit string   // where its memory is limited
}

// NewGroup makes one. That it is there already, left by somebody who crashed, is no error.
func NewGroup(name string) (g *Group, err error) {
	g = &Group{}
	defer func() {
		if err != nil {
			err = fmt.Errorf("make a group with little memory: %w", errors.Join(err, g.Close()))
		}
	}()
	const root = "/sys/fs/cgroup"
	if _, err := os.Stat(root + "/cgroup.controllers"); err == nil {
		g.told = filepath.Join(root, name)
		g.limit = g.told + "/memory.max"
		if err := os.WriteFile(root+"/cgroup.subtree_control", []byte("+memory"), 0); err != nil {
			return g, err
		}
		g.made = []string{g.told}
	} else { // the older hierarchy manages memory; the unified one beside it tells pressure
		g.told = filepath.Join(root, "unified", name)
		limited := filepath.Join(root, "memory", name)
		g.limit = limited + "/memory.limit_in_bytes"
		g.made = []string{g.told, limited}
	}
	for _, dir := range g.made {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return g, err
		}
	}
	if err := os.WriteFile(g.limit, fmt.Appendf(nil, "%d", limit), 0); err != nil {
		return g, err
	}
	// Not in /tmp, which may be memory itself. Nobody else needs its name.
	if g.file, err = os.CreateTemp("/var/tmp", "rota-stress"); err != nil {
		return g, err
	}
	return g, os.Remove(g.file.Name())
}

// Pressure is where the kernel tells it: proc_pressure(5).
func (g *Group) Pressure() string { return g.told + "/memory.pressure" }

// Command is a program that makes memory short until it is killed, with its
// process group: it reads a file that does not fit, so the kernel always takes
// away what is needed next.
func (g *Group) Command() *exec.Cmd {
	const script = `for dir; do echo $$ >"$dir/cgroup.procs" || exit; done
dd if=/dev/zero of=/dev/fd/3 bs=1M count=64 2>/dev/null
while :; do cat /dev/fd/3; done >/dev/null`
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh"}, g.made...)...)
	cmd.ExtraFiles = []*os.File{g.file}
	return cmd
}

// Close removes the group, when its last process is gone.
func (g *Group) Close() error {
	var failed []error
	if g.file != nil {
		failed = append(failed, g.file.Close())
	}
	for _, dir := range g.made {
		failed = append(failed, remove(dir))
	}
	return errors.Join(failed...)
}

// remove waits until the kernel has done with processes that were killed.
func remove(dir string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(5 * time.Second); ; <-tick.C {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, os.ErrNotExist) || time.Now().After(deadline) {
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			return err
		}
	}
}
