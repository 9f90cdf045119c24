package daemon

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/datapath"
	"github.com/rota-cluster/rota/internal/ownership"
)

// picture is the configuration that is acted on now: the file's, and beside it what is to
// go but still has connections. It is replaced as a whole, by the loop.
type picture struct {
	cfg      *config.Config // with the pools and addresses that are to go
	seeds    []uint32       // by pool
	leaving  []string       // pools that are to go
	retiring []netip.Addr   // addresses that are to go, of pools that stay
	// by is until when what is to go may have connections, by pool or address.
	by map[string]ownership.Time
}

// file is the configuration that was read last.
func (d *daemon) file() *config.Config { return d.filed.Load() }

func (h *host) cfg() *config.Config { return h.now.Load().cfg }

// seed of a pool, by its index.
func (h *host) seed(i int) uint32 { return h.now.Load().seeds[i] }

// newPicture is of a configuration of which nothing is on its way out.
func newPicture(cfg *config.Config, secret []byte) *picture {
	p := &picture{cfg: cfg}
	for _, pool := range cfg.Pools {
		p.seeds = append(p.seeds, pool.SeedFrom(secret))
	}
	return p
}

// options are what the programs are to know.
func (p *picture) options() datapath.Options {
	o := datapath.Options{BeatPort: p.cfg.Heartbeat.Port}
	for i, pool := range p.cfg.Pools {
		o.Pools = append(o.Pools, datapath.Pool{
			Name: pool.Name, Addresses: pool.Addresses, Retiring: p.retiringOf(pool),
			Hasher: pool.Hasher(p.seeds[i]), MAC: pool.ClusterMAC(p.cfg.Cluster),
		})
	}
	return o
}

func (p *picture) retiringOf(pool config.Pool) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(pool.Addresses), func(a netip.Addr) bool { return !slices.Contains(p.retiring, a) })
}

// pools are what the state machine is to know. weight is what the node carries now.
func (p *picture) pools(weight uint16) []ownership.PoolConfig {
	var pools []ownership.PoolConfig
	for i, pool := range p.cfg.Pools {
		stays := pool
		stays.Addresses = slices.DeleteFunc(slices.Clone(pool.Addresses), func(a netip.Addr) bool { return slices.Contains(p.retiring, a) })
		c := ownership.PoolConfig{
			Name: pool.Name, Buckets: pool.Buckets, Weight: weight, Waits: len(pool.Checks) > 0,
			Fingerprint: pool.Fingerprint(p.seeds[i]), Addresses: stays.AddressFingerprint(),
			Spread: pool.Spread, Preempt: pool.Preempt, Priority: pool.PriorityOf(p.cfg.Node),
		}
		if slices.Contains(p.leaving, pool.Name) {
			c.Weight = ownership.NoShare
		}
		pools = append(pools, c)
	}
	return pools
}

// addresses of all pools.
func addressesOf(cfg *config.Config) []netip.Addr {
	var all []netip.Addr
	for _, p := range cfg.Pools {
		all = append(all, p.Addresses...)
	}
	return all
}

// after is the picture when next is the file: what it lacks of p is to go.
func (p *picture) after(next *config.Config, secret []byte, now ownership.Time) *picture {
	cfg := *next
	cfg.Pools = slices.Clone(next.Pools)
	q := &picture{cfg: &cfg, by: map[string]ownership.Time{}}
	until := func(what string, pool config.Pool) {
		q.by[what] = now + pool.DrainTimeout
		if t, known := p.by[what]; known {
			q.by[what] = t
		}
	}
	for _, old := range p.cfg.Pools {
		i := slices.IndexFunc(cfg.Pools, func(n config.Pool) bool { return n.Name == old.Name })
		if i < 0 {
			cfg.Pools = append(cfg.Pools, old)
			q.leaving = append(q.leaving, old.Name)
			until(old.Name, old)
			continue
		}
		pool := &cfg.Pools[i]
		pool.Addresses = slices.Clone(pool.Addresses)
		for _, a := range old.Addresses {
			if !slices.Contains(pool.Addresses, a) {
				pool.Addresses = append(pool.Addresses, a)
				q.retiring = append(q.retiring, a)
				until(a.String(), *pool)
			}
		}
	}
	slices.SortFunc(cfg.Pools, func(a, b config.Pool) int { return cmp.Compare(a.Name, b.Name) })
	for _, pool := range cfg.Pools {
		q.seeds = append(q.seeds, pool.SeedFrom(secret))
	}
	return q
}

// movesAddress tells of an address that is still one pool's, which is to let it go, and to be another's.
func (p *picture) movesAddress(was *config.Config) error {
	for _, from := range was.Pools {
		for _, to := range p.cfg.Pools {
			for _, a := range to.Addresses {
				if to.Name != from.Name && slices.Contains(from.Addresses, a) {
					return fmt.Errorf("pools[%s].addresses: %s is pool %s's: reload without it first, and give it to another pool when it has gone", to.Name, a, from.Name)
				}
			}
		}
	}
	return nil
}

// shrinks: something is to go.
func (p *picture) shrinks() bool { return len(p.leaving)+len(p.retiring) > 0 }

// without is the picture when these pools and addresses have gone.
func (p *picture) without(pools []string, addresses []netip.Addr) *picture {
	cfg := *p.cfg
	cfg.Pools = nil
	q := &picture{cfg: &cfg, by: p.by}
	for i, pool := range p.cfg.Pools {
		if slices.Contains(pools, pool.Name) {
			continue
		}
		pool.Addresses = slices.DeleteFunc(slices.Clone(pool.Addresses), func(a netip.Addr) bool { return slices.Contains(addresses, a) })
		cfg.Pools, q.seeds = append(cfg.Pools, pool), append(q.seeds, p.seeds[i])
	}
	q.leaving = slices.DeleteFunc(slices.Clone(p.leaving), func(n string) bool { return slices.Contains(pools, n) })
	q.retiring = slices.DeleteFunc(slices.Clone(p.retiring), func(a netip.Addr) bool { return slices.Contains(addresses, a) })
	return q
}
