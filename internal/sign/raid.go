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
	for _, file := range files {
		n, err := readUint(file)
		if err != nil {
			return broken(err)
		}
		if n > 0 {
			degraded = append(degraded, filepath.Base(filepath.Dir(filepath.Dir(file))))
		}
	}
	if len(degraded) == 0 {
		return measured(0, "%d md arrays, all whole", len(files))
	}
	return measured(float64(len(degraded)), "%s degraded", strings.Join(degraded, ", "))
}
