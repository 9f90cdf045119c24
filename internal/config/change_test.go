package config

import (
	"slices"
	"strings"
	"testing"
)

// TestCompare: what a running daemon takes over, and what it refuses by name.
func TestCompare(t *testing.T) {
	const base = minimal + "    drain_timeout: 1m\n"
	for _, c := range []struct {
		what     string
		from, to string // in the file
		lines    []string
		refused  string
	}{
		{"nothing", "", "", nil, ""},
		{"the weight", "pools:", "node: {weight: 50}\npools:", []string{"node.weight: 50, was 100"}, ""},
		{"the beat", "pools:", "heartbeat: {interval: 20ms, lease: 120ms}\npools:", []string{"heartbeat.interval: 20ms, was 50ms", "heartbeat.lease: 120ms, was 300ms"}, ""},
		{"other interfaces", "pools:", "heartbeat: {interfaces: [eth1]}\npools:", []string{"heartbeat.interfaces: eth1, was none"}, ""},
		{"the drain timeout", "1m", "2m", []string{"pools[web].drain_timeout: 2m, was 1m"}, ""},
		{"an address more", "[192.0.2.10]", "[192.0.2.10, 192.0.2.11]", []string{"pool web: new address 192.0.2.11"}, ""},
		{"another address", "[192.0.2.10]", "[192.0.2.11]", []string{"pool web: new address 192.0.2.11", "pool web: 192.0.2.10 takes no new connections, and goes when those that it has have ended or after 1m"}, ""},
		{"another pool", "name: web", "name: mail", []string{"pool mail: new, with 192.0.2.10", "pool web: goes, when its connections have ended or after 1m"}, ""},
		{"buckets", "    drain", "    buckets: 64\n    drain", nil, "pools[web].buckets"},
		{"hash", "    drain", "    hash: source-address\n    drain", nil, "pools[web].hash"},
		{"seed", "    drain", "    seed: 1\n    drain", nil, "pools[web].seed"},
		{"MAC", "    drain", "    mac: igmp\n    drain", nil, "pools[web].mac"},
		{"interface", "eth0", "eth1", nil, "interface"},
		{"port", "pools:", "heartbeat: {port: 7000}\npools:", nil, "heartbeat.port"},
		{"quorum", "pools:", "quorum: majority\nexpected_nodes: 3\npools:", nil, "quorum expected_nodes"},
		{"datapath", "pools:", "datapath: tc\npools:", nil, "datapath"},
		{"hooks", "pools:", "hooks_dir: /x\nhooks: [{command: /bin/true}]\npools:", []string{"hooks_dir: /x, was /etc/rota/hooks.d", "hooks: changed"}, ""},
		{"state_dir", "pools:", "state_dir: /x\npools:", nil, "state_dir"},
	} {
		if !strings.Contains(base, c.from) {
			t.Fatalf("the file has no %q", c.from)
		}
		d := mustParse(t, base).Compare(mustParse(t, strings.Replace(base, c.from, c.to, 1)))
		var refused []string
		for _, e := range d.Refused {
			refused = append(refused, e.Field)
		}
		if !slices.Equal(d.Lines, c.lines) || strings.Join(refused, " ") != c.refused {
			t.Errorf("%s: %q, refused %q; want %q, %q", c.what, d.Lines, refused, c.lines, c.refused)
		}
	}
}
