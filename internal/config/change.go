package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
)

// Change is what another file would change of one that is in force.
type Change struct {
	// Lines tell it, one fact each.
	Lines []string
	// Refused is what cannot be changed while the daemon runs.
	Refused Errors
}

// Compare finds out what is different in next, and what of that a running
// daemon cannot take over.
func (c *Config) Compare(next *Config) Change {
	var d Change
	fixed := func(field string, a, b any) {
		if a != b {
			d.refuse(next, field)
		}
	}
	fixed("cluster", c.Cluster, next.Cluster)
	fixed("node.name", c.Node.Name, next.Node.Name)
	fixed("interface", c.Interface, next.Interface)
	fixed("datapath", c.Datapath, next.Datapath)
	fixed("heartbeat.port", c.Heartbeat.Port, next.Heartbeat.Port)
	fixed("quorum", c.Quorum, next.Quorum)
	fixed("expected_nodes", c.ExpectedNodes, next.ExpectedNodes)
	fixed("api.socket", c.API.Socket, next.API.Socket)
	fixed("state_dir", c.StateDir, next.StateDir)

	d.tell("node.weight", c.Node.Weight, next.Node.Weight)
	d.tell("node.priority", c.Node.Priority, next.Node.Priority)
	d.tell("key_file", c.KeyFile, next.KeyFile)
	d.tell("replay", c.Replay, next.Replay)
	d.tell("heartbeat.interval", short(c.Heartbeat.Interval), short(next.Heartbeat.Interval))
	d.tell("heartbeat.lease", short(c.Heartbeat.Lease), short(next.Heartbeat.Lease))
	d.tell("heartbeat.interfaces", orNone(c.Heartbeat.Interfaces), orNone(next.Heartbeat.Interfaces))
	d.tell("hooks_dir", c.HooksDir, next.HooksDir)
	d.tellChanged("hooks", c.Hooks, next.Hooks)
	d.tellChanged("signs", c.Signs, next.Signs)
	for _, p := range next.Pools {
		if i := c.pool(p.Name); i >= 0 {
			d.comparePools(next, c.Pools[i], p)
		} else {
			d.Lines = append(d.Lines, fmt.Sprintf("pool %s: new, with %s", p.Name, addressList(p.Addresses)))
		}
	}
	for _, p := range c.Pools {
		if next.pool(p.Name) < 0 {
			d.Lines = append(d.Lines, fmt.Sprintf("pool %s: goes, when its connections have ended or after %s", p.Name, short(p.DrainTimeout)))
		}
	}
	return d
}

func (d *Change) comparePools(next *Config, was, is Pool) {
	at := "pools[" + is.Name + "]."
	fixed := func(field string, a, b any) {
		if a != b {
			d.refuse(next, at+field)
		}
	}
	fixed("buckets", was.Buckets, is.Buckets)
	fixed("hash", was.HashText(), is.HashText())
	fixed("seed", seedText(was.Seed), seedText(is.Seed))
	fixed("mac", was.MAC.String(), is.MAC.String())
	fixed("spread", was.Spread, is.Spread)
	fixed("preempt", was.Preempt, is.Preempt)
	d.tell(at+"drain_timeout", short(was.DrainTimeout), short(is.DrainTimeout))
	d.tell(at+"priority", seedText(was.Priority), seedText(is.Priority))
	d.tellChanged(at+"checks", was.Checks, is.Checks)
	if added := without(is.Addresses, was.Addresses); len(added) > 0 {
		d.Lines = append(d.Lines, fmt.Sprintf("pool %s: new address %s", is.Name, addressList(added)))
	}
	if gone := without(was.Addresses, is.Addresses); len(gone) > 0 {
		d.Lines = append(d.Lines, fmt.Sprintf("pool %s: %s takes no new connections, and goes when those that it has have ended or after %s",
			is.Name, addressList(gone), short(is.DrainTimeout)))
	}
}

func (d *Change) refuse(next *Config, field string) {
	d.Refused = append(d.Refused, &Error{File: next.File, Field: field, Msg: "cannot be changed while the daemon runs; restart it"})
}

func (d *Change) tell(field string, was, is any) {
	if was != is {
		d.Lines = append(d.Lines, fmt.Sprintf("%s: %v, was %v", field, is, was))
	}
}

// tellChanged is for what is too long for a line.
func (d *Change) tellChanged(field string, was, is any) {
	if !reflect.DeepEqual(was, is) {
		d.Lines = append(d.Lines, field+": changed")
	}
}

// pool is the index of a pool, -1 if there is none of that name.
func (c *Config) pool(name string) int {
	return slices.IndexFunc(c.Pools, func(p Pool) bool { return p.Name == name })
}

func without(all, those []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool { return slices.Contains(those, a) })
}

func addressList(all []netip.Addr) string {
	var words []string
	for _, a := range all {
		words = append(words, a.String())
	}
	return strings.Join(words, ", ")
}

func orNone(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

func seedText[T uint16 | uint32](n *T) string {
	if n == nil {
		return "not given"
	}
	return fmt.Sprint(*n)
}
