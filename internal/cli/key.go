package cli

import (
	"crypto/rand"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rota-cluster/rota/internal/config"
)

func (p *program) key() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "key",
		Short:   "Make the key that the nodes of a cluster share",
		Example: "  (umask 077; rota key generate > /etc/rota/key)",
		Args:    cobra.ArbitraryArgs,
	}
	cmd.RunE = group(cmd)
	cmd.AddCommand(&cobra.Command{
		Use:   "generate",
		Short: "Print a new key: one line on standard output",
		Long: `Print a new key: one line on standard output. Put it into the key_file of every
node of the cluster, readable by nobody but root.`,
		Example: "  (umask 077; rota key generate > /etc/rota/key)",
		Args:    arguments(),
		RunE: func(*cobra.Command, []string) error {
			line, err := config.GenerateKey(rand.Reader)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.Stdout, line)
			return err
		},
	})
	return cmd
}
