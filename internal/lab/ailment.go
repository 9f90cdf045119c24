package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// body is what of a node can fall ill by itself although the lab's nodes share
// one kernel: a small disk, and the files in which a kernel tells of trouble,
// mounted over the real ones for the node's daemon alone.
type body struct{ dir string }

func newBody(dir string) (body, error) {
	b := body{dir}
	if err := os.Mkdir(b.disk(), 0o755); err != nil {
		return b, fmt.Errorf("make the node's disk: %w", err)
	}
	if err := unix.Mount("rota-lab", b.disk(), "tmpfs", 0, "size=1m"); err != nil {
		return b, fmt.Errorf("make the node's disk: %w", err)
	}
	return b, errors.Join(os.WriteFile(b.kmsg(), nil, 0o600), b.press(0))
}

func (b body) disk() string   { return filepath.Join(b.dir, "disk") }
func (b body) kmsg() string   { return filepath.Join(b.dir, "kmsg") }
func (b body) memory() string { return filepath.Join(b.dir, "memory") }

func (b body) close() error {
	if err := unix.Unmount(b.disk(), 0); err != nil {
		return fmt.Errorf("take the node's disk away: %w", err)
	}
	return nil
}

// signs of the node's configuration that see the body.
func (b body) signs() map[string]string {
	paths := fmt.Sprintf("paths: [%q]", b.disk())
	return map[string]string{
		"memory_pressure": "{stay: 3s}", "io_errors": "{}", "link_flaps": "{}",
		"disk_space": "{leave: 99%, stay: 3s, " + paths + "}", "read_only": "{stay: 3s, " + paths + "}",
	}
}

// command lets a program see the body's files in place of the kernel's. unshare
// comes first: the files are mounted for this program alone, or it does not start.
func (b body) command(name string, args ...string) *exec.Cmd {
	const script = `mount --bind "$1" /dev/kmsg && mount --bind "$2" /proc/pressure/memory && shift 2 && exec "$@"`
	alone := []string{"--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh", b.kmsg(), b.memory(), name}
	return exec.Command("unshare", append(alone, args...)...)
}

// press has the kernel say that every task waited so many percent of the time for memory.
func (b body) press(percent int) error {
	text := ""
	for _, who := range []string{"some", "full"} {
		text += fmt.Sprintf("%s avg10=%d.00 avg60=0.00 avg300=0.00 total=0\n", who, percent)
	}
	return os.WriteFile(b.memory(), []byte(text), 0o600)
}

// record has the kernel write into its log.
func (b body) record(message string) error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return err
	}
	log, err := os.OpenFile(b.kmsg(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	const kernelError = 3 // facility kern, severity err
	_, err = fmt.Fprintf(log, "%d,1,%d,-;%s\n", kernelError, now.Nano()/1000, message)
	return errors.Join(err, log.Close())
}

func (b body) fill() error {
	err := os.WriteFile(filepath.Join(b.disk(), "full"), make([]byte, 2<<20), 0o600)
	if errors.Is(err, unix.ENOSPC) {
		return nil
	}
	return err
}

func (b body) remount(flags uintptr) error {
	return unix.Mount("", b.disk(), "", unix.MS_REMOUNT|flags, "")
}

// ailments that Ail knows: its service is killed; its disk fills up, or can be
// written no more; its kernel says that every task waits for memory, or has I/O
// errors in its log, which the daemon remembers for ten minutes.
var ailments = []string{"service", "disk", "readonly", "memory", "records"}

var errNoBody = errors.New("the nodes of this lab have no bodies that could fall ill")

// Ail makes the node ill.
func (n *Node) Ail(what string) error {
	if n.body == nil {
		return errNoBody
	}
	switch what {
	case "service":
		return n.BreakService()
	case "disk":
		return n.body.fill()
	case "readonly":
		return n.body.remount(unix.MS_RDONLY)
	case "memory":
		return n.body.press(80)
	case "records":
		failed := make([]error, 3)
		for i := range failed {
			failed[i] = n.body.record("I/O error, dev sda, sector 2048 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 0")
		}
		return errors.Join(failed...)
	}
	return fmt.Errorf("no ailment %q; there are %s", what, strings.Join(ailments, ", "))
}

// Cure ends everything that Ail did, but for what the daemon remembers.
func (n *Node) Cure(ctx context.Context) error {
	if n.body == nil {
		return errNoBody
	}
	failed := []error{n.body.remount(0), n.body.press(0)}
	if err := os.Remove(filepath.Join(n.body.disk(), "full")); !errors.Is(err, os.ErrNotExist) {
		failed = append(failed, err)
	}
	if n.service == nil {
		failed = append(failed, n.MendService(ctx))
	}
	return errors.Join(failed...)
}
