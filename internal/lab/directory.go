package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/lab/segment"
)

const lockName = "lock"

// directory belongs to one lab for as long as that lab's process lives: the
// kernel ends the lock with the process, so a lock that can be had tells a
// dead lab's directory.
type directory struct {
	path string
	lock *os.File
}

// errTaken means that a living lab has the name.
var errTaken = errors.New("is running")

// claim takes the directory of a name, with whatever a dead lab left in it.
func claim(root, name string) (*directory, error) {
	path := filepath.Join(root, name)
	for {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, fmt.Errorf("make the lab's directory: %w", err)
		}
		d, err := lockDirectory(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // removed by the one who had it, between the two steps
		}
		return d, err
	}
}

// lockDirectory is os.ErrNotExist if the directory is gone, or went meanwhile.
func lockDirectory(path string) (_ *directory, err error) {
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lab's lock: %w", err)
	}
	defer func() {
		if err != nil {
			_ = lock.Close()
		}
	}()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		pid, _ := io.ReadAll(io.LimitReader(lock, 32))
		return nil, fmt.Errorf("lab %s %w (process %s)", filepath.Base(path), errTaken, strings.TrimSpace(string(pid)))
	} else if err != nil {
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	mine, err := lock.Stat()
	if err != nil {
		return nil, err
	}
	there, err := os.Stat(lock.Name())
	if err != nil {
		return nil, err
	}
	if !os.SameFile(mine, there) {
		return nil, os.ErrNotExist
	}
	if err := lock.Truncate(0); err != nil {
		return nil, err
	}
	if _, err := lock.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0); err != nil {
		return nil, err
	}
	return &directory{path: path, lock: lock}, nil
}

// empty removes everything that a dead lab of the name left, and tells the
// namespaces among it. Its processes died with it (Pdeathsig).
func (d *directory) empty() (namespaces []string, err error) {
	namespaces, err = segment.Remove(filepath.Base(d.path))
	if err != nil {
		return namespaces, err
	}
	if err := unmountDisks(d.path); err != nil {
		return namespaces, fmt.Errorf("empty the lab's directory: %w", err)
	}
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return namespaces, fmt.Errorf("read the lab's directory: %w", err)
	}
	for _, e := range entries {
		if e.Name() == lockName {
			continue
		}
		if err := os.RemoveAll(filepath.Join(d.path, e.Name())); err != nil {
			return namespaces, fmt.Errorf("empty the lab's directory: %w", err)
		}
	}
	return namespaces, nil
}

// unmountDisks: the disks of a dead lab's nodes are mounted still.
func unmountDisks(path string) error {
	disks, err := filepath.Glob(bodyFiles{dir: filepath.Join(path, "*")}.disk())
	for _, disk := range disks {
		e := unix.Unmount(disk, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if e != nil && !errors.Is(e, unix.EINVAL) { // of what is not mounted
			err = errors.Join(err, &os.PathError{Op: "unmount", Path: disk, Err: e})
		}
	}
	return err
}

// release removes the directory and ends the lock.
func (d *directory) release() error {
	err := os.RemoveAll(d.path)
	return errors.Join(err, d.lock.Close())
}

// sweep removes what dead labs left behind. It says what it did on log.
func sweep(root string, log io.Writer) error {
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for dead labs: %w", err)
	}
	var failed []error
	for _, e := range entries {
		d, err := lockDirectory(filepath.Join(root, e.Name()))
		if errors.Is(err, errTaken) || errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		namespaces, err := d.empty()
		if len(namespaces) > 0 {
			fmt.Fprintf(log, "removed what lab %s left: %s\n", e.Name(), strings.Join(namespaces, " "))
		}
		failed = append(failed, err, d.release())
	}
	return errors.Join(failed...)
}
