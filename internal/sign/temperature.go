package sign

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/rota-cluster/rota/internal/health"
)

// temperature is how many degrees the hottest part is below its critical one,
// of those that know a critical one: Documentation/hwmon/sysfs-interface.rst.
type temperature struct{ sys string }

func (t temperature) read() health.Reading {
	criticals, err := filepath.Glob(filepath.Join(t.sys, "class/hwmon/hwmon*/temp*_crit"))
	if err != nil {
		return broken(fmt.Errorf("hwmon: %w", err))
	}
	least := cannotTell("no sensor here tells how near it is to a critical temperature")
	found := false
	for _, file := range criticals {
		input := strings.TrimSuffix(file, "_crit") + "_input"
		critical, err := readInt(file)
		if errors.Is(err, errNoNumber) {
			return broken(err)
		}
		if err != nil || critical <= 0 || critical > 200_000 {
			continue // some chips give nonsense for what they do not know
		}
		now, err := readInt(input)
		if errors.Is(err, errNoNumber) {
			return broken(err)
		}
		if err != nil {
			continue // a part that sleeps gives no reading
		}
		margin := (float64(critical) - float64(now)) / 1000
		if !found || margin < least.Value {
			least, found = measured(margin, "%s: %.0f °C, %.0f below critical", partName(file), float64(now)/1000, margin), true
		}
	}
	return least
}

// partName is what the driver calls the chip and the place.
func partName(file string) string {
	name := filepath.Base(filepath.Dir(file))
	if text, err := readFile(filepath.Join(filepath.Dir(file), "name")); err == nil {
		name = strings.TrimSpace(string(text))
	}
	label := strings.TrimSuffix(filepath.Base(file), "_crit")
	if text, err := readFile(strings.TrimSuffix(file, "_crit") + "_label"); err == nil {
		label = strings.TrimSpace(string(text))
	}
	return name + " " + label
}
