package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/lab/probe"
	"github.com/rota-cluster/rota/internal/lab/segment"
)

// Lab is a cluster on this machine. One goroutine at a time may use it; the
// faults of its nodes, and the probes, may be used from several.
type Lab struct {
	options Options
	dir     *directory
	segment *segment.Segment
	client  *probe.Client
	clients int
	nodes   []*Node
	parsed  *config.Config // as the newest node reads it

	bindings *probe.Bindings
	listener *probe.Running[struct{}] // runs bindings
}

// New judges the options. It starts nothing.
func New(o Options) (*Lab, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Lab{options: o}, nil
}

// Start removes what dead labs left, builds the network and starts every
// node's service and daemon. It does not wait until they agree (WaitAgreed).
// ctx bounds the start alone. If it fails nothing is left.
func (l *Lab) Start(ctx context.Context) (err error) {
	if os.Geteuid() != 0 {
		return errNotRoot
	}
	if err := sweep(l.options.Root, l.options.Log); err != nil {
		return err
	}
	if err := l.settle(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if l.bindings, err = probe.OpenBindings(l.segment, l.options.shared()); err != nil {
		return err
	}
	l.listener = probe.Start(context.WithoutCancel(ctx), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, l.bindings.Run(ctx)
	})
	if err := l.writeKey(); err != nil {
		return err
	}
	if l.client, err = l.AddClient("client"); err != nil {
		return err
	}
	for range l.options.Nodes {
		if _, err := l.prepareNode(ctx); err != nil {
			return err
		}
	}
	if l.options.Idle {
		return nil
	}
	return l.StartDaemons()
}

// settle takes a name, and with it a directory and a switch.
func (l *Lab) settle() error {
	if l.options.Name != "" {
		return l.settleAs(l.options.Name)
	}
	for i := 1; ; i++ {
		err := l.settleAs(fmt.Sprintf("lab%d", i))
		if i < 1000 && (errors.Is(err, errTaken) || errors.Is(err, os.ErrExist)) {
			continue
		}
		return err
	}
}

func (l *Lab) settleAs(name string) error {
	dir, err := claim(l.options.Root, name)
	if err != nil {
		return err
	}
	if _, err := dir.empty(); err != nil {
		return errors.Join(err, dir.release())
	}
	s, err := segment.Build(segment.Options{
		Name: name, BeatPort: config.DefaultBeatPort, Snooping: l.options.Snooping, Second: l.options.SecondPath,
	})
	if err != nil {
		return errors.Join(err, dir.release())
	}
	l.options.Name, l.dir, l.segment = name, dir, s
	return nil
}

// AddClient makes another host that probes can run from.
func (l *Lab) AddClient(name string) (*probe.Client, error) {
	nic := segment.NIC{MAC: clientMAC(l.clients)}
	for i := range l.options.ClientAddresses {
		number := firstClient4 + l.clients*l.options.ClientAddresses + i
		if number > lastClient4 {
			return nil, fmt.Errorf("no address is left for client %s", name)
		}
		nic.Addresses = append(nic.Addresses, ownAddresses(number)...)
	}
	host, err := l.segment.Attach(name, nic)
	if err != nil {
		return nil, err
	}
	l.clients++
	l.bindings.Name(host)
	return probe.NewClient(host), nil
}

// ownAddresses of the host with this number on the network.
func ownAddresses(number int) []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix(fmt.Sprintf("192.0.2.%d/24", number)),
		netip.MustParsePrefix(fmt.Sprintf("2001:db8::1:%d/64", number)),
	}
}

