package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
)

// fake is a daemon that obeys.
type fake struct {
	mu     sync.Mutex
	status api.Status
	orders []string
	asked  int
	onAsk  func(asked int, st *api.Status)
	events []api.Event
	more   chan struct{} // closed and replaced when there are others
}

func (f *fake) Status() api.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.onAsk != nil {
		f.onAsk(f.asked, &f.status)
	}
	return f.status
}

func (f *fake) Explain(q api.ExplainQuery) (api.Explanation, error) {
	c, err := config.Parse("", config.Example())
	if err != nil {
		return api.Explanation{}, err
	}
	if _, err := q.Find(c.Pools); err != nil {
		return api.Explanation{}, err
	}
	return api.Explanation{
		Source: q.Src.String(), Destination: q.Dst.String(), Pool: "web", Hash: "source-address-port", Buckets: 4096, Bucket: 1234,
		Owner: "node-b", Lingering: []string{"node-a"}, Here: "lingering", Node: "node-a", Agreed: true,
		Why: "the table of view 17 gives it to node-b",
	}, nil
}

func (f *fake) order(what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.orders = append(f.orders, what)
	return nil
}

func (f *fake) Drain(_ context.Context, r api.DrainRequest) error {
	f.mu.Lock()
	f.status.State = api.Draining
	f.mu.Unlock()
	return f.order(strings.TrimSpace(fmt.Sprintln("drain", r.Reason, r.Node, r.TimeoutMS, r.Force)))
}

func (f *fake) Resume(context.Context, api.ResumeRequest) error {
	return errors.Join(f.order("resume"), api.Refused("node-a does not drain"))
}

func (f *fake) Pins(_ context.Context, r api.PinsRequest) (api.PinsDone, error) {
	list, err := api.ParseRanges(r.Buckets, 4096)
	if err != nil {
		return api.PinsDone{}, api.BadRequest("%v", err)
	}
	return api.PinsDone{Pool: "web", Node: cmp.Or(r.Node, "node-a"), Buckets: len(list)}, f.order(fmt.Sprintf("pins %+v", r))
}

func (f *fake) Reload(context.Context) (api.Reloaded, error) {
	return api.Reloaded{Changed: []string{"node.weight: 50, was 100"}}, f.order("reload")
}

func (f *fake) Restart(context.Context) error {
	f.mu.Lock()
	f.status.Started = f.status.Started.Add(time.Second)
	f.mu.Unlock()
	return f.order("restart")
}

func (f *fake) SetWeight(_ context.Context, r api.WeightRequest) error {
	return f.order(strings.TrimSpace(fmt.Sprint("weight ", *r.Weight, " ", r.Node)))
}

// Events are those that the fake has, by their places.
func (f *fake) Events(since uint64) ([]api.Event, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if since > uint64(len(f.events)) {
		since = 0
	}
	return f.events[since:], f.more
}

// serve runs the fake daemon for the test and returns its socket.
func (f *fake) serve(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rota.sock")
	l, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- api.NewServer(f, slog.New(slog.DiscardHandler)).Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return path
}

// result is what a command left behind.
type result struct {
	code        int
	out, errors string
}

func run(t *testing.T, args ...string) result {
	t.Helper()
	return runContext(t.Context(), args...)
}

func runContext(ctx context.Context, args ...string) result {
	var out, errs bytes.Buffer
	env := Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
	code := Main(ctx, env, args)
	return result{code, out.String(), errs.String()}
}

