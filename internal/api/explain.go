package api

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rota-cluster/rota/internal/config"
)

// Endpoint is an address with or without a port.
type Endpoint struct {
	Addr    netip.Addr
	Port    uint16
	HasPort bool
}

// ParseEndpoint reads 192.0.2.1, 192.0.2.1:80, 2001:db8::1 or [2001:db8::1]:80.
func ParseEndpoint(s string) (Endpoint, error) {
	bare := s
	if inner, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inner, "]") {
		bare = strings.TrimSuffix(inner, "]")
	}
	if a, err := netip.ParseAddr(bare); err == nil && (bare == s || a.Is6()) {
		return endpoint(a, 0, false)
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return endpoint(ap.Addr(), ap.Port(), true)
	}
	return Endpoint{}, BadRequest("%q is not an address; write e.g. 192.0.2.1, 192.0.2.1:80 or [2001:db8::1]:80 (names are not looked up)", s)
}

func endpoint(a netip.Addr, port uint16, hasPort bool) (Endpoint, error) {
	if a.Zone() != "" {
		return Endpoint{}, BadRequest("%s has a zone; write it without", a)
	}
	return Endpoint{Addr: a.Unmap(), Port: port, HasPort: hasPort}, nil
}

// String is what ParseEndpoint reads.
func (e Endpoint) String() string {
	if e.HasPort {
		return netip.AddrPortFrom(e.Addr, e.Port).String()
	}
	return e.Addr.String()
}

// ExplainQuery asks where a packet from Src to Dst goes.
type ExplainQuery struct {
	Src, Dst Endpoint
}

// Find is the pool that the packet belongs to. It fails if there is none, or
// if the pool's hash needs a port that was not given.
func (q ExplainQuery) Find(pools []config.Pool) (int, error) {
	if q.Src.Addr.Is4() != q.Dst.Addr.Is4() {
		return 0, BadRequest("%s and %s are of two families; both must be IPv4 or both IPv6", q.Src.Addr, q.Dst.Addr)
	}
	i := slices.IndexFunc(pools, func(p config.Pool) bool { return slices.Contains(p.Addresses, q.Dst.Addr) })
	if i < 0 {
		var shared []string
		for _, p := range pools {
			for _, a := range p.Addresses {
				shared = append(shared, a.String())
			}
		}
		const most = 8
		if len(shared) > most {
			shared = append(shared[:most], "…")
		}
		return 0, NotFound("%s is not a shared address; shared are %s", q.Dst.Addr, strings.Join(shared, ", "))
	}
	hash := pools[i].Hash
	if hash.UsesSourcePort() && !q.Src.HasPort {
		return 0, BadRequest("pool %s hashes by %s: the source port matters; write it, e.g. %s", pools[i].Name, hash, withPort(q.Src, 40000))
	}
	if hash.UsesDestinationPort() && !q.Dst.HasPort {
		return 0, BadRequest("pool %s hashes by %s: the destination port matters; write it, e.g. %s", pools[i].Name, hash, withPort(q.Dst, 80))
	}
	return i, nil
}

func withPort(e Endpoint, port uint16) Endpoint { return Endpoint{e.Addr, port, true} }

// Explanation says where a packet goes and why. Seen from one node; the others
// agree when Agreed.
type Explanation struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Pool        string `json:"pool"`
	Hash        string `json:"hash"`
	Buckets     uint32 `json:"buckets"`
	Bucket      uint32 `json:"bucket"`
	Owner       string `json:"owner"` // "" if nobody accepts it now
	// Lingering are the nodes that still serve older connections of the bucket.
	Lingering []string `json:"lingering"`
	// Here is what this node does with the bucket: foreign, mine, lingering, contested.
	Here   string `json:"here"`
	Node   string `json:"node"` // this one
	View   string `json:"view"`
	Agreed bool   `json:"agreed"`
	Why    string `json:"why"`           // one sentence
	Pin    *Pin   `json:"pin,omitempty"` // an operator's order about the bucket
}

// Pin is an operator's standing order that a bucket belongs to a node.
type Pin struct {
	Node string    `json:"node"`
	By   string    `json:"by"` // the node where it was ordered
	At   time.Time `json:"at"`
}

// DrainRequest asks a node to hand over everything. It is refused if no other would
// serve then.
type DrainRequest struct {
	Node   string `json:"node,omitempty"`   // "": the one that is asked, as in all orders
	Reason string `json:"reason,omitempty"` // for the record; one line
	// TimeoutMS is how long connections may outlive the drain, in place of the
	// pools' drain_timeout. 0: those.
	TimeoutMS int64 `json:"timeout_ms,omitempty"`
	Force     bool  `json:"force,omitempty"` // although nobody else serves
}

// ResumeRequest ends or cancels a node's drain.
type ResumeRequest struct {
	Node string `json:"node,omitempty"`
}

// WeightRequest changes what a node wants to carry.
type WeightRequest struct {
	Node   string  `json:"node,omitempty"`
	Weight *uint16 `json:"weight"` // 0 … 1000, needed
}

func (r WeightRequest) check() error {
	if r.Weight == nil {
		return BadRequest("weight is missing; 0 to %d", config.MaxWeight)
	}
	if *r.Weight > config.MaxWeight {
		return BadRequest("weight %s is out of range; 0 to %d", strconv.Itoa(int(*r.Weight)), config.MaxWeight)
	}
	return nil
}
