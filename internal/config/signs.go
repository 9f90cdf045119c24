package config

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/rota-cluster/rota/internal/health"
)

const (
	maxSignItems = 32 // paths, hosts or files of a sign
	maxFor       = time.Hour
	maxStay      = 24 * time.Hour
)

func (c *Config) readSigns(v value) {
	kinds := SignKinds()
	v.entries(func(name string, v value) {
		i := slices.IndexFunc(kinds, func(k SignKind) bool { return k.Name == name })
		if i < 0 {
			v.fail("is not a sign; %s", suggest(name, signNames()))
			return
		}
		c.Signs = append(c.Signs, c.readSign(v, kinds[i]))
	})
}

func (c *Config) readSign(v value, kind SignKind) Sign {
	s := Sign{Name: kind.Name}
	if b, ok := v.node.(*ast.BoolNode); ok && !b.Value || v.key() == "off" {
		s.Off = true
		return s
	}
	known := keys{
		"warn":        func(v value) { s.Warn = readLimit(v, kind) },
		"leave":       func(v value) { s.Leave = readLimit(v, kind) },
		"for":         func(v value) { readTime(v, &s.For, maxFor, "5s") },
		"stay":        func(v value) { readTime(v, &s.Stay, maxStay, "30s") },
		"warn_weight": func(v value) { set(&s.WarnWeight)(v.percent(1, 100)) },
	}
	if kind.List != "" {
		known[kind.List] = func(v value) { s.Items = c.readItems(v, kind.List) }
	}
	v.mapping(known)
	in := SignInForce{SignKind: kind}
	in.apply(s)
	warn, warns := in.Rule.Warn.Value()
	leave, leaves := in.Rule.Leave.Value()
	if warns && leaves && (warn > leave) != kind.Rule.Low && warn != leave {
		v.fail("leaves at %s before it warns at %s; write warn and leave so that warn comes first",
			kind.Text(leave), kind.Text(warn))
	}
	return s
}

// Text is a value or threshold with its unit.
func (k SignKind) Text(value float64) string {
	text := strconv.FormatFloat(math.Round(value*10)/10, 'f', -1, 64)
	if strings.HasPrefix(k.Unit, "/") || len(k.Unit) < 3 {
		return text + k.Unit // 10%, 5s, 3/h
	}
	return text + " " + k.Unit
}

// readLimit reads a threshold: a number, with or without the sign's unit, or off.
func readLimit(v value, kind SignKind) *health.Limit {
	example := "e.g. " + strconv.Quote(kind.Text(exampleLimit(kind)))
	if b, ok := v.node.(*ast.BoolNode); ok && !b.Value || v.key() == "off" {
		return &health.Limit{}
	}
	word, ok := v.text(example + " or off")
	if !ok {
		return nil
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(word, kind.Unit)), 64)
	if err != nil || !(0 <= n && n <= 1e9) { // NaN is not either
		v.fail("%q is not a threshold of %s; write %s or off", clip(word), kind.Name, example)
		return nil
	}
	if kind.Unit == "%" && n > kind.most() {
		v.fail("%s is never reached; write at most %s, or off", kind.Text(n), kind.Text(kind.most()))
		return nil
	}
	if n == 0 && !kind.Rule.Low {
		v.fail("%s is always reached; write %s, or off", kind.Text(n), example)
		return nil
	}
	limit := health.At(n)
	return &limit
}

// most is the highest percentage of a sign: NVMe tells of wear up to 255 %.
func (k SignKind) most() float64 {
	if k.Name == "disk_wear" {
		return 255
	}
	return 100
}

func exampleLimit(kind SignKind) float64 {
	if at, ok := kind.Rule.Warn.Value(); ok {
		return at
	}
	at, _ := kind.Rule.Leave.Value()
	return at
}

func readTime(v value, to **time.Duration, most time.Duration, example string) {
	if d, ok := v.duration(0, most, example); ok {
		*to = &d
	}
}

// readItems reads what a sign looks at: paths, hosts or files. An empty list is none.
func (c *Config) readItems(v value, list string) []string {
	examples := map[string]string{"paths": "/var", "hosts": "192.0.2.1", "files": "/etc/ssl/site.pem"}
	items := v.items("[" + examples[list] + "]")
	if len(items) > maxSignItems {
		v.fail("has %d entries; at most %d", len(items), maxSignItems)
		return nil
	}
	out := []string{}
	taken := places[string]{}
	for _, item := range items {
		var word string
		if list == "hosts" {
			word = readHost(item)
		} else {
			c.path(item, &word, examples[list])
		}
		if word != "" && !taken.taken(word, item) {
			out = append(out, word)
		}
	}
	return out
}

func readHost(v value) string {
	word, ok := v.text("e.g. 192.0.2.1")
	if !ok {
		return ""
	}
	if err := validAddress(word); err != nil {
		v.fail("%v; write e.g. 192.0.2.1", err)
		return ""
	}
	return word
}

// readDependsOn reads which signs explain a check that fails.
func readDependsOn(v value) []string {
	out := []string{}
	for _, item := range v.items("[disk_space]") {
		if i, ok := item.choice(signNames()); ok {
			out = append(out, signNames()[i])
		}
	}
	return out
}

func signNames() []string {
	kinds := SignKinds()
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Name
	}
	return names
}

func validAddress(s string) error {
	if _, err := netip.ParseAddr(s); err != nil {
		return fmt.Errorf("%q is not an IP address", clip(s))
	}
	return nil
}
