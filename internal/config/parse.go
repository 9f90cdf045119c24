package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// Load reads a file for the daemon, which will read it again: Parse, and the hostname for
// a node without a name.
func Load(path string) (*Config, error) {
	data, err := ReadFile(path)
	if err != nil {
		return nil, &Error{File: path, Msg: "cannot be read: " + cause(err)}
	}
	c, err := Parse(path, data)
	if err != nil || c.Node.Name != "" {
		return c, err
	}
	host, err := os.Hostname()
	if err == nil {
		err = validName(host)
	}
	if err != nil {
		return nil, &Error{File: path, Field: "node.name", Msg: "missing, and the hostname cannot stand in: " + err.Error()}
	}
	c.Node.Name = host
	return c, nil
}

// cause is the reason alone; the path stands before it already.
func cause(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}

// Parse judges a file's text and completes it with the defaults. path is for
// the messages, and relative paths in the text count from its folder. The
// error, if any, is Errors.
func Parse(path string, data []byte) (*Config, error) {
	r := &reader{file: path}
	root := r.read(data)
	c := defaults()
	c.File = path
	if len(r.errs) == 0 {
		c.read(root)
	}
	byPosition := func(a, b *Error) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col)) }
	slices.SortStableFunc(r.errs, byPosition)
	slices.SortStableFunc(r.warnings, byPosition)
	if len(r.errs) > 0 {
		return nil, r.errs
	}
	slices.SortFunc(c.Pools, func(a, b Pool) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(c.Signs, func(a, b Sign) int { return cmp.Compare(a.Name, b.Name) })
	c.Warnings = r.warnings
	return c, nil
}

func defaults() *Config {
	return &Config{
		Node:      Node{Weight: DefaultWeight, Priority: DefaultPriority},
		Heartbeat: Heartbeat{Interval: DefaultInterval, Lease: DefaultLease, Port: DefaultBeatPort},
		Replay:    true,
		HooksDir:  DefaultHooksDir,
		API:       API{Socket: DefaultSocket},
		StateDir:  DefaultStateDir,
	}
}

func (c *Config) read(v value) {
	var beside []value // the interfaces of heartbeat
	seen := v.mapping(keys{
		"cluster":        func(v value) { v.name(&c.Cluster) },
		"node":           c.readNode,
		"interface":      func(v value) { v.interfaceName(&c.Interface) },
		"key_file":       func(v value) { c.path(v, &c.KeyFile, "/etc/rota/key") },
		"datapath":       func(v value) { choose(v, datapathNames, &c.Datapath) },
		"heartbeat":      func(v value) { beside = c.readHeartbeat(v) },
		"quorum":         func(v value) { choose(v, quorumNames, &c.Quorum) },
		"expected_nodes": func(v value) { set(&c.ExpectedNodes)(v.number(1, MaxNodes)) },
		"replay":         func(v value) { v.truth(&c.Replay) },
		"pools":          c.readPools,
		"signs":          c.readSigns,
		"hooks":          c.readHooks,
		"hooks_dir":      func(v value) { c.path(v, &c.HooksDir, DefaultHooksDir) },
		"api":            c.readAPI,
		"state_dir":      func(v value) { c.path(v, &c.StateDir, DefaultStateDir) },
	})
	v.need(seen, "cluster: web", "interface: eth0", "key_file: /etc/rota/key",
		"pools: [{name: web, addresses: [192.0.2.10]}]")
	c.readQuorumNodes(seen)
	for i, name := range c.Heartbeat.Interfaces {
		if name == c.Interface {
			beside[i].fail("%s is the service's interface, which beats always take; write another, or leave this out", name)
		}
	}
}

var quorumNames = []string{ownership.QuorumNone.String(), ownership.QuorumMajority.String()}

func (c *Config) readQuorumNodes(seen map[string]value) {
	quorum, asked := seen["quorum"]
	nodes, given := seen["expected_nodes"]
	switch {
	case c.Quorum == ownership.QuorumMajority && !given:
		quorum.fail("majority needs to know of how many; write e.g. expected_nodes: 3")
	case c.Quorum == ownership.QuorumMajority && c.ExpectedNodes == 2:
		nodes.warn("the majority of 2 is 2: when either node fails, both stop serving")
	case c.Quorum == ownership.QuorumNone && given && (!asked || quorum.key() == quorumNames[0]):
		nodes.warn("has no effect without quorum: majority")
	}
}

func (c *Config) readNode(v value) {
	v.mapping(keys{
		"name":     func(v value) { v.name(&c.Node.Name) },
		"weight":   func(v value) { set(&c.Node.Weight)(v.number(0, MaxWeight)) },
		"priority": func(v value) { set(&c.Node.Priority)(v.number(0, MaxPriority)) },
	})
}

