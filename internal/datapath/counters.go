package datapath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// Counts are packets by Verdict since the programs were first loaded.
// PassUntouched is not counted. A program counts what it decides itself: a beat
// counts as PassBeat in the filter, then as DropBeat in the adopter.
type Counts [Verdicts]uint64

// FromClients are those that hash to a bucket: what a client sent, whoever owns it.
func (c *Counts) FromClients() (packets uint64) {
	for v := range Verdict(Verdicts) {
		if v >= PassMine && v <= PassContestedNew || v >= DropForeign && v <= DropContestedNoSocket || v == DropRetiring {
			packets += c[v]
		}
	}
	return packets
}

// BucketCounts are packets that reached a bucket since the programs were first loaded.
type BucketCounts struct {
	Passed, Dropped uint64
}

// Counters reads the verdicts of every pool, all CPUs added up.
func (d *Datapath) Counters() ([]Counts, error) {
	now := d.arranged.Load()
	counts := make([]Counts, len(now.layout))
	for pool, p := range now.options.Pools {
		var perCPU []Counts
		if err := d.maps.RotaVerdicts.Lookup(now.layout[pool].place, &perCPU); err != nil {
			return nil, fmt.Errorf("read the counters of pool %s: %w", p.Name, err)
		}
		for _, cpu := range perCPU {
			for v, n := range cpu {
				counts[pool][v] += n
			}
		}
	}
	return counts, nil
}

// bucketBatch is how many buckets are read with one system call.
const bucketBatch = 1024

// BucketCounters reads the packets of every bucket of a pool, all CPUs added up.
func (d *Datapath) BucketCounters(pool int) ([]BucketCounts, error) {
	now := d.arranged.Load()
	if pool < 0 || pool >= len(now.layout) {
		return nil, fmt.Errorf("there is no pool %d", pool)
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("count the CPUs: %w", err)
	}
	reader := bucketReader{d: d, cpus: cpus}
	first := now.layout[pool].firstBucket()
	counts := make([]BucketCounts, now.options.Pools[pool].Hasher.Buckets)
	if err := reader.read(first, counts); err != nil {
		return nil, fmt.Errorf("read the buckets' counters of pool %s: %w", now.options.Pools[pool].Name, err)
	}
	return counts, nil
}

type bucketReader struct {
	d    *Datapath
	cpus int
}

// read walks rota_buckets from its start, in which batches come in the order
// of their keys, and adds up those from first on.
func (r bucketReader) read(first uint32, into []BucketCounts) error {
	var cursor ebpf.MapBatchCursor
	keys := make([]uint32, bucketBatch)
	values := make([]BucketCounts, bucketBatch*r.cpus)
	for {
		n, err := r.d.maps.RotaBuckets.BatchLookup(&cursor, keys, values, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return err
		}
		for i, key := range keys[:n] {
			if at := key - first; at < uint32(len(into)) {
				into[at].add(values[i*r.cpus : (i+1)*r.cpus])
			}
		}
		if err != nil {
			return nil // that was the last batch
		}
	}
}

func (c *BucketCounts) add(perCPU []BucketCounts) {
	for _, cpu := range perCPU {
		c.Passed += cpu.Passed
		c.Dropped += cpu.Dropped
	}
}
