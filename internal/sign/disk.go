package sign

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/health"
)

// disk is how full the fullest of some file systems is, for those who are not
// root, as df counts it: what is reserved for root is not free.
type disk struct {
	paths  []string
	inodes bool
}

func (d disk) read() health.Reading {
	worst := cannotTell("no path is named")
	found := false
	var unread []error
	for _, path := range d.paths {
		var s unix.Statfs_t
		if err := unix.Statfs(path, &s); err != nil {
			unread = append(unread, fmt.Errorf("%s: %w", path, err))
			continue
		}
		used, all := s.Blocks-s.Bfree, s.Blocks-s.Bfree+s.Bavail
		what := "space"
		if d.inodes {
			used, all, what = s.Files-s.Ffree, s.Files, "inodes"
		}
		if all == 0 { // btrfs and others make inodes as needed
			continue
		}
		percent := 100 * float64(used) / float64(all)
		if !found || percent > worst.Value {
			worst, found = measured(percent, "%s: %.1f %% of the %s in use", path, percent, what), true
		}
	}
	if !found && len(d.paths) > 0 {
		worst = cannotTell("these file systems have no fixed number of inodes")
	}
	return beside(worst, unread)
}
