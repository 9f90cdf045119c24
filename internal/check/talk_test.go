package check

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
)

// serving is an address where each connection is given to do, and then closed.
func serving(t *testing.T, do func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			go func() {
				defer conn.Close()
				do(conn)
			}()
		}
	}()
	return l.Addr().String()
}

// full is an address where a connection waits to be opened: as many as may wait to be accepted do.
func full(t *testing.T) string {
	address, _ := crowded(t)
	return address
}

func crowded(t *testing.T) (address string, accept func()) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	in4 := name.(*unix.SockaddrInet4)
	address = netip.AddrPortFrom(netip.AddrFrom4(in4.Addr), uint16(in4.Port)).String()
	conn, err := net.Dial("tcp", address) // there is room for one
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return address, func() {
		if taken, _, err := unix.Accept(fd); err == nil {
			unix.Close(taken)
		}
	}
}

// What an answer is made of comes in pieces, and ends in several ways.
func TestAnswersInPieces(t *testing.T) {
	for _, row := range []struct {
		name   string
		answer string
		body   string // the pattern
		level  health.Level
		text   string
	}{
		{"a header", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", health.OK, "status 200"},
		{"a body of a known length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready", "^ready$", health.OK, "status 200"},
		{"a body in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nre\r\n3\r\nady\r\n0\r\n\r\n", "^ready$", health.OK, "status 200"},
		{"a body until the end", "HTTP/1.1 200 OK\r\n\r\nready", "^ready$", health.OK, "status 200"},
		{"no body", "HTTP/1.1 204 No Content\r\n\r\n", "ready", health.Leave, "no \"ready\""},
		{"a body that is cut off", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nready", "steady", health.Leave, "unexpected EOF"},
		{"a header that is cut off", "HTTP/1.1 200 OK\r\n", "", health.Leave, "unexpected EOF"},
		{"a line that is cut off", "HTTP/1.1 200 OK\r\nContent-", "", health.Leave, "answer of 127.0.0.1"},
		{"nothing", "", "", health.Leave, "unexpected EOF"},
		{"a body in chunks, of which one has a name, and a trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA;n=v\r\n\r\n\r\n\r\n\r\nre\r\n3\r\nady\r\n0\r\nX: y\r\n\r\n", "\\n\r\n\r\nready$", health.OK, "status 200"},
		{"chunks that are cut off", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nready", "steady", health.Leave, "unexpected EOF"},
		{"chunks that are none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nready\r\n", "ready", health.Leave, "\"ready\" is no size of a chunk"},
		{"a chunk of more than there is memory", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\nready", "steady", health.Leave, "no size of a chunk"},
		{"a line before a chunk that does not end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("x", 5000), "ready", health.Leave, "too long"},
		{"an interim answer", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready", "^ready$", health.OK, "status 200"},
		{"hints, and then an error", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 503 No\r\n\r\n", "", health.Leave, "status 503"},
		{"another protocol", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "", health.Leave, "status 101"},
		{"an interim answer alone", "HTTP/1.1 102 Processing\r\n\r\n", "", health.Leave, "unexpected EOF"},
		{"nothing but interim answers", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 20), "", health.Leave, "more than 16 times only that there will be one"},
		{"something else", "SSH-2.0-OpenSSH_9.2\r\n\r\n", "", health.Leave, "malformed HTTP"},
	} {
		t.Run(row.name, func(t *testing.T) {
			address := serving(t, func(conn net.Conn) {
				asked := make([]byte, 4096)
				if _, err := conn.Read(asked); err != nil {
					return
				}
				for i := range len(row.answer) {
					if _, err := io.WriteString(conn, row.answer[i:i+1]); err != nil {
						return // the check has heard enough
					}
				}
			})
			c := of("http", "http://"+address+"/")
			if row.body != "" {
				c.Body = regexp.MustCompile(row.body)
			}
			expect(t, probe(t, c), row.level, row.text)
		})
	}
}

// What it costs to judge an answer is not more when it comes byte by byte.
func TestADribbleCostsNoMore(t *testing.T) {
	long := strings.Repeat("x", 64<<10)
	for name, answer := range map[string]string{
		"a head":                   "HTTP/1.1 200 OK\r\nX: " + long,
		"many lines of a head":     "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 10000),
		"a body of a known length": "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + long,
		"a body until the end":     "HTTP/1.1 200 OK\r\n\r\n" + long[1:],
		"a long chunk":             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n" + long[1:],
		"many chunks":              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\n\n\r\n", 10000),
	} {
		c := of("http", "http://x/")
		c.Body = regexp.MustCompile("ready")
		j := web{config: c, address: "x"}.judge()
		all := []byte(answer)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for n := range all {
			if out, done := j(all[:n], nil); done {
				t.Fatalf("%s: %+v", name, out)
			}
		}
		runtime.ReadMemStats(&after)
		if used := (after.TotalAlloc - before.TotalAlloc) / uint64(len(all)); used > 200 {
			t.Errorf("%s: %d bytes of memory used for each that came", name, used)
		}
	}
}

// An answer that never ends is heard out until its time is over, or there is too much of it.
func TestAnswersWithoutEnd(t *testing.T) {
	endless := func(begin, rest string) string {
		return serving(t, func(conn net.Conn) {
			_, err := io.WriteString(conn, begin)
			for err == nil {
				_, err = io.WriteString(conn, rest)
			}
		})
	}
	c := of("http", "http://"+endless("HTTP/1.1 200 OK\r\n", strings.Repeat("X-Header: 1\r\n", 100))+"/")
	expect(t, probe(t, c), health.Leave, "it is too long")
	c = of("http", "http://"+serving(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\nalmost") // judged by what the check says
		_, _ = io.Copy(io.Discard, conn)
	})+"/")
	c.Timeout, c.Body = 50*time.Millisecond, regexp.MustCompile("ready")
	expect(t, probe(t, c), health.Leave, "not done in time")
	c.Body = regexp.MustCompile("almost")
	expect(t, probe(t, c), health.OK, "status 200")
	c = of("agent", endless("", strings.Repeat("up ", 100)))
	expect(t, probe(t, c), health.OK, "says up")
}

func TestConnectionsThatWait(t *testing.T) {
	never := of("tcp", full(t))
	never.Timeout = 50 * time.Millisecond
	expect(t, probe(t, never), health.Leave, "connect to "+never.Target[0]+": not done in time")

	address, accept := crowded(t)
	later := of("tcp", address)
	go func() {
		time.Sleep(200 * time.Millisecond) // until then the kernel drops what asks for a connection
		accept()
	}()
	expect(t, onSwitchboard(t, tcp(address), later), health.OK, "connects")
}

// What there is to say is more than the kernel takes at once.
func TestMuchToSay(t *testing.T) {
	says := bytes.Repeat([]byte("x"), 16<<20)
	address := serving(t, func(conn net.Conn) {
		n, err := io.Copy(io.Discard, io.LimitReader(conn, int64(len(says))))
		if err == nil && n == int64(len(says)) {
			_, _ = io.WriteString(conn, "thanks") // judged by what the check says
		}
	})
	k := talk{address: address, says: says, judge: always(func(answer []byte, end error) (Outcome, bool) {
		return passed(string(answer)), len(answer) > 0 || end != nil
	})}
	expect(t, onSwitchboard(t, k, of("tcp", address)), health.OK, "thanks")
}

func TestOverIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	expect(t, probe(t, of("tcp", l.Addr().String())), health.OK, "connects")
}

// What is not an address, or needs an interface to be one, is for the resolver and the dialer.
func TestWhatASwitchboardHolds(t *testing.T) {
	for target, want := range map[string]bool{
		"127.0.0.1:80": true, "[::1]:80": true, "[::ffff:127.0.0.1]:80": true, "localhost:80": false, "[fe80::1%lo]:80": false, "127.0.0.1:http": false,
	} {
		if _, _, ok := plain(&slot{prober: tcp(target)}); ok != want {
			t.Errorf("%s: %t", target, ok)
		}
	}
	r, err := New([]config.Check{of("https", "https://127.0.0.1/"), of("file", "/")}, env, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.slots {
		if _, _, ok := plain(s); ok {
			t.Errorf("%s is held", s.config.Kind)
		}
	}
}

// A socket that calls its own port connects to itself; no service answers.
func TestNobodyButItself(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	own, err := ownSockaddr(fd)
	if err != nil {
		t.Fatal(err)
	}
	var got Outcome
	b := &switchboard{runner: &Runner{env: env, report: func(r Report) { got = r.Outcome }}}
	l := &line{slot: &slot{config: of("tcp", "x")}, talk: tcp("x"), judge: tcp("x").judge(), to: own, fd: fd}
	if err := connectNow(fd, own); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		t.Fatal(err)
	}
	b.proceed(l)
	expect(t, got, health.Leave, "connection refused")
}

// A target that never stops talking costs its own slot: others are asked meanwhile, and it is late itself.
func TestEndlessTalkHoldsUpNobody(t *testing.T) {
	const headers = 40000 // to read which takes longer than the next word to come
	address := serving(t, func(conn net.Conn) {
		_, err := conn.Write([]byte("HTTP/1.1 200 OK\r\n" + strings.Repeat("a: b\r\n", headers) + "\r\n"))
		tick := time.NewTicker(300 * time.Microsecond)
		defer tick.Stop()
		for err == nil {
			_, err = conn.Write([]byte("x"))
			<-tick.C
		}
	})
	endless, well := of("http", "http://"+address+"/"), of("tcp", address)
	endless.Body = regexp.MustCompile("zzz")
	endless.Timeout, well.Interval = 300*time.Millisecond, 50*time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked, late := 0, false
	r, err := New([]config.Check{endless, well}, env, func(r Report) {
		if r.Check == 1 {
			asked++
			return
		}
		late = strings.Contains(r.Text, "not done in time")
		if r.Took > time.Second {
			t.Errorf("was given up after %v", r.Took)
		}
		cancel()
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Run(ctx)
	if asked < 2 || !late {
		t.Errorf("another was asked %d times meanwhile; late: %v", asked, late)
	}
}
