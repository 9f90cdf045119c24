package netcfg

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

// runChild takes the lock of node0, says so and holds it until it is killed.
func runChild(task string) error {
	if task != "lock" {
		return fmt.Errorf("unknown task %q", task)
	}
	l, err := LinkByName("node0")
	if err != nil {
		return err
	}
	if _, err := TakeLock(l); err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "locked")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func TestASecondDaemonOnTheInterfaceIsRefusedUntilTheFirstIsDead(t *testing.T) {
	node, neighbour := segment(t)
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), childTask+"=lock")
	child.Stderr = os.Stderr
	if _, err := child.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	node.Start(child)
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "locked\n" {
		t.Fatalf("the first process says %q, %v", line, err)
	}

	l := link(t, node, "node0")
	take := func(s *netnstest.Space, l Link) (lock *Lock, err error) {
		err = s.Try(func() error {
			var err error
			lock, err = TakeLock(l)
			return err
		})
		return lock, err
	}
	if _, err := take(node, l); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", child.Process.Pid)) {
		t.Errorf("the second on the same interface: %v", err)
	}
	for words, where := range map[string]struct {
		space *netnstest.Space
		link  Link
	}{
		"another interface":                       {node, link(t, node, "lo")},
		"the same number in another namespace":    {neighbour, l},
		"another namespace's own (same or other)": {netnstest.New(t), l},
	} {
		lock, err := take(where.space, where.link)
		if err != nil {
			t.Errorf("%s: %v", words, err)
			continue
		}
		if err := lock.Release(); err != nil {
			t.Error(err)
		}
	}

	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var lock *Lock
	netnstest.Until(t, "the lock of the dead process is free", func() (ok bool) {
		lock, err = take(node, l)
		return err == nil
	})
	if err := lock.Release(); err != nil {
		t.Error(err)
	}
	if lock, err = take(node, l); err != nil {
		t.Fatalf("after Release: %v", err)
	}
	_ = lock.Release()
}
