package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/flowhash"
)

// fake is a daemon that remembers its orders.
type fake struct {
	mu      sync.Mutex
	orders  []string
	err     error
	status  Status
	pools   []config.Pool
	events  []Event
	more    chan struct{} // closed and replaced when there is another event
	waiting chan struct{} // Drain waits for its context to end if not nil
}

func (f *fake) order(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.orders = append(f.orders, fmt.Sprintf(format, args...))
	return f.err
}

func (f *fake) Status() Status { return f.status }

func (f *fake) Explain(q ExplainQuery) (Explanation, error) {
	i, err := q.Find(f.pools)
	if err != nil {
		return Explanation{}, err
	}
	return Explanation{Pool: f.pools[i].Name, Source: q.Src.String(), Destination: q.Dst.String(), Bucket: 7, Owner: "node-b"}, nil
}

func (f *fake) Drain(ctx context.Context, r DrainRequest) error {
	if f.waiting != nil {
		close(f.waiting)
		<-ctx.Done()
		return ctx.Err()
	}
	return f.order("drain %s %s %d %v", r.Reason, r.Node, r.TimeoutMS, r.Force)
}
func (f *fake) Resume(_ context.Context, r ResumeRequest) error { return f.order("resume %s", r.Node) }
func (f *fake) Pins(_ context.Context, r PinsRequest) (PinsDone, error) {
	return PinsDone{Pool: "web", Node: "node-a", Buckets: 3}, f.order("pins %+v", r)
}
func (f *fake) Restart(context.Context) error { return f.order("restart") }

func (f *fake) Reload(context.Context) (Reloaded, error) {
	return Reloaded{Changed: []string{"node.weight: 50, was 100"}}, f.order("reload")
}

func (f *fake) SetWeight(_ context.Context, r WeightRequest) error {
	return f.order("weight %d %s", *r.Weight, r.Node)
}

func (f *fake) Events(since uint64) ([]Event, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.more == nil {
		f.more = make(chan struct{})
	}
	return f.events[min(since, uint64(len(f.events))):], f.more
}

func (f *fake) happen(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, Event{Seq: uint64(len(f.events)) + 1, Text: text})
	if f.more != nil {
		close(f.more)
	}
	f.more = make(chan struct{})
}

// serve runs a server for the test and returns its socket.
func serve(t *testing.T, f *fake) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "rota.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- NewServer(f, slog.New(slog.DiscardHandler)).Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("server: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("the server does not stop")
		}
		if _, err := os.Lstat(path); err == nil {
			t.Error("the socket is left behind")
		}
	})
	return path
}

func examplePools(t *testing.T) []config.Pool {
	c, err := config.Parse("", config.Example())
	if err != nil {
		t.Fatal(err)
	}
	return c.Pools
}

func TestStatusCrossesTheSocket(t *testing.T) {
	want := Status{
		Cluster: "web", Node: "node-a", State: Serving, LeaseMS: 287,
		View:  View{ID: "17@node-a", Agreed: true, Members: []string{"node-a", "node-b"}},
		Nodes: []Node{{Name: "node-a", Incarnation: 1 << 60, State: Serving, Weight: 100, Self: true}},
		Pools: []Pool{{Name: "web", Buckets: 4096, Owners: map[string]int{"node-a": 4096}, Owned: "0-4095", Datapath: "tc"}},
	}
	c := NewClient(serve(t, &fake{status: want}))
	got, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want.complete()
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("got  %+v\nwant %+v", *got, want)
	}
	raw, err := c.StatusJSON(t.Context())
	if err != nil || strings.Contains(string(raw), "null") {
		t.Errorf("programs expect lists, not null: %s, %v", raw, err)
	}
	// The names that design.md promises.
	for _, name := range []string{"cluster", "node", "state", "view", "id", "agreed", "members", "lease_ms", "nodes",
		"name", "incarnation", "address", "weight", "heard_ms_ago", "health", "pools", "addresses", "mac", "buckets",
		"owners", "owned", "lingering", "datapath"} {
		if !strings.Contains(string(raw), `"`+name+`":`) {
			t.Errorf("no %s in %s", name, raw)
		}
	}
}

