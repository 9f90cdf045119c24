package datapath

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/rota-cluster/rota/internal/netcfg"
)

// ErrStillShared is wrapped by Remove where it would bare a shared address.
var ErrStillShared = errors.New("shared addresses are still on it; remove them first")

// Remove takes away everything of rota's that stands for this service
// interface, on it and on the others of this network namespace, whoever
// attached it and however far that came. It leaves alone other people's
// programs and those of rota's that serve another interface. Doing it twice is
// no error.
func Remove(link netcfg.Link) error {
	now, err := netcfg.LinkByIndex(link.Index)
	if err == nil && len(now.Shared) > 0 {
		return fmt.Errorf("remove the programs from %s: %w", link.Name, ErrStillShared)
	}
	all, err := surveyNamespace()
	if err != nil {
		return fmt.Errorf("remove the programs from %s: %w", link.Name, err)
	}
	ours := serving(all, link.Index)
	// The announcer last: by it the others are found again if this is cut short.
	slices.SortStableFunc(ours, func(a, b standing) int { return cmp.Compare(order(a), order(b)) })
	var errs []error
	for _, s := range ours {
		errs = append(errs, detach(s))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove the programs from %s: %w", link.Name, err)
	}
	return nil
}

// serving picks the programs on a service interface, their guards, and guards
// that serve none: their interface is gone.
func serving(all []standing, index int) []standing {
	elsewhere := make(map[ebpf.MapID]bool)
	for _, s := range all {
		if s.name != NameGuard && s.index != index {
			elsewhere[s.set] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(s standing) bool {
		if s.name == NameGuard {
			return elsewhere[s.set]
		}
		return s.index != index
	})
}

func order(s standing) int {
	switch s.name {
	case NameXDP, NameTC, NameAdopt:
		return 0
	case NameGuard:
		return 1
	}
	return 2
}
