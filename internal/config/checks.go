package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"
)

const maxChecks = 1000 // of a pool

func readChecks(v value) []Check {
	items := v.items("- {name: nginx, http: http://127.0.0.1/}")
	if len(items) > maxChecks {
		v.fail("has %d checks; at most %d", len(items), maxChecks)
		return nil
	}
	if len(items) > 0 {
		v.warn("this version runs no checks")
	}
	names := places[string]{}
	var out []Check
	for _, item := range items {
		out = append(out, readCheck(item, names))
	}
	return out
}

func readCheck(v value, names places[string]) Check {
	c := Check{Interval: DefaultCheckInterval, Timeout: DefaultCheckTimeout, Rise: DefaultCheckRise, Fall: DefaultCheckFall}
	known := keys{
		"name": func(v value) {
			if v.name(&c.Name); c.Name != "" {
				names.taken(c.Name, v)
			}
		},
		"interval": func(v value) { setTime(&c.Interval)(v.duration(10*time.Millisecond, time.Hour, "500ms")) },
		"timeout":  func(v value) { setTime(&c.Timeout)(v.duration(time.Millisecond, time.Hour, "300ms")) },
		"rise":     func(v value) { set(&c.Rise)(v.number(1, 100)) },
		"fall":     func(v value) { set(&c.Fall)(v.number(1, 100)) },
	}
	for _, kind := range CheckKinds {
		known[kind] = func(v value) {
			if c.Kind != "" {
				v.fail("the check is %s already; write one of the two", c.Kind)
				return
			}
			c.Kind = kind
			c.Target = readTarget(v, kind)
		}
	}
	seen := v.mapping(known)
	if seen == nil {
		return c
	}
	if _, ok := seen["name"]; !ok {
		v.fail("has no name; write e.g. {name: nginx, …}")
	}
	if c.Kind == "" {
		v.fail("tests nothing; write one of %s, e.g. http: http://127.0.0.1/", list(CheckKinds))
	}
	return c
}

// readTarget reads what a check is aimed at; its shape depends on the kind.
func readTarget(v value, kind string) []string {
	if kind == "exec" && v.kind() == "a list" {
		var words []string
		for _, item := range v.items("[/usr/local/bin/check, --fast]") {
			if word, ok := item.text("a word"); ok {
				words = append(words, word)
			}
		}
		return words
	}
	example := checkExamples[kind]
	word, ok := v.text("e.g. " + example)
	if !ok {
		return nil
	}
	var err error
	switch kind {
	case "http", "https":
		err = validURL(word, kind)
	case "tcp", "tls", "grpc", "agent":
		err = validHostPort(word, false)
	}
	if err != nil {
		v.fail("%v; write e.g. %s", err, example)
	}
	return []string{word}
}

var checkExamples = map[string]string{
	"agent": "127.0.0.1:9707", "dns": "www.example.com", "exec": "/usr/local/bin/check",
	"file": "/run/in-service", "grpc": "127.0.0.1:50051", "http": "http://127.0.0.1/",
	"https": "https://www.example.com/", "process": "/run/nginx.pid", "systemd": "nginx.service",
	"tcp": "127.0.0.1:25", "tls": "127.0.0.1:443",
}

func validURL(s, scheme string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != scheme || u.Hostname() == "" || !validPort(u.Port(), true) {
		return fmt.Errorf("%q is not an %s URL", clip(s), scheme)
	}
	return nil
}

// validHostPort judges an address and port; anyHost allows :port.
func validHostPort(s string, anyHost bool) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" && !anyHost || !validPort(port, false) {
		return fmt.Errorf("%q is not an address and a port", clip(s))
	}
	return nil
}

func validPort(s string, absent bool) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 || s == "" && absent
}

var signName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// readSigns judges the shape alone: which signs there are is for the version that reads them.
func (c *Config) readSigns(v value) {
	v.entries(func(name string, v value) {
		s := Sign{Name: name}
		if !signName.MatchString(name) {
			v.fail("is not the name of a sign; write e.g. memory_pressure: {warn: \"10%%\", leave: \"40%%\", for: 5s}")
			return
		}
		if b, ok := v.node.(*ast.BoolNode); ok && !b.Value || v.key() == "off" {
			s.Off = true
		} else {
			v.mapping(keys{
				"warn":  func(v value) { s.Warn, _ = v.text(`e.g. "10%"`) },
				"leave": func(v value) { s.Leave, _ = v.text(`e.g. "40%"`) },
				"for":   func(v value) { setTime(&s.For)(v.duration(0, time.Hour, "5s")) },
			})
		}
		c.Signs = append(c.Signs, s)
	})
	if len(c.Signs) > 0 {
		v.warn("this version watches no signs")
	}
}
