package sign

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rota-cluster/rota/internal/health"
)

// pressure is the part of the last ten seconds in which tasks waited for a
// resource: some of them, or all ("full"). Documentation/accounting/psi.rst.
type pressure struct {
	proc, resource, kind string
}

func (p pressure) read() health.Reading {
	path := filepath.Join(p.proc, "pressure", p.resource)
	text, err := readFile(path)
	if err != nil {
		return unreadable(err, "this kernel has no pressure stall information (CONFIG_PSI, psi=1)")
	}
	value, err := average(string(text), p.kind)
	if err == nil && !(0 <= value && value <= 100) { // NaN is not either
		err = fmt.Errorf("avg10 is %v, which is no part of the time", value)
	}
	if err != nil {
		return broken(fmt.Errorf("%s: %w", path, err))
	}
	who := map[string]string{"some": "some task", "full": "every task"}[p.kind]
	return measured(value, "%s waited for %s %.1f %% of the last 10 s", who, p.resource, value)
}

func average(text, kind string) (float64, error) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != kind {
			continue
		}
		if value, ok := strings.CutPrefix(fields[1], "avg10="); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("no avg10 of %q", kind)
}
