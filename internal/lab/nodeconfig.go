package lab

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/lab/segment"
)

// nodeFiles are where a node keeps what is its own.
type nodeFiles struct{ config, socket, state, log, hooks string }

func (l *Lab) filesOf(node string) nodeFiles {
	at := func(name string) string { return filepath.Join(l.dir.path, node, name) }
	return nodeFiles{config: at("rota.yaml"), socket: at("rota.sock"), state: at("state"), log: at("rota.log"), hooks: at("hooks.d")}
}

func (l *Lab) bodyOf(node string) bodyFiles { return bodyFiles{filepath.Join(l.dir.path, node)} }

func (l *Lab) keyFile() string { return filepath.Join(l.dir.path, "key") }

func (l *Lab) writeKey() error {
	key, err := config.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make the cluster's key: %w", err)
	}
	if err := os.WriteFile(l.keyFile(), []byte(strings.TrimSpace(key)+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the cluster's key: %w", err)
	}
	return nil
}

// writeConfig writes the node's configuration, judged as `rota config
// validate` would.
func (l *Lab) writeConfig(node string) error {
	files := l.filesOf(node)
	for _, dir := range []string{files.state, files.hooks} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the node's directory: %w", err)
		}
	}
	text := l.configText(node)
	parsed, err := config.Parse(files.config, []byte(text))
	if err != nil {
		return fmt.Errorf("the nodes' configuration: %w", err)
	}
	l.parsed = parsed
	if err := os.WriteFile(files.config, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the node's configuration: %w", err)
	}
	return nil
}

// serviceCheck notices within 3 s that a node's service was killed. A machine that
// keeps the service waiting for less has no node leave.
const serviceCheck = `{name: http, http: "http://127.0.0.1/", interval: 1s, timeout: 1s, fall: 3}`

func (l *Lab) configText(node string) string {
	var b strings.Builder
	files := l.filesOf(node)
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("cluster: %q", l.options.Name)
	line("node: {name: %q}", node)
	line("interface: %s", segment.InterfaceName)
	line("key_file: %q", l.keyFile())
	line("api: {socket: %q}", files.socket)
	line("state_dir: %q", files.state)
	line("hooks_dir: %q", files.hooks)
	if l.options.Datapath != "" {
		line("datapath: %s", l.options.Datapath)
	}
	if l.options.Interval != 0 || l.options.Lease != 0 || l.options.SecondPath {
		line("heartbeat:")
	}
	if l.options.SecondPath {
		line("  interfaces: [%s]", segment.SecondInterfaceName)
	}
	if l.options.Interval != 0 {
		line("  interval: %s", l.options.Interval)
	}
	if l.options.Lease != 0 {
		line("  lease: %s", l.options.Lease)
	}
	if l.options.Quorum != "" {
		line("quorum: %s", l.options.Quorum)
	}
	if l.options.Quorum == "majority" {
		line("expected_nodes: %d", l.options.Nodes)
	}
	if l.options.NoReplay {
		line("replay: false")
	}
	var seen map[string]string
	if l.options.Ailing {
		seen = l.bodyOf(node).signs()
	}
	line("signs:")
	for _, kind := range config.SignKinds() {
		line("  %s: %s", kind.Name, cmp.Or(strings.ReplaceAll(l.options.Signs[kind.Name], "{node}", node), seen[kind.Name], "off"))
	}
	line("pools:")
	for _, p := range l.options.Pools {
		if l.options.Ailing && p.Checks == nil {
			p.Checks = []string{serviceCheck}
		}
		p.write(node, line)
	}
	return b.String()
}

func (p Pool) write(node string, line func(format string, args ...any)) {
	line("  - name: %q", p.Name)
	line("    addresses:")
	for _, a := range p.Addresses {
		line("      - %q", a)
	}
	if p.Hash != "" {
		line("    hash: %s", p.Hash)
	}
	if p.Buckets != 0 {
		line("    buckets: %d", p.Buckets)
	}
	if p.Seed != nil {
		line("    seed: %d", *p.Seed)
	}
	if p.MAC != "" {
		line("    mac: %s", p.MAC)
	}
	if p.DrainTimeout != 0 {
		line("    drain_timeout: %s", p.DrainTimeout)
	}
	if p.Spread != "" {
		line("    spread: %s", p.Spread)
	}
	if p.NoPreempt {
		line("    preempt: false")
	}
	if priority, given := p.Priorities[node]; given {
		line("    priority: %d", priority)
	}
	if len(p.Checks) > 0 {
		line("    checks:")
	}
	for _, c := range p.Checks {
		line("      - %s", strings.ReplaceAll(c, "{node}", node))
	}
}
