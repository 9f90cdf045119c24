package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
)

// drainLook is how often --wait asks whether the node is empty.
const drainLook = 200 * time.Millisecond

// servesOnLooks: a handover is over long before.
const servesOnLooks = 15

// waitGrace is how much longer than its timeout a drain may take: the host's
// sockets are looked at every second.
const waitGrace = 5 * time.Second

const nodeHelp = `With --node the order is for another node, which any node passes on, and the
command returns when that one has accepted; it fails if there is no such node,
if it cannot be reached, or if it refuses.`

func addNode(cmd *cobra.Command, node *string) {
	cmd.Flags().StringVar(node, "node", "", "the order is for the node of this `NAME`")
}

// nodeFlag is how an order is given to that node.
func nodeFlag(node string) string {
	if node == "" {
		return ""
	}
	return " --node " + node
}

// whose an order was, if it was another's.
func whose(node string) string {
	if node == "" {
		return ""
	}
	return node + ": "
}

func (p *program) drain() *cobra.Command {
	var wait, asJSON bool
	var timeout time.Duration
	var r api.DrainRequest
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Hand everything over to the other nodes; open connections go on",
		Long: `Hand every bucket of this node over to the others. Open connections stay here
until they end or the pool's drain_timeout is over, or --timeout; new ones go
to the others. Returns when the daemon has accepted; with --wait when nothing
is left here, and every 10 s it tells on standard error what it waits for. It
lasts until rota resume, or until the daemon is stopped; rota restart keeps it.

Refused when no other node serves that stays: of nodes that are drained at the
same time, the last is refused. With --force it drains all the same; if really
nobody else serves, it goes on, alone, until another node does, and says that it
is degraded. Nodes that were drained before get nothing back.

` + nodeHelp,
		Example: `  rota drain --reason "new kernel"
  rota drain --wait && reboot
  rota drain --wait --timeout 30s --node node-b`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r.TimeoutMS = timeout.Milliseconds()
			if err := p.client().Drain(cmd.Context(), r); err != nil {
				return err
			}
			name, err := r.Node, error(nil)
			if wait {
				name, err = p.waitDrained(cmd.Context(), r.Node, timeout)
			}
			switch {
			case err != nil:
			case asJSON:
				err = p.tellOrder(cmd.Context(), ordered{Order: "drain", Node: name, Drained: &wait})
			case wait:
				_, err = fmt.Fprintf(p.Stdout, "drained: nothing is left on %s\n", name)
			case r.Force && p.nobodyElse(cmd.Context(), name):
				_, err = fmt.Fprintf(p.Stdout, "%snobody else serves: goes on until another node does; rota resume%s ends the drain\n", whose(name), nodeFlag(name))
			case name == "":
				_, err = fmt.Fprintln(p.Stdout, "draining; rota status tells what is left, rota resume ends it")
			default:
				_, err = fmt.Fprintf(p.Stdout, "%s drains; rota resume%s ends it\n", name, nodeFlag(name))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "return when nothing is left on the node")
	cmd.Flags().Var(flagValue{"TIME", func(word string) (err error) {
		timeout, err = config.ParseDuration(word, time.Millisecond, config.MaxDrainTimeout, "30s")
		return err
	}}, "timeout", "cut connections after this `TIME`, not after drain_timeout")
	cmd.Flags().BoolVar(&r.Force, "force", false, "although no other node serves")
	cmd.Flags().StringVar(&r.Reason, "reason", "", "one line of `TEXT` for the record")
	addNode(cmd, &r.Node)
	orderJSON(cmd, &asJSON)
	return cmd
}

// nobodyElse tells whether no node serves but the one that drains ("": the one that is asked).
func (p *program) nobodyElse(ctx context.Context, drains string) bool {
	st, err := p.client().Status(ctx)
	return err == nil && !slices.ContainsFunc(st.Nodes, func(n api.Node) bool {
		return n.State == api.Serving && n.Weight > 0 && n.Name != cmp.Or(drains, st.Node)
	})
}

