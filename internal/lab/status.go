package lab

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/rota-cluster/rota/internal/api"
)

const (
	askPatience = time.Second // for one answer of a daemon
	askAgain    = 50 * time.Millisecond
)

// API asks the node's daemon, or gives it orders.
func (n *Node) API() *api.Client { return n.client }

// Status asks the node's daemon. One that does not answer within a second is
// as good as dead.
func (n *Node) Status(ctx context.Context) (*api.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	s, err := n.client.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("status of %s: %w", n.Name(), err)
	}
	return s, nil
}

// WaitAgreed waits until the given nodes, or all that can be expected to if
// none are given, share one view of exactly themselves and every bucket has
// an owner among them. It returns their statuses, and fails at once if one of
// their daemons has ended.
func (l *Lab) WaitAgreed(ctx context.Context, nodes ...*Node) ([]*api.Status, error) {
	if nodes == nil {
		nodes = l.healthy()
	}
	return l.wait(ctx, nodes, func(ctx context.Context) ([]*api.Status, error) { return agreement(ctx, nodes) })
}

// WaitShares waits until all nodes that can be expected to agree who owns how
// much of every pool: of each bucket table its share by these weights, to ±1.
// Nodes without a weight have none. Unlike WaitAgreed it knows nodes that drain.
func (l *Lab) WaitShares(ctx context.Context, weights map[*Node]int) error {
	nodes := l.healthy()
	_, err := l.wait(ctx, nodes, func(ctx context.Context) ([]*api.Status, error) {
		for _, n := range nodes {
			s, err := n.Status(ctx)
			if err != nil {
				return nil, err
			}
			if err := shared(s, weights); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	return err
}

// shared tells why this is not the status of a node in an agreed view with these shares.
func shared(s *api.Status, weights map[*Node]int) error {
	sum := 0
	for _, w := range weights {
		sum += w
	}
	if !s.View.Agreed {
		return fmt.Errorf("%s is %s%s, not agreed with %v", s.Node, s.State, because(s), s.View.Members)
	}
	for _, p := range s.Pools {
		owned := 0
		for n, w := range weights {
			has, want := p.Owners[n.Name()], float64(p.Buckets)*float64(w)/float64(sum)
			if math.Abs(float64(has)-want) > 1 || w == 0 && has > 0 {
				return fmt.Errorf("%s finds that %s owns %d of %d buckets of pool %s, not %.0f", s.Node, n.Name(), has, p.Buckets, p.Name, want)
			}
			owned += has
		}
		if owned != int(p.Buckets) {
			return fmt.Errorf("%s finds owners for %d of %d buckets of pool %s: %v", s.Node, owned, p.Buckets, p.Name, p.Owners)
		}
	}
	return nil
}

// wait looks again and again until there is no disagreement. It fails at once
// if the daemon of one of the nodes has ended, and with the last disagreement
// when ctx is over: not with what a look found that ctx itself cut off.
func (l *Lab) wait(ctx context.Context, nodes []*Node, look func(context.Context) ([]*api.Status, error)) ([]*api.Status, error) {
	tick := time.NewTicker(askAgain)
	defer tick.Stop()
	var disagreement error
	for {
		all, err := look(ctx)
		if err == nil {
			return all, nil
		}
		if disagreement == nil || ctx.Err() == nil {
			disagreement = err
		}
		for _, n := range nodes {
			if err := n.ended(); err != nil {
				return nil, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the nodes do not agree: %w (%w)", disagreement, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// agreement is nil if the nodes agree; else it says who does not.
func agreement(ctx context.Context, nodes []*Node) ([]*api.Status, error) {
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name())
	}
	slices.Sort(names)
	var all []*api.Status
	for _, n := range nodes {
		s, err := n.Status(ctx)
		if err != nil {
			return nil, err
		}
		if err := agreesOn(s, names); err != nil {
			return nil, err
		}
		if len(all) > 0 && all[0].View.ID != s.View.ID {
			return nil, fmt.Errorf("%s is in view %s, %s in view %s", all[0].Node, all[0].View.ID, s.Node, s.View.ID)
		}
		all = append(all, s)
	}
	return all, nil
}

// agreesOn tells why this is not the status of a node that serves in an
// agreed view of exactly these members.
func agreesOn(s *api.Status, members []string) error {
	if s.State != api.Serving || !s.View.Agreed {
		return fmt.Errorf("%s is %s%s, agreed: %v, members %v", s.Node, s.State, because(s), s.View.Agreed, s.View.Members)
	}
	if !slices.Equal(slices.Sorted(slices.Values(s.View.Members)), members) {
		return fmt.Errorf("%s has a view of %v, not of %v", s.Node, s.View.Members, members)
	}
	for _, p := range s.Pools {
		sum := 0
		for _, n := range p.Owners {
			sum += n
		}
		if sum != int(p.Buckets) {
			return fmt.Errorf("%s finds owners for %d of %d buckets of pool %s", s.Node, sum, p.Buckets, p.Name)
		}
	}
	return nil
}

// because is why a node does not serve, in its own words.
func because(s *api.Status) string {
	for _, w := range s.Warnings {
		if w.Code == api.WarnNotServing {
			return " (" + w.Text + ")"
		}
	}
	return ""
}

// Even tells whether a pool's buckets are spread over these nodes to ±1.
func Even(p api.Pool, nodes int) error {
	if len(p.Owners) != nodes {
		return fmt.Errorf("pool %s has %d owners, not %d: %v", p.Name, len(p.Owners), nodes, p.Owners)
	}
	low, high := int(p.Buckets), 0
	for _, n := range p.Owners {
		low, high = min(low, n), max(high, n)
	}
	if high-low > 1 {
		return fmt.Errorf("pool %s is not even: %v", p.Name, p.Owners)
	}
	return nil
}

var errEnded = errors.New("its daemon has ended")