func TestBadUsage(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("cluster: a b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		args []string
		code int
		want string // the end of the one line
	}{
		{"an unknown command", []string{"frobnicate"}, 2, `rota: unknown command "frobnicate"; rota --help tells all`},
		{"a misspelt command", []string{"statu"}, 2, `rota: unknown command "statu"; did you mean status? rota --help tells all`},
		{"an unknown command of a group", []string{"config", "x"}, 2, `rota: unknown command "x"; rota config --help tells all`},
		{"an unknown command asked about", []string{"help", "x"}, 2, `rota: unknown command "x"; rota --help tells all`},
		{"an unknown flag", []string{"status", "--jsn"}, 2, "rota: unknown flag: --jsn; rota status --help tells the flags"},
		{"a flag without its value", []string{"status", "--socket"}, 2, "rota: flag needs an argument: --socket; rota status --help tells the flags"},
		{"an argument too many", []string{"status", "now"}, 2, "rota: status takes no arguments, not 1 argument; rota status --help tells more"},
		{"an argument too few", []string{"explain", "192.0.2.1"}, 2, "rota: explain takes SRC[:PORT] DST[:PORT], not 1 argument; rota explain --help tells more"},
		{"a name instead of an address", []string{"explain", "localhost:1", "192.0.2.1"}, 2, `rota: SRC: "localhost:1" is not an address; write e.g. 192.0.2.1, 192.0.2.1:80 or [2001:db8::1]:80 (names are not looked up)`},
		{"a weight that is none", []string{"weight", "1001"}, 2, `rota: "1001" is not a weight; write a whole number from 0 to 1000`},
		{"a weight in words", []string{"weight", "half"}, 2, `rota: "half" is not a weight; write a whole number from 0 to 1000`},
		{"a weight below nothing", []string{"weight", "-5"}, 2, `rota: "-5" is not a weight; write a whole number from 0 to 1000`},
		{"an unknown flag of weight", []string{"weight", "5", "--nod", "b"}, 2, "rota: unknown flag: --nod; rota weight --help tells the flags"},
		{"a time without a unit", []string{"drain", "--timeout", "5"}, 2, `rota: invalid argument "5" for "--timeout" flag: 5 has no unit; write e.g. 5ms or 5s; rota drain --help tells the flags`},
		{"a time that is none", []string{"drain", "--timeout", "abc"}, 2, `rota: invalid argument "abc" for "--timeout" flag: "abc" is not a duration; write e.g. 30s; rota drain --help tells the flags`},
		{"a file without its flag", []string{"config", "validate", "x.yaml"}, 2, "rota: validate takes its file by a flag: rota config validate --config x.yaml (- is the standard input)"},
		{"a configuration that is not there", []string{"config", "validate", "--config", dir + "/none"}, 2, dir + "/none: cannot be read: no such file or directory"},
		{"a daemon with a bad configuration", []string{"run", "--config", bad}, 2, bad + ":1:1: interface: missing; write e.g. interface: eth0 (and 3 more: rota config validate --config " + bad + ")"},
		{"a daemon without a configuration", []string{"run", "--config", dir + "/none"}, 2, dir + "/none: cannot be read: no such file or directory"},
		{"a daemon that shall tell nothing", []string{"run", "--log-level", "none"}, 2, "rota: --log-level none: write debug, info, warn or error"},
		{"an argument too many for a lab", []string{"lab", "3"}, 2, "rota: lab takes no arguments, not 1 argument; rota lab --help tells more"},
		{"no daemon", []string{"--socket", dir + "/s", "status"}, 1, "rota: no rota daemon has its socket at " + dir + "/s; start one with rota run, or name its socket with --socket"},
		{"no daemon, with --json", []string{"status", "--json", "--socket", dir + "/s"}, 1, "rota: no rota daemon has its socket at " + dir + "/s; start one with rota run, or name its socket with --socket"},
		{"no daemon to watch", []string{"status", "--watch", "--socket", dir + "/s"}, 1, "rota: no rota daemon has its socket at " + dir + "/s; start one with rota run, or name its socket with --socket"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := run(t, row.args...)
			if want := (result{row.code, "", row.want + "\n"}); got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestConfigValidate(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fine := write("fine.yaml", string(config.Example()))
	if got := run(t, "config", "validate", "--config", fine); got != (result{0, fine + ": valid\n", ""}) {
		t.Errorf("%+v", got)
	}
	later := write("later.yaml", string(config.Example())+"expected_nodes: 3\n")
	if got := run(t, "config", "validate", "--config", later); got.code != 0 || strings.Count(got.out, "\n") != 2 || !strings.Contains(got.out, "expected_nodes: has no effect") {
		t.Errorf("%+v", got)
	}
	bad := write("bad.yaml", "a: 1\nb: 1\nc: 1\nd: 1\ne: 1\nf: 1\n")
	got := run(t, "config", "validate", "--config", bad)
	if got.code != 2 || got.out != "" || strings.Count(got.errors, "\n") != 6 || !strings.HasPrefix(got.errors, bad+":1:1: ") {
		t.Errorf("%+v", got)
	}
}

func TestTextsOfTheConfiguration(t *testing.T) {
	if got := run(t, "config", "example"); got != (result{0, string(config.Example()), ""}) {
		t.Errorf("%+v", got)
	}
	if got := run(t, "config", "schema"); got.code != 0 || !json.Valid([]byte(got.out)) {
		t.Errorf("%+v", got)
	}
}

func TestKeyGenerate(t *testing.T) {
	one, two := run(t, "key", "generate"), run(t, "key", "generate")
	key, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(one.out, "\n"))
	if one.code != 0 || err != nil || len(key) != 32 || one.out == two.out {
		t.Errorf("%+v %+v %v", one, two, err)
	}
}

func TestVersion(t *testing.T) {
	if got := run(t, "version"); got.code != 0 || !strings.HasPrefix(got.out, "rota ") || strings.Count(got.out, "\n") != 1 {
		t.Errorf("%+v", got)
	}
	if got := run(t, "--version"); got != run(t, "version") {
		t.Errorf("%+v", got)
	}
	if got := run(t, "version", "--json"); got.code != 0 || !json.Valid([]byte(got.out)) {
		t.Errorf("%+v", got)
	}
}

// Every command explains itself, with an example, and its help fits the screen.
func TestHelp(t *testing.T) {
	root := (&program{Env: Env{}}).root()
	if got := run(t); got.code != 0 || !strings.Contains(got.out, "Usage:") {
		t.Errorf("%+v", got)
	}
	for _, cmd := range append(root.Commands(), root) {
		for _, c := range append(cmd.Commands(), cmd) {
			if c.Hidden {
				continue
			}
			args := strings.Fields(c.CommandPath())[1:]
			got := run(t, append(args, "--help")...)
			if got.code != 0 || !strings.Contains(got.out, "Examples:\n  ") || got != run(t, append([]string{"help"}, args...)...) {
				t.Errorf("%s: %+v", c.CommandPath(), got)
			}
			if c.Name() != "lab" { // its own package's
				fits(t, got.out)
			}
		}
	}
}

func TestStatusCommand(t *testing.T) {
	f := &fake{status: *healthy()}
	socket := f.serve(t)
	want := statusText(healthy(), style{})
	for _, args := range [][]string{{"--socket", socket, "status"}, {"status", "--socket", socket}, {"status", "--socket=" + socket}} {
		if got := run(t, args...); got.code != 0 || got.out != want {
			t.Errorf("%v: %+v", args, got)
		}
	}
	got := run(t, "status", "--json", "--socket", socket)
	var st api.Status
	if err := json.Unmarshal([]byte(got.out), &st); err != nil || st.Node != "node-a" || st.Pools[0].Owners["node-c"] != 819 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestStatusWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &fake{status: *healthy(), onAsk: func(asked int, _ *api.Status) {
		if asked == 2 {
			cancel()
		}
	}}
	got := runContext(ctx, "status", "--watch", "--socket", f.serve(t))
	if got.code != 0 || !strings.HasPrefix(got.out, statusText(healthy(), style{})) || got.errors != "" {
		t.Errorf("%+v", got)
	}
}

func TestExplainCommand(t *testing.T) {
	socket := (&fake{}).serve(t)
	got := run(t, "explain", "198.51.100.7:40000", "192.0.2.10:443", "--socket", socket)
	if want := `198.51.100.7:40000 -> 192.0.2.10:443
pool web, by source-address-port: bucket 1234 of 4096
new connections: node-b
older connections may still be with node-a
why: the table of view 17 gives it to node-b
here on node-a: lingering, only packets of open connections pass
`; got != (result{0, want, ""}) {
		t.Errorf("%+v", got)
	}
	got = run(t, "explain", "--json", "[2001:db8::7]:40000", "2001:db8::10", "--socket", socket)
	var e api.Explanation
	if err := json.Unmarshal([]byte(got.out), &e); err != nil || e.Source != "[2001:db8::7]:40000" || e.Bucket != 1234 || e.Owner != "node-b" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, row := range []struct {
		src, dst string
		code     int
		want     string
	}{
		{"198.51.100.7", "192.0.2.10", 2, "rota: pool web hashes by source-address-port: the source port matters; write it, e.g. 198.51.100.7:40000\n"},
		{"198.51.100.7:1", "192.0.2.11", 1, "rota: 192.0.2.11 is not a shared address; shared are 192.0.2.10, 2001:db8::10\n"},
	} {
		if got := run(t, "explain", "--json", row.src, row.dst, "--socket", socket); got != (result{row.code, "", row.want}) {
			t.Errorf("%+v", got)
		}
	}
}

func TestOrders(t *testing.T) {
	f := &fake{status: *healthy()}
	socket := f.serve(t)
	if got := run(t, "weight", "50", "--socket", socket); got != (result{0, "weight 50\n", ""}) {
		t.Errorf("%+v", got)
	}
	if got := run(t, "drain", "--reason", "new kernel", "--node", "node-b", "--timeout", "90s", "--force", "--socket", socket); got.code != 0 || got.out != "node-b drains; rota resume --node node-b ends it\n" {
		t.Errorf("%+v", got)
	}
	if got := run(t, "resume", "--socket", socket); got != (result{1, "", "rota: node-a does not drain\n"}) {
		t.Errorf("%+v", got)
	}
	if got := run(t, "reload", "--socket", socket); got != (result{0, "node.weight: 50, was 100\n", ""}) {
		t.Errorf("%+v", got)
	}
	if got := run(t, "restart", "--wait", "--socket", socket); got.code != 0 || !strings.HasPrefix(got.out, "restarted: ") {
		t.Errorf("restart --wait: %+v", got)
	}
	if want := "weight 50,drain new kernel node-b 90000 true,resume,reload,restart"; strings.Join(f.orders, ",") != want {
		t.Errorf("got %v", f.orders)
	}
}

// Orders have an answer that programs can read.
func TestOrdersInJSON(t *testing.T) {
	f := &fake{status: *healthy()}
	socket := f.serve(t)
	for args, want := range map[string]string{
		"weight 50":                   `{"order":"weight","node":"node-a","weight":50}`,
		"weight 0 --node node-b":      `{"order":"weight","node":"node-b","weight":0}`,
		"drain --node node-b":         `{"order":"drain","node":"node-b","drained":false}`,
		"drain":                       `{"order":"drain","node":"node-a","drained":false}`,
		"take 0-3":                    `{"pool":"web","node":"node-a","buckets":4}`,
		"release 0 --node node-b":     `{"pool":"web","node":"node-b","buckets":1}`,
		"move --clusterip 1,2 node-b": `{"pool":"web","node":"node-b","buckets":2}`,
		"reload":                      `{"changed":["node.weight: 50, was 100"]}`,
	} {
		got := run(t, append(strings.Fields(args), "--json", "--socket", socket)...)
		var b bytes.Buffer
		if err := json.Compact(&b, []byte(got.out)); err != nil || got.code != 0 || b.String() != want {
			t.Errorf("%s: %+v, want %s", args, got, want)
		}
	}
}

// A pipe gets all of a line; a terminal what fits, and COLUMNS is heard.
func TestTablesAreAsWideAsAllowed(t *testing.T) {
	long := strings.Repeat("word ", 30) + "end"
	findings := []api.Finding{{Name: "disk_space", Answer: "measured", Level: "ok", Text: long}}
	columns := func(n string) style {
		p := &program{Env: Env{Stdout: &bytes.Buffer{}, Getenv: func(name string) string { return map[string]string{"COLUMNS": n}[name] }}}
		return p.style()
	}
	if got := findingsText(findings, columns("")); !strings.Contains(got, long+"\n") {
		t.Errorf("a pipe gets %s", got)
	}
	if got := findingsText(findings, columns("100")); utf8.RuneCountInString(strings.Split(got, "\n")[1]) != 100 {
		t.Errorf("100 columns: %s", got)
	}
}

func TestDrainWaits(t *testing.T) {
	for _, row := range []struct {
		name string
		then func(asked int, st *api.Status)
		want result
	}{
		{"until nothing is left", func(asked int, st *api.Status) {
			st.Pools = []api.Pool{{Owned: []string{"0-9", "", ""}[asked-1], Lingering: []string{"", "0-9", ""}[asked-1]}}
		}, result{0, "drained: nothing is left on node-a\n", ""}},
		{"and tells when somebody resumes", func(asked int, st *api.Status) {
			st.Pools = []api.Pool{{Lingering: "0-9"}}
			if asked == 2 {
				st.State = api.Serving
			}
		}, result{1, "", "rota: the drain was ended: node-a is serving\n"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &fake{status: *healthy(), onAsk: row.then}
			if got := run(t, "drain", "--wait", "--socket", f.serve(t)); got != row.want {
				t.Errorf("%+v", got)
			}
		})
	}
	t.Run("and stops waiting when interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := &fake{status: *healthy(), onAsk: func(int, *api.Status) { cancel() }}
		got := runContext(ctx, "drain", "--wait", "--socket", f.serve(t))
		if want := (result{1, "", "rota: stopped waiting; the node drains on, rota resume ends it\n"}); got != want {
			t.Errorf("%+v", got)
		}
	})
}

// A daemon that is there but frozen does not freeze its users.
func TestAFrozenDaemon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := api.Listen(path) // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	for _, args := range []string{"status", "events", "events --follow"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			got := run(t, append(strings.Fields(args), "--socket", path)...)
			if want := (result{1, "", "rota: the rota daemon of " + path + " does not answer: is it stopped or frozen (SIGSTOP, a debugger), or its host overloaded? its log may tell\n"}); got != want || time.Since(begin) > 20*time.Second {
				t.Errorf("%+v after %v", got, time.Since(begin))
			}
		})
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	path, lever := filepath.Join(dir, "rota.yaml"), filepath.Join(dir, "lever")
	text := "cluster: web\ninterface: lo\nkey_file: /k\npools:\n  - {name: web, addresses: [192.0.2.10], checks: [{name: lever, file: " + lever + "}]}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := run(t, "check", "--config", path)
	if got.code != 1 || !strings.HasPrefix(got.errors, "rota: this host should not serve: lever") || !strings.Contains(got.out, "web/lever") || !strings.Contains(got.out, "memory_pressure") {
		t.Errorf("%+v", got)
	}
	if err := os.WriteFile(lever, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var found struct{ Checks, Signs []api.Finding }
	got = run(t, "check", "--json", "--config", path)
	if err := json.Unmarshal([]byte(got.out), &found); err != nil {
		t.Fatalf("%v: %+v", err, got)
	}
	if len(found.Checks) != 1 || found.Checks[0].Level != "ok" || found.Checks[0].Answer != "measured" || len(found.Signs) != len(config.SignKinds()) {
		t.Errorf("%+v", found)
	}
}