func TestOrders(t *testing.T) {
	f := &fake{}
	c := NewClient(serve(t, f))
	for _, err := range []error{
		c.On("node-b").Drain(t.Context(), DrainRequest{Reason: "new kernel"}),
		c.On("node-b").Resume(t.Context()),
		c.On("node-b").SetWeight(t.Context(), 1000),
		c.Restart(t.Context()),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if want := []string{"drain new kernel node-b 0 false", "resume node-b", "weight 1000 node-b", "restart"}; !reflect.DeepEqual(f.orders, want) {
		t.Errorf("got %q, want %q", f.orders, want)
	}
}

func TestRefusalsKeepTheirKind(t *testing.T) {
	for _, row := range []struct {
		name string
		err  error
		code Code
		text string
	}{
		{"refused", Refused("nothing to resume"), CodeRefused, "nothing to resume"},
		{"wrapped", fmt.Errorf("weight: %w", BadRequest("no")), CodeBadRequest, "weight: no"},
		{"a bad file", &Error{CodeBadConfig, "a.yaml:1:1: x\na.yaml:2:1: y"}, CodeBadConfig, "a.yaml:1:1: x\na.yaml:2:1: y"},
		{"a plain error has failed", errors.New("EIO"), CodeFailed, "EIO"},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := NewClient(serve(t, &fake{err: row.err})).Resume(t.Context())
			var e *Error
			if !errors.As(err, &e) || e.Code != row.code || err.Error() != row.text {
				t.Errorf("got %#v", err)
			}
		})
	}
	f := &fake{}
	if err := NewClient(serve(t, f)).SetWeight(t.Context(), 1001); err == nil || len(f.orders) > 0 {
		t.Errorf("weight 1001: %v, %v", err, f.orders)
	}
}

func TestStrangeRequests(t *testing.T) {
	f := &fake{}
	path := serve(t, f)
	c := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}}
	for _, row := range []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"an unknown path", "GET", "/v9/status", "", 404, "does not know GET /v9/status"},
		{"an order as a question", "GET", "/v1/drain", "", 404, "does not know GET /v1/drain"},
		{"an order with a field that is not known", "POST", "/v1/drain", `{"gently":true}`, 400, `unknown field \"gently\"`},
		{"an order that is not JSON", "POST", "/v1/weight", `{`, 400, "the order cannot be read"},
		{"an order that is too long", "POST", "/v1/drain", `{"reason":"` + strings.Repeat("a", maxBody) + `"}`, 400, "too large"},
		{"a weight below zero", "POST", "/v1/weight", `{"weight":-1}`, 400, "cannot be read"},
		{"a question without an address", "GET", "/v1/explain?src=a", "", 400, `\"a\" is not an address`},
		{"events since a word", "GET", "/v1/events?since=noon", "", 400, "is not the number of an event"},
		{"events since the end of time", "GET", "/v1/events?since=18446744073709551615", "", 400, "is not the number of an event"},
	} {
		t.Run(row.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), row.method, "http://rota"+row.path, strings.NewReader(row.body))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != row.status || !strings.Contains(string(body), row.want) {
				t.Errorf("%d %s (%v), want %d %s", resp.StatusCode, body, err, row.status, row.want)
			}
			var e errorBody
			if err := json.Unmarshal(body, &e); err != nil || e.Error == nil || e.Error.Message == "" {
				t.Errorf("not an error's shape: %s", body)
			}
		})
	}
	if len(f.orders) > 0 {
		t.Errorf("obeyed %q", f.orders)
	}
}

