package netcfg

import (
	"errors"

	"github.com/vishvananda/netlink"
)

// dump repeats a listing that another change interrupted: its answer may lack
// entries. On a busy host the last answer is taken as it is; the watcher tells
// of what it lacks.
func dump[T any](list func() ([]T, error)) ([]T, error) {
	const attempts = 10
	for i := 1; ; i++ {
		all, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
		if i == attempts {
			return all, nil
		}
	}
}
