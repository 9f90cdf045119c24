package cli

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/daemon"
)

func (p *program) run() *cobra.Command {
	var path, level string
	cmd := &cobra.Command{
		Use:   runs,
		Short: "Run the daemon: take part in the cluster until stopped",
		Long: `Run the daemon in the foreground: join the cluster, take a share of the buckets,
answer the other commands. What it does is told on standard error.

SIGTERM and SIGINT make it hand over, wait until open connections have ended or
the pool's drain_timeout is over, say goodbye and leave the host as it was; at
the second one, or if nobody else can take over, it does not wait. SIGUSR2
makes it restart (see rota restart), SIGHUP read its files again (see rota
reload).`,
		Example: `  rota run --config /etc/rota/rota.yaml`,
		Args:    byFlag(""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var least slog.Level
			if err := least.UnmarshalText([]byte(level)); err != nil {
				return badUsage("--log-level %s: write debug, info, warn or error", level)
			}
			c, err := config.Load(path)
			if err != nil {
				return first(err, path)
			}
			// A file that is read again is overruled in the same way.
			overrule := func(c *config.Config) {
				if cmd.Flags().Changed("socket") {
					c.API.Socket = p.socket
				}
			}
			overrule(c)
			read := func() (*config.Config, error) {
				next, err := config.Load(path)
				if err == nil {
					overrule(next)
				}
				return next, err
			}
			log := slog.New(slog.NewTextHandler(p.Stderr, &slog.HandlerOptions{Level: least}))
			return daemon.Run(cmd.Context(), c, read, Version(), p.Signals, log)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&level, "log-level", "info", "`LEVEL` debug, info, warn or error")
	return cmd
}

// first is the first error of a file: a daemon that does not start says one thing.
func first(err error, path string) error {
	all, ok := errors.AsType[config.Errors](err)
	if !ok || len(all) < 2 {
		return err
	}
	one := *all[0]
	one.Msg += fmt.Sprintf(" (and %d more: rota config validate --config %s)", len(all)-1, path)
	return &one
}
