package lab

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/rota-cluster/rota/internal/config"
)

// DefaultRoot holds one directory per lab.
const DefaultRoot = "/run/rota-lab"

// The network that a lab uses. It is the documentation's (RFC 5737, RFC 3849)
// and lives in namespaces only, so labs side by side may all use it.
var (
	Shared4 = netip.MustParseAddr("192.0.2.10")
	Shared6 = netip.MustParseAddr("2001:db8::10")
)

const (
	firstNode4   = 11  // 192.0.2.11 is the first node's own address, 2001:db8::1:11 likewise
	firstClient4 = 129 // 192.0.2.129 is the first client's first address
	lastClient4  = 254
)

// Options of a lab. The zero value is three nodes with the daemon's defaults.
type Options struct {
	Name  string // 1 to 16 lower-case letters and digits; "" takes the first free of lab1, lab2, …
	Nodes int    // at the start: 1 … 64, default 3
	Idle  bool   // leave the daemons to StartDaemons, or to each Node's Start

	Interval, Lease time.Duration // of the beat; 0: the daemon's default
	Quorum          string        // none or majority; "": the daemon's default
	Datapath        string        // auto, xdp, xdp-generic or tc; "": the daemon's default
	Pools           []Pool        // default: one, "web", with Shared4 and Shared6

	ClientAddresses int  // of each family and client: 1 … 64, default 4
	Snooping        bool // the switch looks at IGMP and MLD instead of flooding
	// SecondPath: the nodes are on another network too, and their beats go by both.
	SecondPath bool
	// Ailing nodes can fall ill (Node.Ail), and have the signs and the check to notice.
	Ailing bool
	// Signs is what the nodes' configuration says of some signs, by name, as Pool.Checks. All others
	// are off: most are of the host, which the nodes share.
	Signs map[string]string
	// NoReplay: after a takeover clients ask again for what they asked before it.
	NoReplay bool

	// Binary is what each node runs, as `BINARY run --config FILE`. Default: this program.
	Binary string
	Root   string    // where the labs' directories are; default DefaultRoot
	Log    io.Writer // what the lab does, a line each; default: nowhere
}

// Pool of the nodes' configuration. Empty values are left to the daemon.
type Pool struct {
	Name         string
	Addresses    []netip.Addr
	Hash         string
	Buckets      uint32
	Seed         *uint32
	MAC          string
	DrainTimeout time.Duration
	Spread       string
	NoPreempt    bool
	Priorities   map[string]int // by the node's name; in a single pool
	// Checks are the pool's, each as the configuration has it; {node} in one stands for the node's name.
	Checks []string
}

// withDefaults completes the options and refuses what makes no sense. What the
// nodes' configuration says is judged by package config.
func (o Options) withDefaults() (Options, error) {
	o.Nodes = cmp.Or(o.Nodes, 3)
	o.ClientAddresses = cmp.Or(o.ClientAddresses, 4)
	o.Root = cmp.Or(o.Root, DefaultRoot)
	if o.Log == nil {
		o.Log = io.Discard
	}
	if len(o.Pools) == 0 {
		o.Pools = []Pool{{Name: "web"}}
	}
	if o.Pools[0].Addresses == nil {
		o.Pools[0].Addresses = []netip.Addr{Shared4, Shared6}
	}
	if o.Nodes < 1 || o.Nodes > config.MaxNodes {
		return o, fmt.Errorf("%d nodes: want 1 to %d", o.Nodes, config.MaxNodes)
	}
	if o.ClientAddresses < 1 || o.ClientAddresses > 64 {
		return o, fmt.Errorf("%d client addresses: want 1 to 64", o.ClientAddresses)
	}
	if o.Binary == "" {
		self, err := os.Executable()
		if err != nil {
			return o, fmt.Errorf("find this program: %w", err)
		}
		o.Binary = self
	}
	return o, nil
}

// shared are the addresses of all pools.
func (o Options) shared() []netip.Addr {
	var all []netip.Addr
	for _, p := range o.Pools {
		all = append(all, p.Addresses...)
	}
	return all
}

var errNotRoot = errors.New("a lab needs root (network namespaces, BPF): run it as root")

// MACs of the lab's hosts.
func nodeMAC(i int) net.HardwareAddr   { return net.HardwareAddr{2, 0, 0, 0, 1, byte(i + 1)} }
func clientMAC(i int) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 2, byte(i + 1)} }

// nodeName numbers nodes node-a … node-z, node-ba …
func nodeName(i int) string {
	letters := string(rune('a' + i%26))
	if i >= 26 {
		letters = string(rune('a'+i/26)) + letters
	}
	return "node-" + letters
}
