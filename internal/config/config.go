package config

import (
	"net/netip"
	"time"

	"github.com/rota-cluster/rota/internal/flowhash"
	"github.com/rota-cluster/rota/internal/ownership"
)

// Bounds of the values. Durations are inclusive on both sides.
const (
	MaxPools     = ownership.MaxPools // pools in a file
	MaxAddresses = 128                // shared addresses in a file, all pools together
	// MaxAllBuckets in a file, all pools together: every beat tells of them all.
	MaxAllBuckets = 65536
	MaxNodes      = ownership.MaxNodes
	MaxWeight     = 1000
	MaxPriority   = 1000
	MinBuckets    = 2
	MaxBuckets    = 65536
	MaxInterfaces = 8 // of heartbeat
	MaxHooks      = 64

	MinInterval = 5 * time.Millisecond
	MaxInterval = 10 * time.Second
	// MinLeaseIntervals: with fewer beats in a lease a single lost beat ends it.
	MinLeaseIntervals = 3
	MaxLease          = time.Minute
	MaxDrainTimeout   = 24 * time.Hour
	MinHookTimeout    = 100 * time.Millisecond
	MaxHookTimeout    = 10 * time.Minute
)

// What a file need not say.
const (
	DefaultPath         = "/etc/rota/rota.yaml"
	DefaultSocket       = "/run/rota/rota.sock"
	DefaultStateDir     = "/var/lib/rota"
	DefaultWeight       = 100
	DefaultPriority     = 100
	DefaultInterval     = 50 * time.Millisecond
	DefaultLease        = 300 * time.Millisecond
	DefaultBeatPort     = 7479
	DefaultBuckets      = 4096
	DefaultDrainTimeout = 5 * time.Minute
	DefaultHooksDir     = "/etc/rota/hooks.d"
	DefaultHookTimeout  = 10 * time.Second
	DefaultHash         = flowhash.SourceAddressPort
)

// Config is one file, complete with the defaults.
type Config struct {
	File          string // where it was read from, "" if nowhere
	Cluster       string
	Node          Node
	Interface     string
	KeyFile       string
	Datapath      Datapath
	Heartbeat     Heartbeat
	Quorum        ownership.Quorum
	Replay        bool   // after a takeover, answer what came before it
	ExpectedNodes int    // 1 … MaxNodes with QuorumMajority; 0 if not given
	Pools         []Pool // 1 … MaxPools, sorted by name
	Signs         []Sign // what the file says of them, sorted by name; SignsInForce has all
	Hooks         []Hook // 0 … MaxHooks, in the order of the file
	HooksDir      string // holds executables that are run on every change
	API           API
	StateDir      string

	// Warnings are what the file asks for and this version does not do, and
	// what is allowed but hardly meant; in the order of the file.
	Warnings []*Error
}

// Node is what the file says of this host.
type Node struct {
	Name   string // "" from Parse if not given; Load then takes the hostname
	Weight uint16 // 0 … MaxWeight
	// Priority in pools with SpreadSingle that have none of their own: 0 … MaxPriority.
	Priority uint16
}

// Heartbeat says how often a node speaks and how long its word is good.
type Heartbeat struct {
	Interval time.Duration // MinInterval … MaxInterval
	Lease    time.Duration // at least MinLeaseIntervals intervals, at most MaxLease
	Port     uint16        // UDP destination port of a beat, not 0
	// Interfaces are others than the service's by which every beat goes too: 0 … MaxInterfaces.
	Interfaces []string
}

// Pool is one or more shared addresses with one table of buckets.
type Pool struct {
	Name             string
	Addresses        []netip.Addr // in the order of the file, at least one; unique over all pools
	Hash             flowhash.Mode
	Prefix4, Prefix6 uint8   // the bits of the source that count in SourceNetwork: 1 … 32, 1 … 128
	Buckets          uint32  // MinBuckets … MaxBuckets
	Seed             *uint32 // nil: derived from the cluster's key
	MAC              MAC
	DrainTimeout     time.Duration // 0 … MaxDrainTimeout
	Spread           ownership.Spread
	Preempt          bool    // with SpreadSingle
	Priority         *uint16 // this node's in the pool, 0 … MaxPriority; nil: Node.Priority
	Checks           []Check
}

// API is where the daemon answers questions and takes orders.
type API struct {
	Socket string // path of a Unix socket
	Listen string // host:port of the web page, "" for none; not acted on by this version
}

// Datapath is where the filter is attached.
type Datapath uint8

const (
	// DatapathAuto takes native XDP where the driver keeps its receive offloads, else tc.
	DatapathAuto Datapath = iota
	DatapathXDP
	DatapathXDPGeneric
	DatapathTC
)

var datapathNames = []string{"auto", "xdp", "xdp-generic", "tc"}

// String is the spelling in the file.
func (d Datapath) String() string { return nameOf(datapathNames, uint8(d)) }

func nameOf(names []string, i uint8) string {
	if int(i) < len(names) {
		return names[i]
	}
	return "unknown"
}

// SeedFrom is the pool's seed: the given one, else one derived from the
// cluster's key, so that nobody outside can aim at a node.
func (p Pool) SeedFrom(key []byte) uint32 {
	if p.Seed != nil {
		return *p.Seed
	}
	return flowhash.Seed(key, p.Name)
}

// PriorityOf is the node's priority in the pool.
func (p Pool) PriorityOf(n Node) uint16 {
	if p.Priority != nil {
		return *p.Priority
	}
	return n.Priority
}

// Hasher maps the pool's packets to its buckets.
func (p Pool) Hasher(seed uint32) flowhash.Hasher {
	return flowhash.Hasher{Mode: p.Hash, Prefix4: p.Prefix4, Prefix6: p.Prefix6, Seed: seed, Buckets: p.Buckets}
}
