package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const maxChecks = 1000 // of a pool

func (c *Config) readChecks(v value) []Check {
	items := v.items("- {name: nginx, http: http://127.0.0.1/}")
	if len(items) > maxChecks {
		v.fail("has %d checks; at most %d", len(items), maxChecks)
		return nil
	}
	names := places[string]{}
	var out []Check
	for _, item := range items {
		out = append(out, c.readCheck(item, names))
	}
	return out
}

func (c *Config) readCheck(v value, names places[string]) Check {
	k := defaultCheck()
	known := keys{
		"name": func(v value) {
			if v.name(&k.Name); k.Name != "" {
				names.taken(k.Name, v)
			}
		},
		"interval":    func(v value) { setTime(&k.Interval)(v.duration(10*time.Millisecond, time.Hour, "500ms")) },
		"timeout":     func(v value) { setTime(&k.Timeout)(v.duration(time.Millisecond, time.Hour, "300ms")) },
		"rise":        func(v value) { set(&k.Rise)(v.number(1, 100)) },
		"fall":        func(v value) { set(&k.Fall)(v.number(1, 100)) },
		"warn_weight": func(v value) { set(&k.WarnWeight)(v.percent(1, 100)) },
		"depends_on":  func(v value) { k.DependsOn = readDependsOn(v) },
	}
	for _, kind := range CheckKinds {
		known[kind] = func(v value) {
			if k.Kind != "" {
				v.fail("the check is %s already; write one of the two", k.Kind)
				return
			}
			k.Kind = kind
			k.Target = readTarget(v, kind)
		}
	}
	options := c.checkOptions(&k)
	for key, option := range options {
		known[key] = option.read
	}
	seen := v.mapping(known)
	if seen == nil {
		return k
	}
	if _, ok := seen["name"]; !ok {
		v.fail("has no name; write e.g. {name: nginx, …}")
	}
	if at, given := seen["timeout"]; given && k.Timeout > k.Interval {
		at.warn("%s is longer than the interval, %s: while nothing answers, the check is made every %s only, and fails after %s",
			short(k.Timeout), short(k.Interval), short(k.Timeout), short(time.Duration(k.Fall)*k.Timeout))
	}
	if k.Kind == "" {
		v.fail("tests nothing; write one of %s, e.g. http: http://127.0.0.1/", list(CheckKinds))
		return k
	}
	for key, option := range options {
		if at, given := seen[key]; given && !slices.Contains(option.kinds, k.Kind) {
			at.fail("is for %s checks, and this is a check of %s; remove it", list(option.kinds), k.Kind)
		}
	}
	return k
}

func defaultCheck() Check {
	return Check{
		Interval: DefaultCheckInterval, Timeout: DefaultCheckTimeout, Rise: DefaultCheckRise, Fall: DefaultCheckFall,
		WarnWeight: DefaultCheckWarnWeight, DependsOn: DefaultCheckDependsOn(),
		Status: []StatusRange{{First: 200, Last: 399}}, Days: DefaultCheckDays,
		Server: DefaultCheckServer, Type: DefaultCheckType,
	}
}

// checkOption is a key that only some kinds of checks have.
type checkOption struct {
	kinds []string
	read  func(value)
}

func (c *Config) checkOptions(k *Check) map[string]checkOption {
	http := []string{"http", "https"}
	secure := []string{"grpc", "https", "tls"}
	word := func(to *string, example string) func(value) {
		return func(v value) { *to, _ = v.text("e.g. " + example) }
	}
	return map[string]checkOption{
		"status":      {http, func(v value) { k.Status = readStatus(v) }},
		"body":        {http, func(v value) { k.Body = readPattern(v) }},
		"headers":     {http, func(v value) { k.Headers = readHeaders(v) }},
		"server_name": {secure, word(&k.ServerName, "www.example.com")},
		"ca":          {secure, func(v value) { c.path(v, &k.CA, "/etc/rota/ca.pem") }},
		"days":        {[]string{"https", "tls"}, func(v value) { set(&k.Days)(v.number(0, 3650)) }},
		"server":      {[]string{"dns"}, func(v value) { readHostPort(v, &k.Server, DefaultCheckServer) }},
		"type":        {[]string{"dns"}, func(v value) { readType(v, &k.Type) }},
		"service":     {[]string{"grpc"}, word(&k.Service, "shop.Cart")},
		"present":     {[]string{"file"}, func(v value) { readPresent(v, &k.Absent) }},
	}
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
		if len(words) == 0 {
			v.fail("is an empty list; write e.g. [/usr/local/bin/check, --fast]")
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
	case "dns":
		err = validDomain(word)
	case "file":
		if !strings.HasPrefix(word, "/") {
			err = fmt.Errorf("%q is not a path from the root", clip(word))
		}
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

// validDomain allows what RFC 1035 2.3.4 can hold, whatever its letters.
func validDomain(s string) error {
	name := strings.TrimSuffix(s, ".")
	right := len(name) < 254 && !strings.ContainsAny(name, " \t:/\\")
	for label := range strings.SplitSeq(name, ".") {
		right = right && len(label) > 0 && len(label) < 64
	}
	if !right && s != "." {
		return fmt.Errorf("%q is not a domain name", clip(s))
	}
	return nil
}

func readHostPort(v value, to *string, example string) {
	word, ok := v.text("e.g. " + example)
	if !ok {
		return
	}
	if err := validHostPort(word, false); err != nil {
		v.fail("%v; write e.g. %s", err, example)
		return
	}
	*to = word
}

func readType(v value, to *string) {
	if i, ok := v.choice(DNSTypes); ok {
		*to = DNSTypes[i]
	}
}

func readPresent(v value, absent *bool) {
	switch word := v.key(); word {
	case "true":
	case "false":
		*absent = true
	default:
		v.fail("is %s; write true or false", v.kind())
	}
}

// readStatus reads codes and ranges of codes: 200,204,300-399.
func readStatus(v value) (out []StatusRange) {
	word, ok := v.text(`e.g. "200-299,401"`)
	if !ok {
		return nil
	}
	for part := range strings.SplitSeq(word, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		a, errA := strconv.Atoi(first)
		b, errB := strconv.Atoi(last)
		if errA != nil || errB != nil || a < 100 || b > 599 || a > b {
			v.fail(`%q is no status code or range of them; write e.g. "200-299,401"`, clip(part))
			return nil
		}
		out = append(out, StatusRange{First: a, Last: b})
	}
	return out
}

func readPattern(v value) *regexp.Regexp {
	word, ok := v.text(`a pattern, e.g. "status: *ok"`)
	if !ok {
		return nil
	}
	pattern, err := regexp.Compile(word)
	if err != nil {
		v.fail(`%v; write a pattern of https://github.com/google/re2/wiki/Syntax, e.g. "status: *ok"`, err)
		return nil
	}
	return pattern
}

func readHeaders(v value) (out []Header) {
	v.entries(func(name string, v value) {
		word, ok := v.text("a text")
		if !ok {
			return
		}
		if !headerName.MatchString(name) || strings.ContainsAny(word, "\r\n\x00") {
			v.fail("cannot be a header; write e.g. {Host: www.example.com}")
			return
		}
		out = append(out, Header{Name: name, Value: word})
	})
	return out
}

// headerName is a token of RFC 9110 5.6.2.
var headerName = regexp.MustCompile("^[-!#$%&'*+.^_`|~0-9A-Za-z]+$")
