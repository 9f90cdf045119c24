package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/rota-cluster/rota/internal/api"
)

// restartLook is how often --wait asks whether the next daemon is there.
const restartLook = 50 * time.Millisecond

// restartWithin is how long a daemon may be away before --wait gives up; one that
// drains first answers meanwhile.
const restartWithin = 15 * time.Second

func (p *program) restart() *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use:   "restart",
		Short: "Restart or upgrade the daemon; the node serves on meanwhile",
		Long: `Put the rota program that is on the disk now, with the configuration that is on
the disk now, in the place of the running daemon. The peers hold what this node
owns, its datapath serves on, and no connection notices. If the daemon is not
back within three seconds the peers take over as usual.

Both are tried first; if one of them is of no use the daemon says so and goes
on. If the new version cannot carry on what the running one has, or the
configuration has changed in pools, names, interface or quorum, the node drains
before it restarts. A signal does the same: kill -USR2 PID.`,
		Example: `  install -m 755 rota-new /usr/local/bin/rota && rota restart --wait`,
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			before, err := p.client().Status(cmd.Context())
			if err != nil {
				return err
			}
			if err := p.client().Restart(cmd.Context()); err != nil {
				return err
			}
			if wait {
				return p.waitRestarted(cmd.Context(), before)
			}
			_, err = fmt.Fprintln(p.Stdout, "restarting; rota status tells when the next daemon has started")
			return err
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "return when the next daemon answers")
	return cmd
}

// waitRestarted returns when another daemon answers.
func (p *program) waitRestarted(ctx context.Context, before *api.Status) error {
	tick := time.NewTicker(restartLook)
	defer tick.Stop()
	for answered := time.Now(); ; {
		st, err := p.client().Status(ctx)
		switch {
		case ctx.Err() != nil:
			return errors.New("stopped waiting; the daemon restarts all the same")
		case err == nil && !st.Started.Equal(before.Started):
			_, err := fmt.Fprintf(p.Stdout, "restarted: %s runs version %s and is %s\n", st.Node, st.Version, st.State)
			return err
		case err == nil:
			answered = time.Now()
		case time.Since(answered) > restartWithin:
			return fmt.Errorf("the next daemon does not answer: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}
