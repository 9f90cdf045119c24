package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/rota-cluster/rota/internal/daemon"
)

// version is set by the linker; see Makefile.
var version string

// Version is the version of this binary.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

func versionText() string {
	return fmt.Sprintf("rota %s (%s, %s/%s)\n", Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func (p *program) version() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: `  rota version`,
		Args:    arguments(),
		RunE: func(*cobra.Command, []string) error {
			text := versionText()
			if asJSON {
				raw, err := json.Marshal(map[string]string{"version": Version(), "go": runtime.Version(), "arch": runtime.GOARCH, "estate": daemon.EstateFormat()})
				if err != nil {
					return err
				}
				if text, err = indented(raw); err != nil {
					return err
				}
			}
			_, err := io.WriteString(p.Stdout, text)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON; estate: the format in which a restart hands over")
	return cmd
}
