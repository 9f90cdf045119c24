package datapath

import "fmt"

// PoolCounters are packets since the programs were first loaded.
type PoolCounters struct {
	Verdicts [Verdicts]uint64 // by Verdict; PassUntouched is always 0
	// Passed and Dropped by bucket, of the packets that reached one.
	Passed, Dropped []uint64
}

// Counters reads all counters, one PoolCounters per pool, all CPUs added up.
func (d *Datapath) Counters() ([]PoolCounters, error) {
	counters := make([]PoolCounters, len(d.options.Pools))
	for i, p := range d.options.Pools {
		c := &counters[i]
		if err := d.readVerdicts(uint32(i), &c.Verdicts); err != nil {
			return nil, fmt.Errorf("read the counters of pool %s: %w", p.Name, err)
		}
	}
	return counters, nil
}

func (d *Datapath) readVerdicts(pool uint32, into *[Verdicts]uint64) error {
	var perCPU [][Verdicts]uint64
	if err := d.maps.RotaVerdicts.Lookup(pool, &perCPU); err != nil {
		return err
	}
	for _, cpu := range perCPU {
		for v, n := range cpu {
			into[v] += n
		}
	}
	return nil
}
