package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Status is what the lab reads of `rota status --json`.
type Status struct {
	Cluster string `json:"cluster"`
	Node    string `json:"node"`
	State   string `json:"state"`
	View    struct {
		ID      json.RawMessage `json:"id"`
		Agreed  bool            `json:"agreed"`
		Members []string        `json:"members"`
	} `json:"view"`
	LeaseMS float64 `json:"lease_ms"`
	Nodes   []struct {
		Name    string `json:"name"`
		State   string `json:"state"`
		Address string `json:"address"`
	} `json:"nodes"`
	Pools []PoolStatus `json:"pools"`
}

// PoolStatus is one pool of a Status.
type PoolStatus struct {
	Name      string         `json:"name"`
	Addresses []string       `json:"addresses"`
	MAC       string         `json:"mac"`
	Buckets   int            `json:"buckets"`
	Owners    map[string]int `json:"owners"`
	Owned     string         `json:"owned"`
	Lingering string         `json:"lingering"`
	Datapath  string         `json:"datapath"`
}

const (
	askPatience = 3 * time.Second // for one answer of a daemon
	askAgain    = 50 * time.Millisecond
)

// Rota runs a command of the binary against the node's daemon and returns its
// standard output.
func (n *Node) Rota(ctx context.Context, args ...string) ([]byte, error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, n.lab.options.Binary, append([]string{"--socket", n.Socket()}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("rota %s on %s: %w: %s",
			strings.Join(args, " "), n.Name(), err, bytes.TrimSpace(errs.Bytes()))
	}
	return out.Bytes(), nil
}

// Status asks the node's daemon.
func (n *Node) Status(ctx context.Context) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	out, err := n.Rota(ctx, "status", "--json")
	if err != nil {
		return Status{}, err
	}
	var s Status
	if err := json.Unmarshal(out, &s); err != nil {
		return Status{}, fmt.Errorf("status of %s: %w", n.Name(), err)
	}
	return s, nil
}

// WaitAgreed waits until the given nodes, or all that can be expected to if
// none are given, share one view of exactly themselves and every bucket has
// an owner among them. It returns their statuses, and fails at once if one of
// their daemons has ended.
func (l *Lab) WaitAgreed(ctx context.Context, nodes ...*Node) ([]Status, error) {
	if nodes == nil {
		nodes = l.healthy()
	}
	tick := time.NewTicker(askAgain)
	defer tick.Stop()
	for {
		all, disagreement := agreement(ctx, nodes)
		if disagreement == nil {
			return all, nil
		}
		for _, n := range nodes {
			if err := n.ended(); err != nil {
				return nil, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the nodes do not agree: %w (%w)", disagreement, ctx.Err())
		case <-tick.C:
		}
	}
}

// agreement is nil if the nodes agree; else it says who does not.
func agreement(ctx context.Context, nodes []*Node) ([]Status, error) {
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name())
	}
	slices.Sort(names)
	var all []Status
	for _, n := range nodes {
		s, err := n.Status(ctx)
		if err != nil {
			return nil, err
		}
		if err := s.agreesOn(names); err != nil {
			return nil, err
		}
		if len(all) > 0 && !bytes.Equal(all[0].View.ID, s.View.ID) {
			return nil, fmt.Errorf("%s is in view %s, %s in view %s", all[0].Node, all[0].View.ID, s.Node, s.View.ID)
		}
		all = append(all, s)
	}
	return all, nil
}

// agreesOn tells why this is not the status of a node that serves in an
// agreed view of exactly these members.
func (s Status) agreesOn(members []string) error {
	if s.State != "serving" || !s.View.Agreed {
		return fmt.Errorf("%s is %s, agreed: %v, members %v", s.Node, s.State, s.View.Agreed, s.View.Members)
	}
	if !slices.Equal(slices.Sorted(slices.Values(s.View.Members)), members) {
		return fmt.Errorf("%s has a view of %v, not of %v", s.Node, s.View.Members, members)
	}
	for _, p := range s.Pools {
		sum := 0
		for _, n := range p.Owners {
			sum += n
		}
		if sum != p.Buckets {
			return fmt.Errorf("%s finds owners for %d of %d buckets of pool %s", s.Node, sum, p.Buckets, p.Name)
		}
	}
	return nil
}

// Even tells whether the pool's buckets are spread over these nodes to ±1.
func (p PoolStatus) Even(nodes int) error {
	if len(p.Owners) != nodes {
		return fmt.Errorf("pool %s has %d owners, not %d: %v", p.Name, len(p.Owners), nodes, p.Owners)
	}
	low, high := p.Buckets, 0
	for _, n := range p.Owners {
		low, high = min(low, n), max(high, n)
	}
	if high-low > 1 {
		return fmt.Errorf("pool %s is not even: %v", p.Name, p.Owners)
	}
	return nil
}

var errEnded = errors.New("its daemon has ended")