// waitDrained returns the node's name when it has nothing left, or an error when it does not drain any more.
// With a timeout it does not wait for much longer than that.
func (p *program) waitDrained(ctx context.Context, node string, timeout time.Duration) (string, error) {
	asked := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout+waitGrace)
		defer cancel()
	}
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	told := &waiting{to: p.Stderr, node: node, told: time.Now()}
	last := 0 // looks in a row at which the others left everything to the node
	for {
		st, err := p.client().Status(ctx)
		var state api.State
		var drained, servesOn bool
		name := node
		if err == nil && node == "" {
			name, state, drained, servesOn = st.Node, st.State, st.Drained(), st.ServesOn()
		} else if err == nil {
			state, drained, servesOn = st.DrainOf(node)
		}
		switch {
		case asked.Err() != nil:
			return "", fmt.Errorf("stopped waiting; the node drains on, rota resume%s ends it", nodeFlag(node))
		case ctx.Err() != nil:
			return "", fmt.Errorf("not drained within %v%s", timeout+waitGrace, told.and())
		case err != nil:
			return "", err
		case drained:
			return name, nil
		case state != api.Draining:
			return "", fmt.Errorf("the drain was ended: %s is %s", name, state)
		case servesOn:
			if last++; last >= servesOnLooks {
				return "", fmt.Errorf("nobody else takes over: %s drains and goes on serving; rota resume%s ends the drain", name, nodeFlag(node))
			}
		default:
			last = 0
		}
		told.look(st, time.Now())
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (p *program) resume() *cobra.Command {
	var node string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "End or cancel a drain: take part again",
		Long: `End or cancel a drain: this node takes its share again. Open connections go on.
Returns when the daemon has accepted. Refused while the daemon stops.

` + nodeHelp,
		Example: `  rota resume
  rota resume --node node-b`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.client().On(node).Resume(cmd.Context()); err != nil {
				return err
			}
			if asJSON {
				return p.tellOrder(cmd.Context(), ordered{Order: "resume", Node: node})
			}
			_, err := fmt.Fprintf(p.Stdout, "%sresumed\n", whose(node))
			return err
		},
	}
	addNode(cmd, &node)
	orderJSON(cmd, &asJSON)
	return cmd
}

func (p *program) weight() *cobra.Command {
	var node string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "weight N",
		Short: "Change this node's share against the others'",
		Long: `Change this node's weight, 0 to 1000, in all pools: with 50 it owns half of what
a node with 100 owns, with 0 nothing as long as another node has more. Open
connections go on. Returns when the daemon has accepted. It lasts until
node.weight of the configuration changes, or until the daemon is stopped; rota
restart keeps it.

` + nodeHelp,
		Example: `  rota weight 50
  rota weight 50 --node node-b`,
		Args: arguments("N"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseUint(args[0], 10, 16)
			if err != nil || n > config.MaxWeight {
				return badWeight(args[0])
			}
			if err := p.client().On(node).SetWeight(cmd.Context(), uint16(n)); err != nil {
				return err
			}
			if asJSON {
				return p.tellOrder(cmd.Context(), ordered{Order: "weight", Node: node, Weight: &n})
			}
			_, err = fmt.Fprintf(p.Stdout, "%sweight %d\n", whose(node), n)
			return err
		},
	}
	// What looks like a flag is a number below 0.
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if at := strings.LastIndex(err.Error(), " in -"); at >= 0 {
			return badWeight(err.Error()[at+len(" in "):])
		}
		return cmd.Parent().FlagErrorFunc()(cmd, err)
	})
	addNode(cmd, &node)
	orderJSON(cmd, &asJSON)
	return cmd
}

func badWeight(word string) error {
	return badUsage("%q is not a weight; write a whole number from 0 to %d", word, config.MaxWeight)
}

// ordered is an order that was accepted, for programs.
type ordered struct {
	Order   string  `json:"order"` // drain, resume, weight
	Node    string  `json:"node"`  // whom it is for
	Weight  *uint64 `json:"weight,omitempty"`
	Drained *bool   `json:"drained,omitempty"` // of drain: whether nothing is left there, which --wait waits for
}

func orderJSON(cmd *cobra.Command, to *bool) {
	cmd.Flags().BoolVar(to, "json", false, "write JSON")
}

// tellOrder names the node that was asked where the order names none.
func (p *program) tellOrder(ctx context.Context, o ordered) (err error) {
	if o.Node, err = p.named(ctx, o.Node); err != nil {
		return err
	}
	return p.tellJSON(o)
}

// named is the node of an order; one without a name is for the node that is asked.
func (p *program) named(ctx context.Context, node string) (string, error) {
	if node != "" {
		return node, nil
	}
	st, err := p.client().Status(ctx)
	return st.Node, err
}

func (p *program) tellJSON(document any) error {
	out := json.NewEncoder(p.Stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(document)
}
