package lab

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/rota-cluster/rota/internal/api"
)

// Change is something that an operator does to a cluster by plan.
type Change struct {
	Name string
	do   func(ctx context.Context, l *Lab) error
	want []int // the nodes' shares when it is over, as weights
}

// PlannedChanges of a cluster of three even nodes. Each begins where the one
// before ended; after the last there is a fourth node.
func PlannedChanges() []Change {
	return []Change{
		{"drain of node-b", each(drain, 1), []int{100, 0, 100}},
		{"resume", each(resume, 1), []int{100, 100, 100}},
		{"drain of two at once", each(drain, 0, 1), []int{0, 0, 100}},
		{"resume of both", each(resume, 0, 1), []int{100, 100, 100}},
		{"weight 100 to 10", each(weigh(10), 2), []int{100, 100, 10}},
		{"weight 10 to 100", each(weigh(100), 2), []int{100, 100, 100}},
		{"half pinned to node-a", each(pins(api.PinsRequest{Buckets: half}), 0), []int{100, 50, 50}},
		{"restart of node-b, which lingers", each(upgrade, 1), []int{100, 50, 50}},
		{"the pins released", each(pins(api.PinsRequest{Buckets: half, Release: true}), 0), []int{100, 100, 100}},
		{"reload: node-b by half", each(reload("", ", weight: 50"), 1), []int{100, 50, 100}},
		{"reload: as before", each(reload(", weight: 50", ""), 1), []int{100, 100, 100}},
		{"restart of node-b", each(upgrade, 1), []int{100, 100, 100}},
		{"rolling restart of all three", each(upgrade, 0, 1, 2), []int{100, 100, 100}},
		{"a node joins", join, []int{100, 100, 100, 100}},
	}
}

// Make the change and wait until all nodes agree on what it leads to.
func (c Change) Make(ctx context.Context, l *Lab) error {
	if err := c.do(ctx, l); err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	weights := make(map[*Node]int)
	for i, w := range c.want {
		weights[l.Node(i)] = w
	}
	if err := l.WaitShares(ctx, weights); err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	return nil
}

// each gives these nodes an order, one directly after the other.
func each(order func(context.Context, *Node) error, nodes ...int) func(context.Context, *Lab) error {
	return func(ctx context.Context, l *Lab) error {
		for _, i := range nodes {
			if err := order(ctx, l.Node(i)); err != nil {
				return err
			}
		}
		return nil
	}
}

func drain(ctx context.Context, n *Node) error  { return n.API().Drain(ctx, api.DrainRequest{}) }
func resume(ctx context.Context, n *Node) error { return n.API().Resume(ctx) }

func weigh(weight uint16) func(context.Context, *Node) error {
	return func(ctx context.Context, n *Node) error { return n.API().SetWeight(ctx, weight) }
}

// half of the buckets of a pool that says nothing else.
const half = "0-2047"

func pins(r api.PinsRequest) func(context.Context, *Node) error {
	return func(ctx context.Context, n *Node) error {
		_, err := n.API().Pins(ctx, r)
		return err
	}
}

// reload has the node read a file in which something else follows its name.
func reload(before, after string) func(context.Context, *Node) error {
	return func(ctx context.Context, n *Node) error {
		text, err := os.ReadFile(n.ConfigFile())
		if err != nil {
			return err
		}
		name := fmt.Sprintf("node: {name: %q", n.Name())
		edited := strings.Replace(string(text), name+before, name+after, 1)
		if err := os.WriteFile(n.ConfigFile(), []byte(edited), 0o600); err != nil {
			return err
		}
		_, err = n.API().Reload(ctx)
		return err
	}
}

func upgrade(ctx context.Context, n *Node) error { return n.Upgrade(ctx) }

func join(ctx context.Context, l *Lab) error {
	_, err := l.AddNode(ctx)
	return err
}
