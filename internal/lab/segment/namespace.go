package segment

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namedRoot is where iproute2 and package netns keep named namespaces (ip-netns(8)).
const namedRoot = "/run/netns"

// namespace is a named network namespace with a thread that stays in it.
type namespace struct {
	name   string
	handle netns.NsHandle
	// keeper runs functions on one OS thread for as long as the namespace
	// lives. Children must be started there: Pdeathsig fires at the end of the
	// *thread* that started the child (prctl(2)).
	keeper chan func()
	gone   chan struct{}
}

// newNamespace makes a namespace that `ip netns exec NAME` reaches. It fails
// with os.ErrExist if the name is taken.
func newNamespace(name string) (*namespace, error) {
	n := &namespace{name: name, keeper: make(chan func()), gone: make(chan struct{})}
	ready := make(chan error)
	go func() {
		defer close(n.gone)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		handle, err := netns.NewNamed(name)
		n.handle = handle
		ready <- err
		if err != nil {
			return
		}
		for f := range n.keeper {
			f()
		}
	}()
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("make network namespace %s: %w", name, err)
	}
	return n, nil
}

// onKeeper runs f on the thread that lives as long as the namespace.
func (n *namespace) onKeeper(f func() error) error {
	result := make(chan error)
	n.keeper <- func() { result <- f() }
	return <-result
}

// run runs f on a thread of its own inside the namespace and waits for it.
func (n *namespace) run(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: nobody else shall inherit the namespace
		if err := netns.Set(n.handle); err != nil {
			result <- fmt.Errorf("enter network namespace %s: %w", n.name, err)
			return
		}
		result <- f()
	}()
	return <-result
}

// close ends the keeper, and with it every child that still runs, and removes
// the name. The kernel frees the namespace when its last socket and process are gone.
func (n *namespace) close() error {
	close(n.keeper)
	<-n.gone
	return errors.Join(n.handle.Close(), removeNamed(n.name))
}

func removeNamed(name string) error {
	err := netns.DeleteNamed(name)
	if errors.Is(err, unix.EINVAL) { // the mount has gone already, with a mount namespace or a boot
		err = os.Remove(filepath.Join(namedRoot, name))
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove network namespace %s: %w", name, err)
	}
	return nil
}

// Remove removes the namespaces that a segment of this name left behind, and
// tells their names. The processes in them must have ended.
func Remove(segment string) ([]string, error) {
	entries, err := os.ReadDir(namedRoot)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list network namespaces: %w", err)
	}
	var removed []string
	var failed []error
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix(segment)) {
			continue
		}
		if err := removeNamed(e.Name()); err != nil {
			failed = append(failed, err)
			continue
		}
		removed = append(removed, e.Name())
	}
	return removed, errors.Join(failed...)
}

// prefix starts the name of every namespace of a segment. A segment's name has
// no hyphen, so no segment's prefix is the beginning of another's.
func prefix(segment string) string { return "rota-" + segment + "-" }