// prepareNode makes the next node's host, service and files.
func (l *Lab) prepareNode(ctx context.Context) (*Node, error) {
	i := len(l.nodes)
	if i >= config.MaxNodes {
		return nil, fmt.Errorf("a cluster has at most %d nodes", config.MaxNodes)
	}
	host, err := l.segment.Attach(nodeName(i), segment.NIC{
		MAC:       nodeMAC(i),
		Addresses: ownAddresses(firstNode4 + i),
	})
	if err != nil {
		return nil, err
	}
	l.bindings.Name(host)
	n := &Node{lab: l, host: host, client: api.NewClient(l.filesOf(host.Name()).socket)}
	l.nodes = append(l.nodes, n)
	if err := l.writeConfig(n.Name()); err != nil {
		return nil, err
	}
	if l.options.Ailing {
		if n.body, err = newBody(l.bodyOf(n.Name())); err != nil {
			return nil, err
		}
	}
	return n, n.serve(ctx)
}

// StartDaemons starts every node's daemon at nearly the same time.
func (l *Lab) StartDaemons() error {
	return l.together(func(n *Node) error { return n.Start() })
}

func (l *Lab) together(do func(*Node) error) error {
	failed := make([]error, len(l.nodes))
	var all sync.WaitGroup
	for i, n := range l.nodes {
		all.Go(func() { failed[i] = do(n) })
	}
	all.Wait()
	return errors.Join(failed...)
}

// AddNode adds a node and starts it.
func (l *Lab) AddNode(ctx context.Context) (*Node, error) {
	n, err := l.prepareNode(ctx)
	if err != nil {
		return nil, err
	}
	return n, n.Start()
}

// Close ends the daemons and removes everything.
func (l *Lab) Close() error {
	if l.dir == nil {
		return nil
	}
	failed := []error{l.together((*Node).close)}
	if l.listener != nil {
		_, err := l.listener.Stop()
		failed = append(failed, err)
	}
	failed = append(failed, l.segment.Close(), l.dir.release())
	l.dir = nil
	return errors.Join(failed...)
}

// Name of the lab.
func (l *Lab) Name() string { return l.options.Name }

// Dir is the lab's directory.
func (l *Lab) Dir() string { return l.dir.path }

// Lease that the nodes use.
func (l *Lab) Lease() time.Duration { return l.parsed.Heartbeat.Lease }

// Nodes in the order of their coming.
func (l *Lab) Nodes() []*Node { return slices.Clone(l.nodes) }

// Node number i, from 0. There must be one.
func (l *Lab) Node(i int) *Node { return l.nodes[i] }

// NodeNamed finds a node by its name, or by what follows "node-" in it.
func (l *Lab) NodeNamed(name string) (*Node, error) {
	for _, n := range l.nodes {
		if n.Name() == name || n.Name() == "node-"+name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("no node %q: there are %s to %s", name, l.nodes[0].Name(), l.nodes[len(l.nodes)-1].Name())
}

// Others are all nodes but these.
func (l *Lab) Others(but ...*Node) []*Node {
	return slices.DeleteFunc(l.Nodes(), func(n *Node) bool { return slices.Contains(but, n) })
}

// healthy are the nodes that nothing has been done to.
func (l *Lab) healthy() []*Node {
	return slices.DeleteFunc(l.Nodes(), func(n *Node) bool { return n.Condition() != "up" })
}

// Client is the host from which probes run.
func (l *Lab) Client() *probe.Client { return l.client }

// Segment is the network.
func (l *Lab) Segment() *segment.Segment { return l.segment }

// Shared are the shared addresses of all pools.
func (l *Lab) Shared() []netip.Addr { return l.options.shared() }

// OpenTap begins to collect at the client what sockets hide (probe.Tap). It
// knows the nodes to come as well.
func (l *Lab) OpenTap() (*probe.Tap, error) {
	names := make(probe.Names)
	for i := range config.MaxNodes {
		names[[6]byte(nodeMAC(i))] = nodeName(i)
	}
	return l.client.OpenTap(l.Shared(), names)
}

// CheckBindings tells whether, since the lab's start, any host has bound a
// shared address to another MAC than the cluster's own.
func (l *Lab) CheckBindings() error {
	var macs []net.HardwareAddr
	for _, p := range l.parsed.Pools {
		macs = append(macs, p.ClusterMAC(l.parsed.Cluster))
	}
	return l.bindings.Check(macs...)
}
