package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (p *program) reload() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Act on the configuration file as it is now, without a restart",
		Long: `Have the daemon read its configuration file and its key file again and act on
them: on all of it or, if something is wrong or cannot be changed while the
daemon runs, on nothing. No connection breaks. Returns when the change is in
force, and prints what has changed. Pools and addresses that are in the file no
more go when their connections have ended, or after drain_timeout. SIGHUP does
the same. Reload one node after the other; nodes whose pools or addresses differ
meanwhile share what they have in common.`,
		Example: `  rota config validate && rota reload`,
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			done, err := p.client().Reload(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return p.tellJSON(done)
			}
			if len(done.Changed) == 0 {
				_, err := fmt.Fprintln(p.Stdout, "nothing has changed")
				return err
			}
			for _, line := range done.Changed {
				fmt.Fprintln(p.Stdout, line)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}
