package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/lab/logind"
)

// body is what of a node can fall ill by itself although the lab's nodes share
// one kernel: a small disk, the files in which a kernel tells of trouble,
// mounted over the real ones for the node's daemon alone, and a system bus.
type body struct {
	bodyFiles
	bus    *logind.Bus
	stress *stressed // nil while its memory is not short
}

// bodyFiles are where a body keeps what it has.
type bodyFiles struct{ dir string }

func newBody(files bodyFiles) (*body, error) {
	b := &body{bodyFiles: files}
	if err := os.Mkdir(b.disk(), 0o755); err != nil {
		return b, fmt.Errorf("make the node's disk: %w", err)
	}
	if err := unix.Mount("rota-lab", b.disk(), "tmpfs", 0, "size=1m"); err != nil {
		return b, fmt.Errorf("make the node's disk: %w", err)
	}
	var err error
	if b.bus, err = logind.Listen(filepath.Join(b.dir, "bus")); err != nil {
		return b, fmt.Errorf("make the node's system bus: %w", err)
	}
	return b, errors.Join(os.WriteFile(b.kmsg(), nil, 0o600), b.press(0))
}

func (b bodyFiles) disk() string   { return filepath.Join(b.dir, "disk") }
func (b bodyFiles) kmsg() string   { return filepath.Join(b.dir, "kmsg") }
func (b bodyFiles) memory() string { return filepath.Join(b.dir, "memory") }

func (b *body) close() error {
	err := b.relax()
	if b.bus != nil {
		err = errors.Join(err, b.bus.Close())
	}
	if unmounted := unix.Unmount(b.disk(), 0); unmounted != nil {
		err = errors.Join(err, fmt.Errorf("take the node's disk away: %w", unmounted))
	}
	return err
}

// signs of the node's configuration that see the body.
func (b bodyFiles) signs() map[string]string {
	paths := fmt.Sprintf("paths: [%q]", b.disk())
	return map[string]string{
		"memory_pressure": "{warn: 5%, leave: 10%, for: 1s, stay: 3s}", "io_errors": "{}", "link_flaps": "{warn: 2, leave: 4}",
		"shutdown":   "{stay: 3s}",
		"disk_space": "{leave: 99%, stay: 3s, " + paths + "}", "read_only": "{stay: 3s, " + paths + "}",
	}
}

// command lets a program see the body's files in place of the kernel's. unshare
// comes first: the files are mounted for this program alone, or it does not start.
func (b *body) command(name string, args ...string) *exec.Cmd {
	const script = `mount --bind "$1" /dev/kmsg && mount --bind "$2" /proc/pressure/memory && shift 2 && exec "$@"`
	alone := []string{"--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh", b.kmsg(), b.memory(), name}
	cmd := exec.Command("unshare", append(alone, args...)...)
	cmd.Env = append(os.Environ(), "DBUS_SYSTEM_BUS_ADDRESS="+b.bus.Address())
	return cmd
}

// press has the kernel say that every task waited so many percent of the time for memory.
func (b *body) press(percent int) error {
	text := ""
	for _, who := range []string{"some", "full"} {
		text += fmt.Sprintf("%s avg10=%d.00 avg60=0.00 avg300=0.00 total=0\n", who, percent)
	}
	return b.tellPressure(text)
}

// tellPressure replaces what the kernel says, at once: somebody may be reading.
func (b *body) tellPressure(text string) error {
	const length = 512 // more than it ever says
	file, err := os.OpenFile(b.memory(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text + strings.Repeat("\n", max(0, length-len(text))))
	return errors.Join(err, file.Close())
}

// record has the kernel write into its log.
func (b *body) record(message string) error {
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

func (b *body) fill() error {
	err := os.WriteFile(filepath.Join(b.disk(), "full"), make([]byte, 2<<20), 0o600)
	if errors.Is(err, unix.ENOSPC) {
		return nil
	}
	return err
}

func (b *body) remount(flags uintptr) error {
	return unix.Mount("", b.disk(), "", unix.MS_REMOUNT|flags, "")
}
