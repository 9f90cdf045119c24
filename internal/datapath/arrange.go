package datapath

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cilium/ebpf"
)

// arranged is what the programs are told about pools now. It is never changed, but replaced.
type arranged struct {
	options Options
	layout  []tableLayout // by pool
}

// options are those in force.
func (d *Datapath) options() Options { return d.arranged.Load().options }

// Options are what the programs go by.
func (d *Datapath) Options() Options {
	o := d.options()
	o.Pools = slices.Clone(o.Pools)
	return o
}

// Pool is the index of the pool of that name, -1 if there is none.
func (d *Datapath) Pool(name string) int {
	return slices.IndexFunc(d.options().Pools, func(p Pool) bool { return p.Name == name })
}

// Room for tables and counters, in lines of 64 buckets: twice what the first
// pools need, and for some pools of the default size, so that others may come.
const (
	leastRoom = 4 * 4096 / tableLine
	mostRoom  = MaxBuckets/tableLine + MaxPools
)

// ErrNoRoom: the programs in force have no room for more buckets.
var ErrNoRoom = errors.New("the programs that run have no room for so many more buckets: restart the daemon")

func roomFor(pools []Pool) uint32 {
	var need uint32
	for _, p := range pools {
		need += linesOf(p.Hasher.Buckets)
	}
	return max(need, min(max(2*need, leastRoom), mostRoom))
}

// layOut gives each pool its place, tables and counters: those that it has by an earlier
// arrangement, and new ones the first that are free.
func layOut(pools []Pool, room uint32, before *arranged) ([]tableLayout, error) {
	layout := make([]tableLayout, len(pools))
	fresh := make([]bool, len(pools))
	var taken []tableLayout
	for i, p := range pools {
		was := -1
		if before != nil {
			was = slices.IndexFunc(before.options.Pools, func(q Pool) bool { return q.Name == p.Name })
		}
		if fresh[i] = was < 0; !fresh[i] {
			layout[i] = before.layout[was]
			taken = append(taken, layout[i])
		}
	}
	for i, p := range pools {
		if !fresh[i] {
			continue
		}
		l, ok := firstFree(taken, linesOf(p.Hasher.Buckets), room)
		if !ok {
			return nil, fmt.Errorf("pool %s: %w", p.Name, ErrNoRoom)
		}
		layout[i] = l
		taken = append(taken, l)
	}
	return layout, nil
}

// firstFree finds a place that nobody has, and the first row of so many free lines.
func firstFree(taken []tableLayout, lines, room uint32) (tableLayout, bool) {
	l := tableLayout{lines: lines}
	for slices.ContainsFunc(taken, func(t tableLayout) bool { return t.place == l.place }) {
		l.place++
	}
	for {
		i := slices.IndexFunc(taken, func(t tableLayout) bool { return t.line < l.line+lines && l.line < t.line+t.lines })
		if i < 0 {
			break
		}
		l.line = taken[i].line + taken[i].lines
	}
	return l, l.line+lines <= room && l.place < MaxPools
}

// Rearrange changes pools and addresses while the programs run: every packet is judged
// by the old arrangement or by the new one. Pools are known by their names, and keep their tables
// and counters; a new one has every bucket foreign. What the programs are to know of a
// pool beside its addresses stays. Add an address to the interface after this, and remove
// it before. If it fails nothing is changed; the lease is not touched.
func (d *Datapath) Rearrange(o Options) error {
	if err := o.check(); err != nil {
		return err
	}
	d.tableLock.Lock()
	defer d.tableLock.Unlock()
	if d.control == nil {
		return errClosed
	}
	before := d.arranged.Load()
	if err := before.options.sameButPools(o); err != nil {
		return err
	}
	layout, err := layOut(o.Pools, d.maps.RotaTables.MaxEntries()/tableGenerations, before)
	if err != nil {
		return err
	}
	next, err := newKernelArrangement(o, layout)
	if err != nil {
		return err
	}
	generation := make([]generations, len(o.Pools))
	for i, p := range o.Pools {
		if was := slices.IndexFunc(before.options.Pools, func(q Pool) bool { return q.Name == p.Name }); was >= 0 {
			generation[i] = d.generation[was]
			continue
		}
		if err := d.begin(layout[i]); err != nil {
			return fmt.Errorf("pool %s: %w", p.Name, err)
		}
	}
	d.switchTo(next)
	d.generation = generation
	d.arranged.Store(&arranged{options: o, layout: layout})
	return nil
}

// sameButPools tells what cannot be changed.
func (o Options) sameButPools(to Options) error {
	if o.BeatPort != to.BeatPort {
		return errors.New("the port of the beats cannot be changed while the programs run")
	}
	for _, p := range to.Pools {
		for _, q := range o.Pools {
			if p.Name == q.Name && (p.Hasher != q.Hasher || !slices.Equal(p.MAC, q.MAC)) {
				return fmt.Errorf("pool %s: hash and MAC cannot be changed while the programs run", p.Name)
			}
		}
	}
	return nil
}

// begin gives a new pool a table in which all is foreign, and counters that are 0.
func (d *Datapath) begin(l tableLayout) error {
	clear(d.table(l, 0))
	d.control.table[l.place].Store(l.offset(0))
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("count the CPUs: %w", err)
	}
	if err := d.maps.RotaVerdicts.Put(l.place, make([]Counts, cpus)); err != nil {
		return fmt.Errorf("reset the counters: %w", err)
	}
	for b := l.firstBucket(); b < l.firstBucket()+l.lines*tableLine; b++ {
		if err := d.maps.RotaBuckets.Put(b, make([]BucketCounts, cpus)); err != nil {
			return fmt.Errorf("reset the buckets' counters: %w", err)
		}
	}
	return nil
}

// switchTo puts an arrangement in force, in the version that has been out of force longest.
func (d *Datapath) switchTo(a *kernelArrangement) {
	current := d.live.current.Load() % versions
	next := (current + 1) % versions
	if wait := d.retired[next] + tableGrace - Now(); d.retired[next] != 0 && wait > 0 {
		time.Sleep(wait)
	}
	d.live.version[next] = *a
	d.live.current.Store(a.current(next))
	d.retired[current] = Now()
}

// adopted finds the places that an earlier daemon gave to the pools.
func (d *Datapath) adopted(o Options) ([]tableLayout, error) {
	v := &d.live.version[d.live.current.Load()%versions]
	layout := make([]tableLayout, len(o.Pools))
	found := 0
	for place, p := range v.Pool {
		if p.IPv4.Buckets == 0 || int(p.Order) >= len(o.Pools) {
			continue
		}
		layout[p.Order] = tableLayout{place: uint32(place), line: p.IPv4.First / tableLine, lines: linesOf(p.IPv4.Buckets)}
		found++
	}
	if found != len(o.Pools) {
		return nil, fmt.Errorf("%d of %d pools are in the programs' list: %w", found, len(o.Pools), ErrIncompatible)
	}
	return layout, nil
}
