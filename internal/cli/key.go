package cli

import (
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/wire"
)

func (p *program) key() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make and change the key that the nodes of a cluster share",
		Example: `  (umask 077; rota key generate > /etc/rota/key)
  rota key rotate /etc/rota/key`,
		Args: cobra.ArbitraryArgs,
	}
	cmd.RunE = group(cmd)
	cmd.AddCommand(p.keyGenerate(), p.keyRotate())
	return cmd
}

func (p *program) keyGenerate() *cobra.Command {
	return &cobra.Command{
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
	}
}

func (p *program) keyRotate() *cobra.Command {
	return &cobra.Command{
		Use:   "rotate FILE",
		Short: "Take the next of three steps to a new key, while the cluster runs",
		Long: `Take the next of three steps to a new key, while the cluster runs and without
a connection noticing. Each step rewrites FILE on this host; then copy it to
every node of the cluster and make each daemon read it (rota reload):

  1  a new key is accepted beside the one in use
  2  the new key seals, the old one is accepted still
  3  the old key is forgotten

All nodes must have taken one step before the next: rota status --json tells
in heartbeat.keys which keys a node uses, the one that seals first. Which
connections go to which node does not change: FILE keeps what the seeds come
from in its line "hash".`,
		Example: "  rota key rotate /etc/rota/key",
		Args:    arguments("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			before, after, err := config.RotateKey(args[0], rand.Reader)
			if err != nil {
				return err
			}
			text, err := rotationText(args[0], before, after)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(p.Stdout, text)
			return err
		},
	}
}

// rotationText tells what a step has done and what to do now.
func rotationText(file string, before, after config.Keys) (string, error) {
	did, next := "", "take the next step with: rota key rotate "+file
	first, second := before.Seal, after.Seal
	switch after.Step() {
	case 1:
		did, second = "%s seals still, the new key %s is accepted too", after.New
	case 2:
		did = "%s is accepted still, the new key %s seals"
	default:
		did, first, next = "%s is forgotten, %s is the only key", before.Old, "the rotation is over"
	}
	var ids [2]string
	for i, key := range [][]byte{first, second} {
		id, err := wire.KeyID(key)
		if err != nil {
			return "", err
		}
		ids[i] = id
	}
	var accepted []string
	for _, key := range after.Accepted() {
		id, err := wire.KeyID(key)
		if err != nil {
			return "", err
		}
		accepted = append(accepted, id)
	}
	return fmt.Sprintf("step %d of %d: ", after.Step(), config.KeySteps) + fmt.Sprintf(did, ids[0], ids[1]) +
		fmt.Sprintf("\nnow copy %s to every node and make each daemon read it (rota reload);\nwhen rota status --json has heartbeat.keys [%s] on every node, and not before,\n%s\n",
			file, strings.Join(accepted, " "), next), nil
}