func TestExplain(t *testing.T) {
	pools := examplePools(t)
	strict := pools[0]
	strict.Name, strict.Hash, strict.Addresses = "strict", flowhash.SourceAddressPortDestinationPort, []netip.Addr{netip.MustParseAddr("192.0.2.20")}
	loose := pools[0]
	loose.Name, loose.Hash, loose.Addresses = "loose", flowhash.SourceAddress, []netip.Addr{netip.MustParseAddr("192.0.2.30")}
	c := NewClient(serve(t, &fake{pools: append(pools, strict, loose)}))
	for _, row := range []struct{ src, dst, pool, err string }{
		{"198.51.100.1:5000", "192.0.2.10", "web", ""},
		{"198.51.100.1:5000", "192.0.2.10:80", "web", ""},
		{"[2001:db8::5]:5000", "2001:db8::10", "web", ""},
		{"::ffff:198.51.100.1", "192.0.2.30", "loose", ""},
		{"198.51.100.1", "192.0.2.10", "", "pool web hashes by source-address-port: the source port matters; write it, e.g. 198.51.100.1:40000"},
		{"2001:db8::5", "[2001:db8::10]:80", "", "pool web hashes by source-address-port: the source port matters; write it, e.g. [2001:db8::5]:40000"},
		{"198.51.100.1:5000", "192.0.2.20", "", "pool strict hashes by source-address-port-destination-port: the destination port matters; write it, e.g. 192.0.2.20:80"},
		{"198.51.100.1:5000", "192.0.2.99:80", "", "192.0.2.99 is not a shared address; shared are 192.0.2.10, 2001:db8::10, 192.0.2.20, 192.0.2.30"},
		{"198.51.100.1:5000", "2001:db8::10", "", "198.51.100.1 and 2001:db8::10 are of two families; both must be IPv4 or both IPv6"},
	} {
		src, err1 := ParseEndpoint(row.src)
		dst, err2 := ParseEndpoint(row.dst)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		e, err := c.Explain(t.Context(), ExplainQuery{src, dst})
		switch {
		case row.err != "":
			if err == nil || err.Error() != row.err {
				t.Errorf("%s %s: got %v, want %s", row.src, row.dst, err, row.err)
			}
		case err != nil || e.Pool != row.pool || e.Owner != "node-b" || e.Source != src.String():
			t.Errorf("%s %s: %+v, %v", row.src, row.dst, e, err)
		}
	}
}

func TestParseEndpoint(t *testing.T) {
	for _, row := range []struct{ in, out string }{
		{"192.0.2.1", "192.0.2.1"},
		{"192.0.2.1:80", "192.0.2.1:80"},
		{"192.0.2.1:0", "192.0.2.1:0"},
		{"2001:db8::1", "2001:db8::1"},
		{"[2001:db8::1]", "2001:db8::1"},
		{"[2001:db8::1]:65535", "[2001:db8::1]:65535"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"", ""}, {"localhost", ""}, {"localhost:80", ""}, {"192.0.2.1:", ""}, {"192.0.2.1:65536", ""}, {"192.0.2.1:http", ""},
		{"[192.0.2.1]", ""}, {"[2001:db8::1", ""}, {"fe80::1%eth0", ""}, {"[fe80::1%eth0]:80", ""}, {"192.0.2.0/24", ""},
	} {
		e, err := ParseEndpoint(row.in)
		if row.out == "" {
			if err == nil {
				t.Errorf("%s is read as %v", row.in, e)
			}
		} else if err != nil || e.String() != row.out {
			t.Errorf("%s: %v, %v", row.in, e, err)
		}
	}
}

func TestRanges(t *testing.T) {
	for _, row := range []struct {
		n    uint32
		in   []uint32
		want string
	}{
		{0, nil, ""},
		{8, nil, ""},
		{8, []uint32{0}, "0"},
		{8, []uint32{0, 1, 2, 4, 6, 7}, "0-2,4,6-7"},
		{2, []uint32{0, 1}, "0-1"},
	} {
		set := map[uint32]bool{}
		for _, b := range row.in {
			set[b] = true
		}
		got := Ranges(row.n, func(b uint32) bool { return set[b] })
		if n, err := Count(got); got != row.want || err != nil || n != len(row.in) {
			t.Errorf("%v: %q counts %d, %v", row.in, got, n, err)
		}
	}
	for _, bad := range []string{"a", "3-1", "1,,2", "-1", "1-", "4294967296"} {
		if n, err := Count(bad); err == nil {
			t.Errorf("%q counts %d", bad, n)
		}
	}
}

func TestDrained(t *testing.T) {
	for _, row := range []struct {
		name string
		s    Status
		want bool
	}{
		{"draining, nothing left", Status{State: Draining, Pools: []Pool{{}}}, true},
		{"owns something still", Status{State: Draining, Pools: []Pool{{}, {Owned: "1"}}}, false},
		{"lingers still", Status{State: Draining, Pools: []Pool{{Lingering: "1"}}}, false},
		{"fenced is not drained", Status{State: Fenced, Pools: []Pool{{}}}, false},
	} {
		if row.s.Drained() != row.want {
			t.Errorf("%s: %v", row.name, !row.want)
		}
	}
}