func (v value) interfaceName(to *string) {
	word, ok := v.text("e.g. eth0")
	if !ok {
		return
	}
	// dev_valid_name of net/core/dev.c, with IFNAMSIZ 16.
	if len(word) > 15 || word == "." || word == ".." || strings.ContainsAny(word, "/: \t\n\v\f\r") {
		v.fail("%q cannot be the name of an interface (at most 15 characters, no space, / or :); write e.g. eth0", clip(word))
		return
	}
	*to = word
}

// readHeartbeat returns where each of its interfaces stands.
func (c *Config) readHeartbeat(v value) (beside []value) {
	h := &c.Heartbeat
	fine := true
	seen := v.mapping(keys{
		"interval": func(v value) {
			d, ok := v.duration(MinInterval, MaxInterval, "50ms")
			setTime(&h.Interval)(d, ok)
			fine = fine && ok
		},
		"lease": func(v value) {
			d, ok := v.duration(MinLeaseIntervals*MinInterval, MaxLease, "300ms")
			setTime(&h.Lease)(d, ok)
			fine = fine && ok
		},
		"port":       func(v value) { set(&h.Port)(v.number(1, 65535)) },
		"interfaces": func(v value) { beside = h.readInterfaces(v) },
	})
	if least := MinLeaseIntervals * h.Interval; fine && h.Lease < least {
		at, given := seen["lease"]
		word := short(h.Lease)
		if !given {
			at, word = seen["interval"], word+" (the default)"
			at.field = v.at("lease")
		}
		at.fail("%s is less than %d intervals of %s; write %s or more, better %s",
			word, MinLeaseIntervals, short(h.Interval), short(least), short(2*least))
	}
	return beside
}

func (h *Heartbeat) readInterfaces(v value) (where []value) {
	taken := places[string]{}
	items := v.items("[eth1]")
	if len(items) > MaxInterfaces {
		v.fail("has %d interfaces; at most %d", len(items), MaxInterfaces)
		return nil
	}
	for _, item := range items {
		var name string
		if item.interfaceName(&name); name != "" && !taken.taken(name, item) {
			h.Interfaces, where = append(h.Interfaces, name), append(where, item)
		}
	}
	return where
}

func (c *Config) readAPI(v value) {
	v.mapping(keys{
		"socket": func(v value) {
			c.path(v, &c.API.Socket, DefaultSocket)
			// sun_path of struct sockaddr_un, unix(7), with its closing zero.
			if len(c.API.Socket) > 107 {
				v.fail("is %d characters long; a socket's path has at most 107", len(c.API.Socket))
			}
		},
		"listen": func(v value) {
			if s, ok := v.node.(interface{ GetValue() any }); ok && s.GetValue() == "" {
				return
			}
			word, ok := v.text("e.g. 127.0.0.1:7480")
			if !ok {
				return
			}
			if err := validHostPort(word, true); err != nil {
				v.fail("%v; write e.g. 127.0.0.1:7480", err)
				return
			}
			c.API.Listen = word
			v.warn("has no effect: this version listens on api.socket alone")
		},
	})
}

// path reads a path; a relative one counts from the folder of the file.
func (c *Config) path(v value, to *string, hint string) {
	word, ok := v.text("e.g. " + hint)
	if !ok {
		return
	}
	if strings.ContainsFunc(word, func(r rune) bool { return r < ' ' }) {
		v.fail("%q is not a path; write e.g. %s", clip(word), hint)
		return
	}
	if !filepath.IsAbs(word) && c.File != "" {
		word = filepath.Join(filepath.Dir(c.File), word)
	}
	*to = word
}

// name reads what nodes, clusters and pools are called.
func (v value) name(to *string) {
	word, ok := v.text("a name such as web")
	if !ok {
		return
	}
	if err := validName(word); err != nil {
		v.fail("%v", err)
		return
	}
	*to = word
}

const maxName = 63 // a DNS label, RFC 1035 2.3.4

func validName(s string) error {
	alnum := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' }
	right := len(s) > 0 && len(s) <= maxName && alnum(s[0]) && alnum(s[len(s)-1])
	for i := 0; right && i < len(s); i++ {
		right = alnum(s[i]) || strings.IndexByte("-_.", s[i]) >= 0
	}
	if !right {
		return fmt.Errorf("%q is not a name; use 1 to %d letters, digits, -, _ and ., a letter or digit first and last", clip(s), maxName)
	}
	return nil
}

// set stores a number that was read, if it was read rightly.
func set[T uint16 | uint32 | int](to *T) func(uint64, bool) {
	return func(n uint64, ok bool) {
		if ok {
			*to = T(n)
		}
	}
}

// setTime does the same with a duration.
func setTime(to *time.Duration) func(time.Duration, bool) {
	return func(d time.Duration, ok bool) {
		if ok {
			*to = d
		}
	}
}

func choose[T ~uint8](v value, words []string, to *T) {
	if i, ok := v.choice(words); ok {
		*to = T(i)
	}
}
