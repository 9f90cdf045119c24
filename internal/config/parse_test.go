package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/flowhash"
	"github.com/rota-cluster/rota/internal/health"
	"github.com/rota-cluster/rota/internal/ownership"
)

const minimal = `cluster: web
interface: eth0
key_file: /etc/rota/key
pools:
  - name: web
    addresses: [192.0.2.10]
`

// swap replaces a line of minimal, found by its first word, or adds one.
func swap(lines ...string) string {
	text := minimal
	for _, line := range lines {
		word, _, _ := strings.Cut(strings.TrimLeft(line, " -"), ":")
		found := false
		var out []string
		for old := range strings.Lines(text) {
			have, _, _ := strings.Cut(strings.TrimLeft(old, " -"), ":")
			if have == word && !found {
				found = true
				old = line + "\n"
			}
			out = append(out, old)
		}
		text = strings.Join(out, "")
		if !found {
			text += line + "\n"
		}
	}
	return text
}

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("", []byte(text))
	if err != nil {
		t.Fatalf("%v\nin:\n%s", err, text)
	}
	return c
}

func TestDefaults(t *testing.T) {
	got := mustParse(t, minimal)
	want := &Config{
		Cluster:   "web",
		Node:      Node{Weight: 100, Priority: 100},
		Interface: "eth0",
		KeyFile:   "/etc/rota/key",
		Heartbeat: Heartbeat{Interval: 50 * time.Millisecond, Lease: 300 * time.Millisecond, Port: 7479},
		Pools: []Pool{{
			Name: "web", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")},
			Hash: flowhash.SourceAddressPort, Prefix4: 24, Prefix6: 64, Buckets: 4096,
			DrainTimeout: 5 * time.Minute, Preempt: true,
		}},
		Replay:   true,
		HooksDir: "/etc/rota/hooks.d",
		API:      API{Socket: "/run/rota/rota.sock"},
		StateDir: "/var/lib/rota",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEveryValue(t *testing.T) {
	seed, priority, one := uint32(7), uint16(200), uint16(1)
	full := `
cluster: c-1
node: {name: node-b.example.com, weight: 0, priority: 0}
interface: eth0.100
key_file: k
datapath: xdp-generic
heartbeat: {interval: 10ms, lease: 50ms, port: 7000, interfaces: [eth1, eth2.7]}
quorum: majority
expected_nodes: 3
replay: false
pools:
  - {name: zoo, addresses: ["2001:db8::1"], mac: unicast, hash: source-network/26/56, priority: 1, preempt: false}
  - name: app
    addresses: [192.0.2.10, 2001:db8::10]
    hash: source-network/16
    buckets: 2
    seed: 0x7
    mac: 01-00-5E-01-02-03
    drain_timeout: 0s
    spread: single
    preempt: false
    priority: 200
    checks:
      - name: nginx
        https: "https://127.0.0.1/healthz"
        interval: 1s
        timeout: 200ms
        rise: 1
        fall: 3
        status: "200-299,401"
        body: ok
        headers:
          Host: www.example.com
        server_name: www.example.com
        ca: ca.pem
        days: 30
        warn_weight: 80%
      - {name: script, exec: [/bin/check, fast]}
      - {name: cart, grpc: "127.0.0.1:50051", service: shop.Cart, depends_on: []}
      - {name: zone, dns: example.com, server: "127.0.0.1:5353", type: SOA}
      - {name: lever, file: /run/out, present: false, depends_on: [disk_space]}
signs:
  memory_pressure: {warn: "10%", leave: 40, for: 5s, stay: 1m, warn_weight: "25%"}
  disk_space: off
  hosts: {warn: off, leave: 5s, hosts: [192.0.2.1]}
hooks:
  - {on: [state, drift], command: [/bin/notify, now], timeout: 1s}
  - command: /bin/tell
hooks_dir: hooks
api: {socket: run/rota.sock, listen: ":7480"}
state_dir: /s
`
	got, err := Parse("/etc/rota/rota.yaml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	warnings := got.Warnings
	got.Warnings = nil
	want := &Config{
		File: "/etc/rota/rota.yaml", Cluster: "c-1", Node: Node{Name: "node-b.example.com"},
		Interface: "eth0.100", KeyFile: "/etc/rota/k", Datapath: DatapathXDPGeneric,
		Heartbeat: Heartbeat{10 * time.Millisecond, 50 * time.Millisecond, 7000, []string{"eth1", "eth2.7"}},
		Quorum:    ownership.QuorumMajority, ExpectedNodes: 3,
		Pools: []Pool{{
			Name: "app", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")},
			Hash: flowhash.SourceNetwork, Prefix4: 16, Prefix6: 64, Buckets: 2, Seed: &seed,
			MAC: MAC{Given: []byte{1, 0, 0x5e, 1, 2, 3}}, Spread: ownership.SpreadSingle, Priority: &priority,
			Checks: []Check{
				check("nginx", "https", "https://127.0.0.1/healthz").with(func(k *Check) {
					k.Interval, k.Timeout, k.Rise, k.Fall = time.Second, 200*time.Millisecond, 1, 3
					k.Status, k.Body = []StatusRange{{200, 299}, {401, 401}}, regexp.MustCompile("ok")
					k.Headers = []Header{{"Host", "www.example.com"}}
					k.ServerName, k.CA, k.Days, k.WarnWeight = "www.example.com", "/etc/rota/ca.pem", 30, 80
				}),
				check("script", "exec", "/bin/check", "fast"),
				check("cart", "grpc", "127.0.0.1:50051").with(func(k *Check) { k.Service, k.DependsOn = "shop.Cart", []string{} }),
				check("zone", "dns", "example.com").with(func(k *Check) { k.Server, k.Type = "127.0.0.1:5353", "SOA" }),
				check("lever", "file", "/run/out").with(func(k *Check) { k.Absent, k.DependsOn = true, []string{"disk_space"} }),
			},
		}, {
			Name: "zoo", Addresses: []netip.Addr{netip.MustParseAddr("2001:db8::1")},
			Hash: flowhash.SourceNetwork, Prefix4: 26, Prefix6: 56, Buckets: 4096,
			MAC: MAC{Mode: MACUnicast}, DrainTimeout: 5 * time.Minute, Priority: &one,
		}},
		Signs: []Sign{
			{Name: "disk_space", Off: true},
			{Name: "hosts", Warn: &health.Limit{}, Leave: limit(5), Items: []string{"192.0.2.1"}},
			{Name: "memory_pressure", Warn: limit(10), Leave: limit(40), For: new(5 * time.Second), Stay: new(time.Minute), WarnWeight: 25},
		},
		Hooks: []Hook{
			{On: []string{HookState, HookDrift}, Command: []string{"/bin/notify", "now"}, Timeout: time.Second},
			{Command: []string{"/bin/tell"}, Timeout: DefaultHookTimeout},
		},
		HooksDir: "/etc/rota/hooks",
		API:      API{Socket: "/etc/rota/run/rota.sock", Listen: ":7480"},
		StateDir: "/s",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	var fields []string
	for _, w := range warnings {
		fields = append(fields, w.Field)
	}
	if want := []string{"pools[0].priority", "pools[0].preempt", "api.listen"}; !reflect.DeepEqual(fields, want) {
		t.Errorf("warns of %v, want %v", fields, want)
	}
}

func limit(at float64) *health.Limit {
	l := health.At(at)
	return &l
}

// check is one with the defaults.
func check(name, kind string, target ...string) Check {
	k := defaultCheck()
	k.Name, k.Kind, k.Target = name, kind, target
	return k
}

func (k Check) with(change func(*Check)) Check {
	change(&k)
	return k
}

func TestRefusals(t *testing.T) {
	pool := func(lines ...string) string { return minimal + "    " + strings.Join(lines, "\n    ") + "\n" }
	for _, row := range []struct{ name, text, want string }{
		{"an empty file needs everything", "", "f:1:1: cluster: missing; write e.g. cluster: web"},
		{"a file of comments is empty", "# nothing\n", "f:1:1: cluster: missing; write e.g. cluster: web"},
		{"a word is no configuration", "rota\n", `f:1:1: is "rota"; write key: value lines with api, cluster, datapath, `},
		{"a list is no configuration", "- a\n", "f:1:1: is a list; write key: value"},
		{"YAML that cannot be read", "cluster: [a\n", "f:1:10: not YAML: sequence end token ']' not found"},
		{"a tab as indentation", "\tcluster: a\n", "f:1:8: not YAML: the line is indented with a tab; write spaces instead"},
		{"a tab as deeper indentation", minimal + "node:\n\tname: a\n", "f:8:1: not YAML: the line is indented with a tab; write spaces instead"},
		{"a key given twice", "cluster: a\ncluster: b\n", `f:2:1: mapping key "cluster" already defined at [1:1]; remove one of the two`},
		{"a second document", minimal + "---\na: b\n", "f:8:1: a second document begins; "},
		{"a misspelt key is not also missing", strings.Replace(minimal, "interface", "interfaces", 1), "f:2:1: interfaces: unknown; did you mean interface?"},
		{"a key far from all", swap("zzzzzzz: 1"), "f:7:1: zzzzzzz: unknown; write api, cluster, datapath, expected_nodes, heartbeat, hooks, hooks_dir, interface, key_file, node, pools, quorum, replay, signs or state_dir"},
		{"an alias", swap("cluster: *x"), "f:1:10: cluster: is an anchor or alias, which are not read here; write a name such as web"},
		{"a tag", swap("cluster: !!str x"), "f:1:10: cluster: is tagged, and tags are not read here; write a name such as web"},
		{"a merge key", swap("<<: {a: b}"), "f:7:1: <<: unknown; write api"},

		{"a hook without a command", minimal + "hooks: [{on: [state]}]\n", "f:7:9: hooks[0].command: missing; write e.g. command: [/usr/local/bin/notify]"},
		{"a hook's command that is looked for", minimal + "hooks: [{command: notify}]\n", `hooks[0].command: "notify" is not a path that begins with /; write e.g. [/usr`},
		{"a hook's command for a shell", minimal + "hooks: [{command: /bin/echo a}]\n", `hooks[0].command: "/bin/echo a" has spaces, and no shell divides it; write a list`},
		{"a hook's command without words", minimal + "hooks: [{command: []}]\n", "hooks[0].command: is empty; write e.g. [/usr"},
		{"a hook on what is not known", minimal + "hooks: [{on: [states], command: /bin/a}]\n", `hooks[0].on[0]: "states" is unknown; did you mean state?`},
		{"a hook on the same twice", minimal + "hooks: [{on: [peer, peer], command: /bin/a}]\n", "hooks[0].on[1]: peer is given already"},
		{"a hook that may take for ever", minimal + "hooks: [{command: /bin/a, timeout: 11m}]\n", "hooks[0].timeout: 11m is out of range; write 100ms to 10m"},

		{"a cluster without a name", swap("cluster:"), "f:1:9: cluster: is empty; write a name such as web"},
		{"a cluster with an empty name", swap(`cluster: ""`), "f:1:10: cluster: is empty; write a name such as web"},
		{"a name with a space", swap("cluster: a b"), `f:1:10: cluster: "a b" is not a name; use 1 to 63 letters`},
		{"a name that is too long", swap("cluster: " + strings.Repeat("a", 64)), "f:1:10: cluster: \"" + strings.Repeat("a", 60) + "…\" is not a name"},
		{"a name that is a truth", swap("cluster: true"), "f:1:10: cluster: is true; write a name"},
		{"a name that is a list", swap("cluster: [a]"), "f:1:10: cluster: is a list; write a name"},
		{"a name in a block", swap("cluster: |\n  a"), "f:1:10: cluster: is a block of text; write one line"},
		{"a node's name with a slash", swap("node: {name: a/b}"), `f:7:14: node.name: "a/b" is not a name`},
		{"a weight above the bound", swap("node: {weight: 1001}"), "f:7:16: node.weight: 1001 is out of range; write a whole number from 0 to 1000"},
		{"a weight below zero", swap("node: {weight: -1}"), "f:7:16: node.weight: -1 is out of range; write a whole number from 0 to 1000"},
		{"a weight in quotes", swap(`node: {weight: "5"}`), `f:7:16: node.weight: is "5"; write 5 without quotes`},
		{"a weight with a fraction", swap("node: {weight: 1.5}"), "f:7:16: node.weight: is 1.5; write a whole number from 0 to 1000"},
		{"a weight that may be octal", swap("node: {weight: 010}"), "f:7:16: node.weight: 010 may be octal; write it without the leading 0"},
		{"an interface with a name too long", swap("interface: abcdefghijklmnop"), `f:2:12: interface: "abcdefghijklmnop" cannot be the name of an interface`},
		{"an interface with a slash", swap("interface: a/b"), `f:2:12: interface: "a/b" cannot be`},
		{"a datapath misspelt", swap("datapath: xdpp"), `f:7:11: datapath: "xdpp" is unknown; did you mean xdp?`},
		{"a datapath unknown", swap("datapath: netfilter"), `f:7:11: datapath: "netfilter" is unknown; write auto, xdp, xdp-generic or tc`},

		{"an interval without a unit", swap("heartbeat: {interval: 50}"), "f:7:23: heartbeat.interval: 50 has no unit; write e.g. 50ms or 50s"},
		{"an interval in words", swap("heartbeat: {interval: often}"), `f:7:23: heartbeat.interval: "often" is not a duration; write e.g. 50ms`},
		{"an interval too short", swap("heartbeat: {interval: 4ms}"), "f:7:23: heartbeat.interval: 4ms is out of range; write 5ms to 10s"},
		{"an interval below zero", swap("heartbeat: {interval: -50ms}"), `f:7:23: heartbeat.interval: "-50ms" is not a duration`},
		{"a lease of too few intervals", swap("heartbeat: {interval: 50ms, lease: 149ms}"), "f:7:36: heartbeat.lease: 149ms is less than 3 intervals of 50ms; write 150ms or more, better 300ms"},
		{"an interval too long for the lease that is the default", swap("heartbeat: {interval: 200ms}"), "f:7:23: heartbeat.lease: 300ms (the default) is less than 3 intervals of 200ms; write 600ms or more, better 1.2s"},
		{"a lease too long", swap("heartbeat: {lease: 2m}"), "f:7:20: heartbeat.lease: 2m is out of range; write 15ms to 1m"},
		{"port 0", swap("heartbeat: {port: 0}"), "f:7:19: heartbeat.port: 0 is out of range; write a whole number from 1 to 65535"},
		{"a quorum unknown", swap("quorum: 2"), `f:7:9: quorum: "2" is unknown; write none or majority`},
		{"a majority of nobody knows how many", swap("quorum: majority"), "f:7:9: quorum: majority needs to know of how many; write e.g. expected_nodes: 3"},
		{"no expected nodes", swap("quorum: majority", "expected_nodes: 0"), "f:8:17: expected_nodes: 0 is out of range; write a whole number from 1 to 64"},
		{"too many expected nodes", swap("quorum: majority", "expected_nodes: 65"), "f:8:17: expected_nodes: 65 is out of range"},

		{"no pools", "cluster: a\ninterface: b\nkey_file: /k\npools: []\n", "f:4:8: pools: empty; write at least one pool"},
		{"a pool that is a word", "cluster: a\ninterface: b\nkey_file: /k\npools: [web]\n", `f:4:9: pools[0]: is "web"; write key: value lines with addresses, buckets`},
		{"pools that are a mapping", "cluster: a\ninterface: b\nkey_file: /k\npools: {name: web}\n", "f:4:8: pools: is a mapping; write a list: - name: web"},
		{"a pool without a name", strings.Replace(minimal, "name: web", "buckets: 4", 1), "f:5:5: pools[0].name: missing; write e.g. name: web"},
		{"a pool without an address", strings.Replace(minimal, "addresses: [192.0.2.10]", "buckets: 4", 1), "f:5:5: pools[0].addresses: missing; write e.g. addresses: [192.0.2.10]"},
		{"two pools with one name", minimal + "  - {name: web, addresses: [192.0.2.11]}\n", "f:7:12: pools[1].name: web is given already, in pools[0].name; remove one of the two"},
		{"an address in two pools", minimal + "  - {name: b, addresses: [192.0.2.10]}\n", "f:7:27: pools[1].addresses[0]: 192.0.2.10 is given already, in pools[0].addresses[0]; remove one of the two"},
		{"one IPv6 address in two spellings", swap("    addresses: [2001:db8::1, 2001:DB8:0::1]"), "f:6:30: pools[0].addresses[1]: 2001:db8::1 is given already"},
		{"no addresses in the list", swap("    addresses: []"), "f:6:16: pools[0].addresses: empty; write at least one address"},
		{"an address that is not in a list", swap("    addresses: 192.0.2.10"), `f:6:16: pools[0].addresses: is "192.0.2.10"; write a list: [192.0.2.10]`},
		{"a name for an address", swap("    addresses: [www.example.com]"), `f:6:17: pools[0].addresses[0]: "www.example.com" is not an IP address; write e.g. 192.0.2.10`},
		{"an address with a prefix length", swap("    addresses: [192.0.2.10/24]"), `f:6:17: pools[0].addresses[0]: "192.0.2.10/24" has a prefix length; write 192.0.2.10 without /24`},
		{"a mapped address", swap("    addresses: ['::ffff:192.0.2.10']"), `"::ffff:192.0.2.10" is an IPv4 address in disguise; write 192.0.2.10`},
		{"a link-local address", swap("    addresses: ['fe80::1%eth0']"), `"fe80::1%eth0" is link-local and cannot be shared`},
		{"a multicast address", swap("    addresses: [224.0.0.18]"), `"224.0.0.18" cannot be the address of a host`},
		{"the broadcast address", swap("    addresses: [255.255.255.255]"), `"255.255.255.255" cannot be the address of a host`},
		{"localhost", swap("    addresses: ['::1']"), `"::1" cannot be the address of a host`},
		{"the address of nobody", swap("    addresses: [0.0.0.0]"), `"0.0.0.0" cannot be the address of a host`},
		{"the service's interface for the heartbeat", swap("heartbeat: {interfaces: [eth1, eth0]}"), "f:7:32: heartbeat.interfaces[1]: eth0 is the service's interface, which beats always take; write another, or leave this out"},
		{"an interface twice", swap("heartbeat: {interfaces: [eth1, eth1]}"), "heartbeat.interfaces[1]: eth1 is given already, in heartbeat.interfaces[0]; remove one of the two"},
		{"no name of an interface", swap("heartbeat: {interfaces: [eth 1]}"), `heartbeat.interfaces[0]: "eth 1" cannot be the name of an interface`},
		{"too many interfaces", swap("heartbeat: {interfaces: [a, b, c, d, e, f, g, h, i]}"), "heartbeat.interfaces: has 9 interfaces; at most 8"},
		{"an interface, not a list", swap("heartbeat: {interfaces: eth1}"), "f:7:25: heartbeat.interfaces: "},
		{"a hash unknown", pool("hash: sourceip"), `f:7:11: pools[0].hash: "sourceip" is not a hash mode; write source-network, source-address, source-address-port or source-address-port-destination-port`},
		{"a prefix where none counts", pool("hash: source-address/24"), "f:7:11: pools[0].hash: only source-network takes a prefix length; write source-address"},
		{"a prefix of nothing", pool("hash: source-network/0"), `f:7:11: pools[0].hash: "0" is not a prefix length from 1 to 32; write source-network/24 for IPv4, source-network/24/64 to set IPv6 too`},
		{"an IPv6 prefix in the place of IPv4's", pool("hash: source-network/64"), `"64" is not a prefix length from 1 to 32`},
		{"an IPv6 prefix too long", pool("hash: source-network/24/129"), `"129" is not a prefix length from 1 to 128`},
		{"a prefix left out", pool("hash: source-network/"), `"" is not a prefix length`},
		{"one bucket", pool("buckets: 1"), "f:7:14: pools[0].buckets: 1 is out of range; write a whole number from 2 to 65536"},
		{"too many buckets", pool("buckets: 65537"), "f:7:14: pools[0].buckets: 65537 is out of range"},
		{"a seed of 33 bits", pool("seed: 4294967296"), "f:7:11: pools[0].seed: 4294967296 is out of range; write a whole number from 0 to 4294967295"},
		{"a MAC mode unknown", pool("mac: broadcast"), `f:7:10: pools[0].mac: "broadcast" is unknown; write multicast, igmp, unicast or a MAC such as 03:00:5e:00:01:0a`},
		{"a MAC of eight bytes", pool("mac: 03:00:5e:00:01:0a:00:00"), `"03:00:5e:00:01:0a:00:00" is unknown`},
		{"the broadcast MAC", pool("mac: ff:ff:ff:ff:ff:ff"), "ff:ff:ff:ff:ff:ff is nobody's or everybody's"},
		{"the zero MAC", pool("mac: 00:00:00:00:00:00"), "00:00:00:00:00:00 is nobody's or everybody's"},
		{"a MAC that bridges keep", pool("mac: 01:80:c2:00:00:0e"), "01:80:c2:00:00:0e is reserved and never forwarded by a switch"},
		{"a spread unknown", pool("spread: one"), `f:7:13: pools[0].spread: "one" is unknown; write even or single`},
		{"a preempt that is no truth", pool("preempt: never"), `f:7:14: pools[0].preempt: is "never"; write true or false`},
		{"a priority above the bound", pool("priority: 1001"), "f:7:15: pools[0].priority: 1001 is out of range; write a whole number from 0 to 1000"},
		{"a node's priority above the bound", swap("node: {priority: 1001}"), "f:7:18: node.priority: 1001 is out of range"},
		{"a drain for ever", pool("drain_timeout: 25h"), "f:7:20: pools[0].drain_timeout: 25h is out of range; write 0s to 24h"},

		{"a check that tests nothing", pool("checks: [{name: a}]"), "f:7:14: pools[0].checks[0]: tests nothing; write one of agent, dns, exec, file, grpc, http, https, process, systemd, tcp or tls, e.g. http: http://127.0.0.1/"},
		{"a check of an unknown kind", pool("checks: [{name: a, ftp: b, tcp: 'a:1'}]"), "f:7:24: pools[0].checks[0].ftp: unknown; write agent, body, ca"},
		{"a check of two kinds", pool("checks: [{name: a, tcp: 'a:1', tls: 'a:1'}]"), "pools[0].checks[0].tls: the check is tcp already; write one of the two"},
		{"a check without a name", pool("checks: [{tcp: 'a:1'}]"), "pools[0].checks[0]: has no name; write e.g. {name: nginx, …}"},
		{"two checks with one name", pool("checks: [{name: a, tcp: 'a:1'}, {name: a, tcp: 'a:1'}]"), "pools[0].checks[1].name: a is given already, in pools[0].checks[0].name"},
		{"a check without a port", pool("checks: [{name: a, tcp: localhost}]"), `pools[0].checks[0].tcp: "localhost" is not an address and a port; write e.g. 127.0.0.1:25`},
		{"a check with a URL of another kind", pool("checks: [{name: a, http: 'https://a/'}]"), `pools[0].checks[0].http: "https://a/" is not an http URL; write e.g. http://127.0.0.1/`},
		{"a check with a bad port", pool("checks: [{name: a, http: 'http://a:99999/'}]"), `"http://a:99999/" is not an http URL`},
		{"an option of another kind", pool("checks: [{name: a, tcp: 'a:1', status: 200}]"), "f:7:44: pools[0].checks[0].status: is for http or https checks, and this is a check of tcp; remove it"},
		{"a status that is none", pool("checks: [{name: a, http: 'http://a', status: 20-300}]"), `pools[0].checks[0].status: "20-300" is no status code`},
		{"a pattern that cannot be read", pool("checks: [{name: a, http: 'http://a', body: '('}]"), "pools[0].checks[0].body: error parsing regexp: missing closing )"},
		{"a header with two lines", pool(`checks: [{name: a, http: 'http://a', headers: {A: "b\nc"}}]`), "pools[0].checks[0].headers.A: cannot be a header"},
		{"a record type unknown", pool("checks: [{name: a, dns: a, type: WKS}]"), `pools[0].checks[0].type: "WKS" is unknown; write A, AAAA`},
		{"no domain", pool("checks: [{name: a, dns: 'a..b'}]"), `pools[0].checks[0].dns: "a..b" is not a domain name; write e.g. www.example.com`},
		{"a file that is not there or there", pool("checks: [{name: a, file: /a, present: maybe}]"), `pools[0].checks[0].present: is "maybe"; write true or false`},
		{"a relative file", pool("checks: [{name: a, file: a}]"), `pools[0].checks[0].file: "a" is not a path from the root; write e.g. /run/in-service`},
		{"a weight of nothing", pool("checks: [{name: a, file: /a, warn_weight: 0}]"), `pools[0].checks[0].warn_weight: "0" is not a percentage that fits; write 1% to 100%, e.g. "50%"`},
		{"a command of no words", pool("checks: [{name: a, exec: []}]"), "pools[0].checks[0].exec: is an empty list"},
		{"a cause that is no sign", pool("checks: [{name: a, file: /a, depends_on: [disk_spac]}]"), `pools[0].checks[0].depends_on[0]: "disk_spac" is unknown; did you mean disk_space?`},
		{"a check that never falls", pool("checks: [{name: a, tcp: 'a:1', fall: 0}]"), "pools[0].checks[0].fall: 0 is out of range"},
		{"a sign with an unknown threshold", swap("signs: {memory_pressure: {wrn: 5}}"), "signs.memory_pressure.wrn: unknown; did you mean warn?"},
		{"a sign that is not one", swap("signs: {memory_presure: {warn: 5}}"), "signs.memory_presure: is not a sign; did you mean memory_pressure?"},
		{"a sign with a threshold of another unit", swap("signs: {memory_pressure: {warn: 5s}}"), `signs.memory_pressure.warn: "5s" is not a threshold of memory_pressure; write e.g. "10%" or off`},
		{"a sign with a percentage that is never reached", swap("signs: {disk_space: {warn: 120%}}"), `signs.disk_space.warn: 120% is never reached; write at most 100%, or off`},
		{"a threshold that is no number", swap("signs: {memory_pressure: {warn: NaN}}"), `signs.memory_pressure.warn: "NaN" is not a threshold of memory_pressure`},
		{"a sign that always leaves", swap("signs: {memory_pressure: {warn: off, leave: 0}}"), `signs.memory_pressure.leave: 0% is always reached; write e.g. "10%", or off`},
		{"a sign that leaves first", swap("signs: {memory_pressure: {leave: 5}}"), "signs.memory_pressure: leaves at 5% before it warns at 10%"},
		{"a sign that leaves first, where little is bad", swap("signs: {certificates: {leave: 30d}}"), "signs.certificates: leaves at 30d before it warns at 14d"},
		{"a sign with another's list", swap("signs: {gateway: {hosts: [192.0.2.1]}}"), "signs.gateway.hosts: unknown; write for, leave, stay, warn or warn_weight"},
		{"a host by name", swap("signs: {hosts: {hosts: [a.example]}}"), `signs.hosts.hosts[0]: "a.example" is not an IP address; write e.g. 192.0.2.1`},
		{"signs that are a list", swap("signs: [a]"), "f:7:8: signs: is a list; write name: {…} lines"},
		{"a socket with too long a path", swap("api: {socket: /" + strings.Repeat("a", 107) + "}"), "f:7:15: api.socket: is 108 characters long; a socket's path has at most 107"},
		{"a listener without a port", swap("api: {listen: localhost}"), `f:7:15: api.listen: "localhost" is not an address and a port; write e.g. 127.0.0.1:7480`},
		{"a path on two lines", swap(`state_dir: "/a\nb"`), `f:7:12: state_dir: "/a\nb" is not a path`},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, err := Parse("f", []byte(row.text))
			var es Errors
			if !errors.As(err, &es) {
				t.Fatalf("accepted as %+v, error %v", c, err)
			}
			if !strings.Contains(es[0].Error(), row.want) {
				t.Errorf("got  %v\nwant %s", es[0], row.want)
			}
			var first *Error
			if !errors.As(err, &first) || first != es[0] {
				t.Errorf("errors.As finds %v, not the first error", first)
			}
		})
	}
}

func TestErrorsAreToldTogether(t *testing.T) {
	bad := `cluster: a b
node: {weight: x, name: "?"}
interface: ""
quorum: some
`
	_, err := Parse("f", []byte(bad))
	want := `f:1:1: key_file: missing; write e.g. key_file: /etc/rota/key
f:1:1: pools: missing; write e.g. pools: [{name: web, addresses: [192.0.2.10]}]
f:1:10: cluster: "a b" is not a name; use 1 to 63 letters, digits, -, _ and ., a letter or digit first and last
f:2:16: node.weight: is "x"; write a whole number from 0 to 1000
f:2:25: node.name: "?" is not a name; use 1 to 63 letters, digits, -, _ and ., a letter or digit first and last
and 2 more`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestHardlyMeant(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"a majority of two", swap("quorum: majority", "expected_nodes: 2"), "f:8:17: expected_nodes: the majority of 2 is 2: when either node fails, both stop serving"},
		{"expected nodes that count for nothing", swap("expected_nodes: 3"), "f:7:17: expected_nodes: has no effect without quorum: majority"},
		{"a check that waits for longer than its interval", minimal + "    checks: [{name: a, tcp: 'a:1', interval: 100ms, timeout: 5s}]\n",
			"f:7:62: pools[0].checks[0].timeout: 5s is longer than the interval, 100ms: while nothing answers, the check is made every 5s only, and fails after 10s"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, err := Parse("f", []byte(row.text))
			if err != nil || len(c.Warnings) != 1 || c.Warnings[0].Error() != row.want {
				t.Errorf("error %v, warnings %v, want %s", err, c.Warnings, row.want)
			}
		})
	}
}

