package datapath

import (
	"fmt"
	"slices"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// State is what the programs do with a bucket.
type State = ownership.BucketState

const (
	// tableGenerations is how many tables a pool has. So many switches within
	// one grace period do not wait.
	tableGenerations = 8
	// tableGrace is how long a table that is no longer in force is left alone.
	// Programs that had read its place a moment before may still look into it;
	// they run for microseconds and are not preempted.
	tableGrace = 50 * time.Millisecond
	tableLine  = 64 // bytes of one value of rota_tables
)

// tableLayout says where a pool's tables and counters are.
type tableLayout struct {
	place uint32 // in the programs' list of pools
	line  uint32 // the first of the pool's, counted in tables of one generation each
	lines uint32
}

func linesOf(buckets uint32) uint32 { return (buckets + tableLine - 1) / tableLine }

// start of its tables in rota_tables, and from generation to generation, in bytes.
func (l tableLayout) start() uint32  { return l.line * tableGenerations * tableLine }
func (l tableLayout) stride() uint32 { return l.lines * tableLine }

func (l tableLayout) offset(generation int) uint32 {
	return l.start() + uint32(generation)*l.stride()
}

func (l tableLayout) generationAt(offset uint32) int {
	return int((offset - l.start()) / l.stride())
}

// firstBucket is the place of its bucket 0 in rota_buckets.
func (l tableLayout) firstBucket() uint32 { return l.line * tableLine }

// generations says when each of a pool's tables was last in force (Now; 0 is never).
type generations [tableGenerations]time.Duration

// retireAll: any of them may have been in force until just now.
func (g *generations) retireAll(now time.Duration) {
	for i := range g {
		g[i] = now
	}
}

// SetTable switches a pool to a new table, one state per bucket. All buckets
// change at once: no packet is judged by a mixture. When it returns, no packet
// that arrives from then on is judged by the old table. It takes microseconds,
// unless more than seven tables of one pool are set within 50 ms: then it waits.
func (d *Datapath) SetTable(pool int, states []State) error {
	d.tableLock.Lock()
	defer d.tableLock.Unlock()
	if err := d.checkTable(pool, states); err != nil {
		return err
	}
	if d.control == nil {
		return errClosed
	}
	layout := d.arranged.Load().layout[pool]
	retired := &d.generation[pool]
	active := layout.generationAt(d.control.table[layout.place].Load())
	next := (active + 1) % tableGenerations
	if wait := retired[next] + tableGrace - Now(); retired[next] != 0 && wait > 0 {
		time.Sleep(wait)
	}
	table := d.table(layout, next)[:len(states)]
	for i, s := range states {
		table[i] = byte(s)
	}
	d.control.table[layout.place].Store(layout.offset(next))
	retired[active] = Now()
	return nil
}

// Table is the table in force of a pool.
func (d *Datapath) Table(pool int) ([]State, error) {
	d.tableLock.Lock()
	defer d.tableLock.Unlock()
	now := d.arranged.Load()
	if pool < 0 || pool >= len(now.layout) {
		return nil, fmt.Errorf("there is no pool %d", pool)
	}
	if d.control == nil {
		return nil, errClosed
	}
	layout := now.layout[pool]
	active := layout.generationAt(d.control.table[layout.place].Load())
	states := make([]State, now.options.Pools[pool].Hasher.Buckets)
	for i, b := range d.table(layout, active)[:len(states)] {
		states[i] = State(b)
	}
	return states, nil
}

// table is the memory of one generation of a pool's table.
func (d *Datapath) table(layout tableLayout, generation int) []byte {
	at := layout.offset(generation)
	return d.tables[at : at+layout.stride()]
}

func (d *Datapath) checkTable(pool int, states []State) error {
	o := d.options()
	if pool < 0 || pool >= len(o.Pools) {
		return fmt.Errorf("set a table: there is no pool %d", pool)
	}
	p := o.Pools[pool]
	if len(states) != int(p.Hasher.Buckets) {
		return fmt.Errorf("set the table of pool %s: %d states for %d buckets", p.Name, len(states), p.Hasher.Buckets)
	}
	if i := slices.IndexFunc(states, func(s State) bool { return s > ownership.Contested }); i >= 0 {
		return fmt.Errorf("set the table of pool %s: bucket %d has the unknown state %d", p.Name, i, states[i])
	}
	return nil
}
