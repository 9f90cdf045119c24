package sign

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/rota-cluster/rota/internal/health"
)

// memoryErrors sums a counter of all memory controllers, Documentation/driver-api/edac.rst.
func memoryErrors(sys, counter string) (uint64, bool, error) {
	files, err := filepath.Glob(filepath.Join(sys, "devices/system/edac/mc/mc*", counter))
	if err != nil {
		return 0, false, fmt.Errorf("edac: %w", err)
	}
	sum := uint64(0)
	for _, file := range files {
		n, err := readUint(file)
		if err != nil {
			return 0, false, err
		}
		sum += n
	}
	return sum, len(files) > 0, nil
}

const noEDAC = "no memory controller reports errors here (no ECC memory, or no EDAC driver)"

// corrected are single-bit errors that ECC memory has mended, within an hour.
type corrected struct {
	sys  string
	now  func() time.Time
	hour recent
}

func newCorrected(e Env) sensor {
	return &corrected{sys: e.Roots.Sys, now: e.Now, hour: recent{span: time.Hour}}
}

func (c *corrected) memory() any { return &c.hour }

func (c *corrected) read() health.Reading {
	total, found, err := memoryErrors(c.sys, "ce_count")
	switch {
	case err != nil:
		return broken(err)
	case !found:
		return cannotTell(noEDAC)
	}
	n := c.hour.add(c.now(), total)
	return measured(float64(n), "%d memory errors mended in an hour, %d since boot", n, total)
}

// uncorrected are those that could not be mended, since boot.
type uncorrected struct{ sys string }

func (u uncorrected) read() health.Reading {
	total, found, err := memoryErrors(u.sys, "ue_count")
	switch {
	case err != nil:
		return broken(err)
	case !found:
		return cannotTell(noEDAC)
	}
	return measured(float64(total), "%d memory errors that could not be mended since boot", total)
}
