package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
)

// drainLook is how often --wait asks whether the node is empty.
const drainLook = 200 * time.Millisecond

// servesOnLooks: a handover is over long before.
const servesOnLooks = 15

func (p *program) drain() *cobra.Command {
	var wait bool
	var reason string
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Hand everything over to the other nodes; open connections go on",
		Long: `Hand every bucket of this node over to the others. Open connections stay here
until they end or the pool's drain_timeout is over; new ones go to the others.
Returns when the daemon has accepted; with --wait when nothing is left here.
Refused when no other node could take over. It lasts until rota resume or the
daemon's next start.`,
		Example: `  rota drain --reason "new kernel"
  rota drain --wait && reboot`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.client().Drain(cmd.Context(), api.DrainRequest{Reason: reason}); err != nil {
				return err
			}
			if wait {
				return p.waitDrained(cmd.Context())
			}
			_, err := fmt.Fprintln(p.Stdout, "draining; rota status tells what is left, rota resume ends it")
			return err
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "return when nothing is left on this node")
	cmd.Flags().StringVar(&reason, "reason", "", "one line of `TEXT` for the record")
	return cmd
}

// waitDrained returns when the node has nothing left, or does not drain any more.
func (p *program) waitDrained(ctx context.Context) error {
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	last := 0 // looks in a row at which the others left everything to this node
	for {
		st, err := p.client().Status(ctx)
		switch {
		case ctx.Err() != nil:
			return errors.New("stopped waiting; the node drains on, rota resume ends it")
		case err != nil:
			return err
		case st.Drained():
			_, err := fmt.Fprintf(p.Stdout, "drained: nothing is left on %s\n", st.Node)
			return err
		case st.State != api.Draining:
			return fmt.Errorf("the drain was ended: %s is %s", st.Node, st.State)
		case st.ServesOn():
			if last++; last >= servesOnLooks {
				return fmt.Errorf("nobody else takes over: %s goes on serving", st.Node)
			}
		default:
			last = 0
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (p *program) resume() *cobra.Command {
	return &cobra.Command{
		Use:   "resume",
		Short: "End or cancel a drain: take part again",
		Long: `End or cancel a drain: this node takes its share again. Open connections go on.
Returns when the daemon has accepted.`,
		Example: `  rota resume`,
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.client().Resume(cmd.Context()); err != nil {
				return err
			}
			_, err := fmt.Fprintln(p.Stdout, "resumed")
			return err
		},
	}
}

func (p *program) weight() *cobra.Command {
	return &cobra.Command{
		Use:   "weight N",
		Short: "Change this node's share against the others'",
		Long: `Change this node's weight, 0 to 1000, in all pools: with 50 it owns half of what
a node with 100 owns, with 0 nothing as long as another node has more. Open
connections go on. Returns when the daemon has accepted. It lasts until the
daemon's next start, which takes node.weight of the configuration.`,
		Example: `  rota weight 50`,
		Args:    arguments("N"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseUint(args[0], 10, 16)
			if err != nil || n > config.MaxWeight {
				return badUsage("%q is not a weight; write a whole number from 0 to %d", args[0], config.MaxWeight)
			}
			if err := p.client().SetWeight(cmd.Context(), uint16(n)); err != nil {
				return err
			}
			_, err = fmt.Fprintf(p.Stdout, "weight %d\n", n)
			return err
		},
	}
}
