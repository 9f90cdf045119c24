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
	ours := ownedBy(link.Index, all)
	if !servesElsewhere(link.Index, all) {
		ours = all
	}
	// The filters last: by them the others are known if this is cut short.
	slices.SortStableFunc(ours, func(a, b standing) int { return cmp.Compare(rank(a), rank(b)) })
	if err := detachAll(ours); err != nil {
		return fmt.Errorf("remove the programs from %s: %w", link.Name, err)
	}
	return nil
}

func rank(s standing) int {
	if s.filters() {
		return 1
	}
	return 0
}

func detachAll(all []standing) error {
	var errs []error
	for _, s := range all {
		errs = append(errs, detach(s))
	}
	return errors.Join(errs...)
}

// sweep takes away what earlier attachments left behind that were cut short,
// once a new one is complete. Where another interface is served too, what has
// no filter might be of that service, and stays until one of them leaves alone.
func sweep(index int, set ebpf.MapID) error {
	all, err := surveyNamespace()
	if err != nil {
		return err
	}
	stale := ownedBy(index, all)
	if !servesElsewhere(index, all) {
		stale = all
	}
	return detachAll(slices.DeleteFunc(stale, func(s standing) bool { return s.set == set }))
}
