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

// tableLayout says where a pool's tables are in rota_tables.
type tableLayout struct {
	start  uint32 // of generation 0, in bytes
	stride uint32 // from generation to generation, in bytes
}

func (l tableLayout) offset(generation int) uint32 {
	return l.start + uint32(generation)*l.stride
}

func (l tableLayout) generationAt(offset uint32) int {
	return int((offset - l.start) / l.stride)
}

// layoutTables places the tables of all pools one after the other, and tells
// how many lines of rota_tables they take.
func layoutTables(pools []Pool) (layout []tableLayout, lines uint32) {
	for _, p := range pools {
		l := (p.Hasher.Buckets + tableLine - 1) / tableLine
		layout = append(layout, tableLayout{start: lines * tableLine, stride: l * tableLine})
		lines += l * tableGenerations
	}
	return layout, lines
}

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
	if err := d.checkTable(pool, states); err != nil {
		return err
	}
	d.tableLock.Lock()
	defer d.tableLock.Unlock()
	if d.control == nil {
		return errClosed
	}
	layout := d.layout[pool]
	retired := &d.generation[pool]
	active := layout.generationAt(d.control.table[pool].Load())
	next := (active + 1) % tableGenerations
	if wait := retired[next] + tableGrace - Now(); retired[next] != 0 && wait > 0 {
		time.Sleep(wait)
	}
	table := d.table(pool, next)
	for i, s := range states {
		table[i] = byte(s)
	}
	d.control.table[pool].Store(layout.offset(next))
	retired[active] = Now()
	return nil
}

// Table is the table in force of a pool.
func (d *Datapath) Table(pool int) ([]State, error) {
	if pool < 0 || pool >= len(d.layout) {
		return nil, fmt.Errorf("there is no pool %d", pool)
	}
	d.tableLock.Lock()
	defer d.tableLock.Unlock()
	if d.control == nil {
		return nil, errClosed
	}
	active := d.layout[pool].generationAt(d.control.table[pool].Load())
	states := make([]State, d.options.Pools[pool].Hasher.Buckets)
	for i, b := range d.table(pool, active) {
		states[i] = State(b)
	}
	return states, nil
}

// table is the memory of one generation of a pool's table.
func (d *Datapath) table(pool, generation int) []byte {
	at := d.layout[pool].offset(generation)
	return d.tables[at : at+d.options.Pools[pool].Hasher.Buckets]
}

func (d *Datapath) checkTable(pool int, states []State) error {
	if pool < 0 || pool >= len(d.layout) {
		return fmt.Errorf("set a table: there is no pool %d", pool)
	}
	p := d.options.Pools[pool]
	if len(states) != int(p.Hasher.Buckets) {
		return fmt.Errorf("set the table of pool %s: %d states for %d buckets", p.Name, len(states), p.Hasher.Buckets)
	}
	if i := slices.IndexFunc(states, func(s State) bool { return s > ownership.Contested }); i >= 0 {
		return fmt.Errorf("set the table of pool %s: bucket %d has the unknown state %d", p.Name, i, states[i])
	}
	return nil
}
