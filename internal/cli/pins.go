package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/rota-cluster/rota/internal/api"
)

// maxBuckets is how many a pool has at most.
const maxBuckets = 65536

const bucketsHelp = `BUCKETS are numbers and ranges: 0-63,80. With --clusterip they count from 1, as
those of CLUSTERIP did. --pool is needed where there are several pools.`

// pinFlags are those of take, release and move.
type pinFlags struct {
	request   api.PinsRequest
	clusterip bool
	asJSON    bool
}

func (f *pinFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.request.Pool, "pool", "", "`NAME` of the pool, where there are several")
	cmd.Flags().BoolVar(&f.clusterip, "clusterip", false, "BUCKETS count from 1")
	orderJSON(cmd, &f.asJSON)
}

// buckets as the daemon counts them.
func (f *pinFlags) buckets(text string) (string, error) {
	base := uint32(0)
	if f.clusterip {
		base = 1
	}
	list, err := api.ParseRanges(text, maxBuckets+base)
	if err == nil && list[0] < base {
		err = fmt.Errorf("with --clusterip buckets count from 1")
	}
	if err != nil {
		return "", usageError{err}
	}
	for i := range list {
		list[i] -= base
	}
	return api.ListRanges(list), nil
}

// order sends it, and says what was done.
func (p *program) pins(cmd *cobra.Command, f *pinFlags, buckets string, say func(io.Writer, *api.PinsDone) error) error {
	var err error
	if f.request.Buckets, err = f.buckets(buckets); err != nil {
		return err
	}
	done, err := p.client().Pins(cmd.Context(), f.request)
	if err != nil {
		return err
	}
	if f.asJSON {
		return p.tellJSON(done)
	}
	return say(p.Stdout, done)
}

func sayPinned(w io.Writer, done *api.PinsDone) error {
	_, err := fmt.Fprintf(w, "pinned %s of pool %s to %s\n", plural(done.Buckets, "bucket"), done.Pool, done.Node)
	return err
}

func (p *program) take() *cobra.Command {
	var f pinFlags
	cmd := &cobra.Command{
		Use:   "take BUCKETS",
		Short: "Pin buckets to this node",
		Long: `Pin buckets to this node, or to that of --node: it owns them whenever it serves,
whatever the weights say. While it is away, drains or has weight 0, they are
shared out like all others; it has them again when it is back. The other nodes
own so much more of the rest that shares stay as the weights say.

The order holds for the whole cluster and over restarts, until rota release, or
until the buckets are pinned to another node. Open connections go on. Returns
when the daemon has noted it, and with --node when that node knows of it.

` + bucketsHelp,
		Example: `  rota take 0-63,80
  rota take --clusterip 2
  rota take --node node-b --pool web 17`,
		Args: arguments("BUCKETS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.request.Present = f.request.Node != ""
			return p.pins(cmd, &f, args[0], sayPinned)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.request.Node, "node", "", "`NAME` of another node that takes them; it must be there")
	return cmd
}

func (p *program) release() *cobra.Command {
	f := pinFlags{request: api.PinsRequest{Release: true}}
	cmd := &cobra.Command{
		Use:   "release BUCKETS",
		Short: "Take this node's pins off buckets",
		Long: `Take this node's pins off buckets, or those of --node (which may be away): from
then on they are shared by weight like all others. This node may well keep some
of them; to give buckets away, rota move them. Open connections go on.

If one of the buckets is not pinned to the node, nothing is released, and the
refusal says which: a bucket that a node owns by weight cannot be released.

` + bucketsHelp,
		Example: `  rota release 0-63,80
  rota release --clusterip 2
  rota release --node node-b 17`,
		Args: arguments("BUCKETS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.pins(cmd, &f, args[0], func(w io.Writer, done *api.PinsDone) error {
				_, err := fmt.Fprintf(w, "released %s of pool %s\n", plural(done.Buckets, "bucket"), done.Pool)
				return err
			})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.request.Node, "node", "", "`NAME` of another node whose pins are taken off")
	return cmd
}

func (p *program) move() *cobra.Command {
	var f pinFlags
	cmd := &cobra.Command{
		Use:   "move BUCKETS NODE",
		Short: "Pin buckets to another node",
		Long: `Pin buckets to a node, wherever they were pinned before. See rota take. The node
need not be there: it has them when it comes back. A name that this node has not
heard since its start is refused, unless --force says that it is meant.

` + bucketsHelp,
		Example: `  rota move 0-63,80 node-b
  rota move --clusterip 2 node-b`,
		Args: arguments("BUCKETS", "NODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.request.Node = args[1]
			return p.pins(cmd, &f, args[0], sayPinned)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.request.Force, "force", false, "pin to a node that was never heard")
	return cmd
}
