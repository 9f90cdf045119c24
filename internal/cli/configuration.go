package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/rota-cluster/rota/internal/config"
)

func (p *program) configuration() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Judge a configuration file, or show what one may hold",
		Example: "  rota config example > /etc/rota/rota.yaml",
		Args:    cobra.ArbitraryArgs,
	}
	cmd.RunE = group(cmd)
	cmd.AddCommand(p.configValidate(),
		p.configText("example", "Print a file with every key and its default, explained", "  rota config example > /etc/rota/rota.yaml", config.Example()),
		p.configText("schema", "Print the JSON schema of the file, for editors", "  rota config schema > rota.schema.json", config.Schema()),
	)
	return cmd
}

func configFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "config", config.DefaultPath, "configuration `FILE`")
}

// maxValidateLines is the most that config validate says of a file that is valid.
const maxValidateLines = 6

func (p *program) configValidate() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Judge a configuration file, and nothing but the file",
		Long: `Judge a configuration file alone: whether the host has the interface, the key
and the kernel for it is not looked at. Tells at most six errors, each with
file, line, column, what is wrong and what would be right, and exits with 2 if
there are any. FILE - is the standard input.`,
		Example: `  rota config validate --config /etc/rota/rota.yaml`,
		Args:    byFlag(" (- is the standard input)"),
		RunE: func(*cobra.Command, []string) error {
			c, err := p.parse(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(p.Stdout, "%s: valid\n", c.File)
			for i, w := range c.Warnings {
				if i == maxValidateLines-2 && len(c.Warnings) > maxValidateLines-1 {
					fmt.Fprintf(p.Stdout, "and %d more warnings\n", len(c.Warnings)-i)
					break
				}
				fmt.Fprintln(p.Stdout, "warning:", w)
			}
			return nil
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func (p *program) parse(path string) (*config.Config, error) {
	if path == "-" {
		data, err := io.ReadAll(p.Stdin)
		if err != nil {
			return nil, fmt.Errorf("read the standard input: %w", err)
		}
		return config.Parse("stdin", data)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		if pe, ok := errors.AsType[*fs.PathError](err); ok {
			err = pe.Err
		}
		return nil, &config.Error{File: path, Msg: "cannot be read: " + err.Error()}
	}
	return config.Parse(path, data)
}

func (p *program) configText(name, short, example string, text []byte) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Example: example, Args: arguments(),
		RunE: func(*cobra.Command, []string) error {
			_, err := p.Stdout.Write(text)
			return err
		},
	}
}
