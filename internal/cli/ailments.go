package cli

import (
	"slices"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
)

// ailmentsText is a table of the signs and checks of this node that are not well, or
// that cannot be looked at; nothing if all are. What they say in words stands above it.
func ailmentsText(st *api.Status, s style) string {
	var rows [][]cell
	for _, f := range slices.Concat(st.Checks, st.Signs) {
		broken := f.Answer == health.Broken.String()
		if f.Level == health.OK.String() && !broken {
			continue
		}
		state := cell{f.Level, levelPaints[f.Level]}
		value, threshold := cell{"-", faint}, cell{"-", faint}
		kind := config.SignKind{Unit: f.Unit}
		switch {
		case broken:
			state = cell{f.Answer, warn}
		case f.Pool == "":
			value = cell{text: kind.Text(f.Value)}
		}
		if f.Threshold != nil {
			threshold = cell{text: kind.Text(*f.Threshold)}
		}
		since := "-"
		if !f.Since.IsZero() && f.Level != health.OK.String() {
			since = clock(f.Since, st.Now) + " (" + ago(st.Now.Sub(f.Since)) + ")"
		}
		if f.HeldMS > 0 {
			since += "; over in " + ago(time.Duration(f.HeldMS)*time.Millisecond)
		}
		rows = append(rows, []cell{{text: findingName(&f)}, state, value, threshold, {text: since}})
	}
	if len(rows) == 0 {
		return ""
	}
	columns := []column{{title: "SIGN OR CHECK", least: 16}, {title: "LEVEL"}, {title: "VALUE", right: true}, {title: "LIMIT", right: true}, {title: "SINCE", least: 16}}
	return "\n" + table(s, "", columns, rows)
}

// findingName has the pool of a check.
func findingName(f *api.Finding) string {
	if f.Pool != "" {
		return f.Pool + "/" + f.Name
	}
	return f.Name
}