func TestEditorsOnWindows(t *testing.T) {
	mustParse(t, "\ufeff"+strings.ReplaceAll(minimal, "\n", "\r\n"))
}

func TestPoolsAreCounted(t *testing.T) {
	pools := func(n, addresses int) string {
		var b strings.Builder
		b.WriteString("cluster: a\ninterface: b\nkey_file: /k\npools:\n")
		for i := range n {
			fmt.Fprintf(&b, "- name: p%02d\n  buckets: 1024\n  addresses:\n", i)
			for j := range addresses {
				fmt.Fprintf(&b, "  - 10.%d.%d.1\n", i, j)
			}
		}
		return b.String()
	}
	mustParse(t, pools(64, 2))
	many := strings.ReplaceAll(pools(2, 1), "1024", "32769")
	for _, text := range []string{pools(65, 1), pools(64, 3), many} {
		if _, err := Parse("f", []byte(text)); err == nil || !strings.Contains(err.Error(), "at most") {
			t.Errorf("got %v", err)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(dir + "/none.yaml"); err == nil || err.Error() != dir+"/none.yaml: cannot be read: no such file or directory" {
		t.Errorf("got %v", err)
	}
	if err := unix.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	for _, endless := range []string{dir + "/fifo", "/dev/zero"} {
		if _, err := Load(endless); err == nil || err.Error() != endless+": cannot be read: not a regular file" {
			t.Errorf("got %v", err)
		}
	}
	path := dir + "/rota.yaml"
	if err := os.WriteFile(path, []byte(minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if c, err := Load(path); err != nil || c.Node.Name != host {
		t.Errorf("node %+v, error %v, want the hostname %s", c, err, host)
	}
}

func TestDeepNesting(t *testing.T) {
	for _, piece := range []string{"[", "{a: ", "- ", "? "} {
		if _, err := Parse("f", []byte(strings.Repeat(piece, 1000))); err == nil {
			t.Errorf("%s… is accepted", piece)
		}
	}
}
