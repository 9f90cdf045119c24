package cli

import (
	"github.com/spf13/cobra"

	"github.com/rota-cluster/rota/internal/lab"
)

func (p *program) lab() *cobra.Command {
	cmd := lab.Command()
	cmd.Args = arguments()
	return cmd
}
