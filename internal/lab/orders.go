package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab/probe"
	"github.com/rota-cluster/rota/internal/lab/segment"
	"github.com/rota-cluster/rota/internal/lab/service"
)

// orders that the prompt knows, as help lists them.
func orders() []order {
	return []order{
		{"status", "", "who owns how much, as every node sees it", (*prompt).status},
		{"probe", "[COUNT]", "ask over new connections who answers (default 1000)", (*prompt).probe},
		{"cut", "NODE…", "lose every frame from and to the node", toNodes((*Node).Cut)},
		{"unplug", "NODE…", "pull the node's cable: it sees its carrier go", toNodes((*Node).Unplug)},
		{"loss", "NODE PERCENT", "lose so many of the node's frames, both ways", (*prompt).loss},
		{"deaf", "NODE…", "lose the beats to the node", toNodes(loseBeats(segment.ToHost))},
		{"mute", "NODE…", "lose the beats from the node", toNodes(loseBeats(segment.FromHost))},
		{"unflood", "NODE…", "have the switch send the node nothing that is for all of them", toNodes((*Node).Unflood)},
		{"unplug2", "NODE…", "pull the node's cable of the second network (--second-path)", toNodes((*Node).UnplugSecond)},
		{"partition", "NODE[,NODE…] NODE[,NODE…]…", "let groups of nodes not hear each other", (*prompt).partition},
		{"heal", "[NODE…]", "end cut, unplug, loss, deaf, mute, unflood and unplug2; without NODE all, and partitions", (*prompt).heal},
		{"freeze", "NODE…", "stop the daemon where it is (SIGSTOP)", toNodes((*Node).Freeze)},
		{"thaw", "NODE…", "let it go on (SIGCONT)", toNodes((*Node).Thaw)},
		{"kill", "NODE…", "end the daemon at once (SIGKILL)", toNodes((*Node).Kill)},
		{"stop", "NODE…", "end the daemon at once, with a goodbye (SIGTERM twice)", toNodes((*Node).Stop)},
		{"leave", "NODE…", "have the daemon drain, then end (SIGTERM)", inTurn((*Node).Leave)},
		{"restart", "NODE…", "restart the daemon while the node serves on (rota restart)", inTurn((*Node).Upgrade)},
		{"start", "NODE…", "start the daemon", toNodes((*Node).Start)},
		{"ail", "NODE WHAT", "make the node ill: " + strings.Join(ailments, ", "), (*prompt).ail},
		{"cure", "NODE…", "end what ail did", func(p *prompt, ctx context.Context, names []string) error {
			return toNodes(func(n *Node) error { return n.Cure(ctx) })(p, ctx, names)
		}},
		{"add", "", "add a node", (*prompt).add},
		{"load", "PROCESSES", "keep processors busy; 0 ends it", (*prompt).load},
		{"reach", "", "how to reach the nodes and the client", (*prompt).reach},
		{"help", "", "this list", (*prompt).help},
		{"quit", "", "end the lab and remove it", func(*prompt, context.Context, []string) error { return errQuit }},
	}
}

func loseBeats(d segment.Direction) func(*Node) error {
	return func(n *Node) error { return n.LoseOneWay(d, segment.Loss{Beats: segment.Certain}) }
}

func (p *prompt) help(context.Context, []string) error {
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	for _, o := range orders() {
		fmt.Fprintf(w, "  %s %s\t%s\n", o.name, o.args, o.help)
	}
	return w.Flush()
}

func (p *prompt) reach(context.Context, []string) error {
	fmt.Fprint(p.out, p.lab.directions())
	return nil
}

func (p *prompt) status(ctx context.Context, _ []string) error {
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NODE\tLAB\tSTATE\tVIEW\tAGREED\tMEMBERS\tBUCKETS")
	for _, n := range p.lab.Nodes() {
		condition := n.Condition()
		if condition == "stopped" || condition == "frozen" {
			fmt.Fprintf(w, "%s\t%s\t\t\t\t\t\n", n.Name(), condition)
			continue
		}
		s, err := n.Status(ctx)
		if err != nil {
			fmt.Fprintf(w, "%s\t%s\t%s\t\t\t\t\n", n.Name(), condition, "no answer")
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%v\t%s\t%s\n", n.Name(), condition, s.State,
			s.View.Number, s.View.Agreed, strings.Join(s.View.Members, " "), ownersText(s.Pools))
	}
	return w.Flush()
}

func ownersText(pools []api.Pool) string {
	var parts []string
	for _, pool := range pools {
		for _, node := range slices.Sorted(maps.Keys(pool.Owners)) {
			parts = append(parts, fmt.Sprintf("%s %d", node, pool.Owners[node]))
		}
	}
	return strings.Join(parts, ", ")
}

func (p *prompt) probe(ctx context.Context, args []string) error {
	count := 1000
	if len(args) > 0 {
		var err error
		if count, err = strconv.Atoi(args[0]); err != nil {
			return fmt.Errorf("%q is not a number of connections", args[0])
		}
	}
	to := netip.AddrPortFrom(p.lab.Shared()[0], service.HTTPPort)
	report, err := p.lab.Client().Burst(ctx, probe.Burst{To: to, Connections: count})
	if err != nil {
		return err
	}
	fmt.Fprintln(p.out, report)
	return nil
}

func (p *prompt) loss(_ context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("say which node and how much, e.g. a 5")
	}
	n, err := p.lab.NodeNamed(args[0])
	if err != nil {
		return err
	}
	percent, err := strconv.ParseFloat(strings.TrimSuffix(args[1], "%"), 64)
	if err != nil || percent < 0 || percent > 100 {
		return fmt.Errorf("%q is not 0 to 100", args[1])
	}
	return n.Lose(segment.Loss{Frames: uint32(percent * segment.Certain / 100)})
}

func (p *prompt) partition(_ context.Context, args []string) error {
	if len(args) < 2 {
		return errors.New("say at least two groups, e.g. a b,c")
	}
	var groups [][]*Node
	for _, group := range args {
		var nodes []*Node
		for name := range strings.SplitSeq(group, ",") {
			n, err := p.lab.NodeNamed(name)
			if err != nil {
				return err
			}
			nodes = append(nodes, n)
		}
		groups = append(groups, nodes)
	}
	return p.lab.Partition(groups...)
}

func (p *prompt) heal(ctx context.Context, names []string) error {
	if len(names) > 0 {
		return toNodes((*Node).Heal)(p, ctx, names)
	}
	failed := []error{p.lab.HealPartition()}
	for _, n := range p.lab.Nodes() {
		failed = append(failed, n.Heal())
	}
	return errors.Join(failed...)
}

func (p *prompt) ail(_ context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("say which node and what ails it, e.g. a disk")
	}
	n, err := p.lab.NodeNamed(args[0])
	if err != nil {
		return err
	}
	return n.Ail(args[1])
}

func (p *prompt) add(ctx context.Context, _ []string) error {
	n, err := p.lab.AddNode(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%s comes\n", n.Name())
	return nil
}

func (p *prompt) load(_ context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("say how many processes")
	}
	count, err := strconv.Atoi(args[0])
	if err != nil || count < 0 || count > 256 {
		return fmt.Errorf("%q is not 0 to 256 processes", args[0])
	}
	if p.unload != nil {
		if err := p.unload(); err != nil {
			return err
		}
		p.unload = nil
	}
	if count > 0 {
		p.unload, err = p.lab.Load(count)
	}
	return err
}
