package sign

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/rota-cluster/rota/internal/health"
)

// raid counts md arrays that have lost a disk, Documentation/admin-guide/md.rst.
type raid struct{ sys string }

func (r raid) read() health.Reading {
	files, err := filepath.Glob(filepath.Join(r.sys, "block/md*/md/degraded"))
	if err != nil {
		return broken(fmt.Errorf("md: %w", err))
	}
	if len(files) == 0 {
		return cannotTell("no md array with redundancy here")
	}
	var degraded []string
	var unread []error
	for _, file := range files {
		n, err := readUint(file)
		if err != nil {
			unread = append(unread, err)
			continue
		}
		if n > 0 {
			degraded = append(degraded, filepath.Base(filepath.Dir(filepath.Dir(file))))
		}
	}
	read := len(files) - len(unread)
	switch {
	case read == 0:
		return beside(cannotTell("no md array can be read"), unread)
	case len(degraded) == 0:
		return beside(measured(0, "%d md arrays, all whole", read), unread)
	}
	return beside(measured(float64(len(degraded)), "%s degraded", strings.Join(degraded, ", ")), unread)
}
