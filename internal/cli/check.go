package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/daemon"
	"github.com/rota-cluster/rota/internal/health"
)

func (p *program) check() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Run every check and look at every sign of this host once",
		Long: `Run every check of the configuration and look at every sign of this host once,
and print what they say. No daemon is needed or asked. What tells of a change
or lasts some time has not been seen long enough to say more than that.
Exits with 1 if anything says that this host should not serve.`,
		Example: `  rota check --config /etc/rota/rota.yaml
  rota check --json | jq -r '.signs[] | select(.level != "ok") | .text'`,
		Args: byFlag(""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(path)
			if err != nil {
				return first(err, path)
			}
			checks, signs, err := daemon.Examine(cmd.Context(), c)
			if err != nil {
				return err
			}
			if err := p.tellFindings(checks, signs, asJSON); err != nil {
				return err
			}
			return shouldServe(checks, signs)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func (p *program) tellFindings(checks, signs []api.Finding, asJSON bool) error {
	if !asJSON {
		_, err := io.WriteString(p.Stdout, findingsText(slices.Concat(checks, signs), p.style()))
		return err
	}
	document := struct {
		Checks []api.Finding `json:"checks"`
		Signs  []api.Finding `json:"signs"`
	}{append([]api.Finding{}, checks...), append([]api.Finding{}, signs...)}
	return p.tellJSON(document)
}

// shouldServe is an error that names what says no.
func shouldServe(checks, signs []api.Finding) error {
	var names []string
	for _, f := range slices.Concat(checks, signs) {
		if f.Level == health.Leave.String() {
			names = append(names, f.Name)
		}
	}
	if len(names) > 0 {
		return fmt.Errorf("this host should not serve: %s", strings.Join(names, ", "))
	}
	return nil
}

// findingsText is a table of them.
func findingsText(findings []api.Finding, s style) string {
	var rows [][]cell
	for _, f := range findings {
		state, paint := f.Level, levelPaints[f.Level]
		switch f.Answer {
		case health.Measured.String():
		case health.Broken.String():
			state, paint = f.Answer, warn
		default:
			state, paint = f.Answer, faint
		}
		rows = append(rows, []cell{{findingName(&f), plain}, {state, paint}, {fmt.Sprintf("%.1f ms", f.TookMS), faint}, {f.Text, plain}})
	}
	return table(s, "", []column{{title: "NAME"}, {title: "STATE"}, {title: "TOOK", right: true}, {title: "WHAT", least: 20}}, rows)
}
