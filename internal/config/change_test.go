package config

import (
	"reflect"
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
		{"quorum", "pools:", "quorum: majority\nexpected_nodes: 3\npools:", nil, "quorum expected_nodes"},
		{"datapath", "pools:", "datapath: tc\npools:", nil, "datapath"},
		{"hooks", "pools:", "hooks_dir: /x\nhooks: [{command: /bin/true}]\npools:", []string{"hooks_dir: /x, was /etc/rota/hooks.d", "hooks: changed"}, ""},
		{"signs", "pools:", "signs: {swap: off}\npools:", []string{"signs: changed"}, ""},
		{"the port", "pools:", "heartbeat: {port: 7000}\npools:", nil, "heartbeat.port"},
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

// TestNothingChangesInSilence: a change of any field is told or refused.
func TestNothingChangesInSilence(t *testing.T) {
	const base = minimal + `    hash: source-network
    checks: [{name: web, http: "http://127.0.0.1/", body: "ok"}]
signs: {swap: {warn: "10"}}
hooks: [{command: /bin/true}]
`
	if d := mustParse(t, base).Compare(mustParse(t, base)); len(d.Lines)+len(d.Refused) > 0 {
		t.Fatalf("the same file: %q, %v", d.Lines, d.Refused)
	}
	exempt := []string{"File", "Warnings", "API.Listen", "Pools.MAC"} // the last is in TestCompare; of the others nothing is made
	var each func(path string, at func(*Config) reflect.Value)
	each = func(path string, at func(*Config) reflect.Value) {
		switch probe := at(mustParse(t, base)); {
		case slices.Contains(exempt, path):
		case path == "Pools":
			each("Pools[]", func(c *Config) reflect.Value { return reflect.ValueOf(&c.Pools[0]).Elem() })
		case probe.Kind() == reflect.Struct:
			for i := range probe.NumField() {
				each(strings.TrimPrefix(strings.Replace(path, "[]", "", 1)+"."+probe.Type().Field(i).Name, "."), func(c *Config) reflect.Value { return at(c).Field(i) })
			}
		default:
			next := mustParse(t, base)
			alter(t, path, at(next))
			if d := mustParse(t, base).Compare(next); len(d.Lines)+len(d.Refused) == 0 {
				t.Errorf("%s changes in silence", path)
			}
		}
	}
	each("", func(c *Config) reflect.Value { return reflect.ValueOf(c).Elem() })
}

// alter gives a field another value.
func alter(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1e9)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(v.Uint() + 1)
	case reflect.Slice:
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		} else {
			v.SetZero()
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	default:
		t.Fatalf("%s is a %s, of which this test knows nothing", path, v.Kind())
	}
}
