package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Command is `rota lab`.
func Command() *cobra.Command {
	var o Options
	var demo bool
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Run a whole cluster on this machine",
		Long: `Run a whole cluster on this machine, in network namespaces: a switch, nodes
with the real daemon and a real service, and a client. The lab stays up until
it is interrupted, and takes commands: cut, freeze, kill, heal, add, probe, …
(help lists them). Everything is removed at the end.`,
		Example: `  rota lab --nodes 5
  rota lab --interval 10ms --lease 50ms
  rota lab --second-path
  rota lab --demo`,
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			out := cmd.OutOrStdout()
			o.Log = out
			if demo {
				return Demo(ctx, o, out)
			}
			o.Ailing = true
			return interactive(ctx, o, cmd.InOrStdin(), out)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&demo, "demo", false, "cut a node off and bring it back under traffic, tell what was measured, and end")
	flags.IntVar(&o.Nodes, "nodes", 3, "nodes at the start, 1 to 64")
	flags.StringVar(&o.Name, "name", "", "1 to 16 lower-case letters and digits (default lab1, or the next that is free)")
	flags.DurationVar(&o.Interval, "interval", 0, "of the beat (default the daemon's)")
	flags.DurationVar(&o.Lease, "lease", 0, "of a node (default the daemon's)")
	flags.StringVar(&o.Quorum, "quorum", "", "none or majority (default the daemon's)")
	flags.StringVar(&o.Datapath, "datapath", "", "auto, xdp, xdp-generic or tc (default the daemon's)")
	flags.BoolVar(&o.SecondPath, "second-path", false, "a second network, by which beats go too")
	return cmd
}

// interactive runs a lab until ctx ends or somebody quits.
func interactive(ctx context.Context, o Options, in io.Reader, out io.Writer) (err error) {
	l, err := New(o)
	if err != nil {
		return err
	}
	if err := l.Start(ctx); err != nil {
		return ended(ctx, err)
	}
	defer func() {
		fmt.Fprintln(out, "removing the lab")
		if closeErr := l.Close(); err == nil {
			err = closeErr
		}
	}()
	fmt.Fprint(out, l.directions())
	return newPrompt(l, out).run(ctx, in)
}

// ended is nil if what failed was ended by the user.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// directions tell how to reach what is in the lab.
func (l *Lab) directions() string {
	var b strings.Builder
	fmt.Fprintf(&b, "lab %s: %d nodes share %s\n", l.Name(), len(l.nodes), joined(l.Shared()))
	fmt.Fprintf(&b, "  client   ip netns exec %s curl http://%s\n", l.client.Host().Namespace(), l.Shared()[0])
	for _, n := range l.nodes {
		fmt.Fprintf(&b, "  %-8s ip netns exec %s bash\n", n.Name(), n.host.Namespace())
		fmt.Fprintf(&b, "           rota --socket %s status\n", n.Socket())
	}
	fmt.Fprintf(&b, "  logs     %s/NODE/rota.log\n", l.Dir())
	fmt.Fprintf(&b, "help lists the commands; interrupt or quit ends the lab\n")
	return b.String()
}

func joined[T fmt.Stringer](all []T) string {
	var parts []string
	for _, x := range all {
		parts = append(parts, x.String())
	}
	return strings.Join(parts, " and ")
}
