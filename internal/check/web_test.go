package check

import (
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
)

// webServer answers HTTP, HTTPS and gRPC health.
type webServer struct {
	plain, secure *httptest.Server
	ca            string
}

func newWebServer(t *testing.T) *webServer {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "host %s, token %s, connection %s", r.Host, r.Header.Get("X-Token"), r.Header.Get("Connection"))
	})
	mux.HandleFunc("/error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/error", http.StatusFound) })
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", maxBody)+"end") // the check hangs up first
	})
	mux.HandleFunc("/grpc.health.v1.Health/Check", answerHealth)
	s := &webServer{plain: httptest.NewUnstartedServer(mux), secure: httptest.NewUnstartedServer(mux)}
	s.plain.Config.Protocols = new(http.Protocols)
	s.plain.Config.Protocols.SetHTTP1(true)
	s.plain.Config.Protocols.SetUnencryptedHTTP2(true)
	s.plain.Start()
	s.secure.EnableHTTP2 = true
	s.secure.Config.ErrorLog = log.New(io.Discard, "", 0) // of checks that do not trust it
	s.secure.StartTLS()
	t.Cleanup(s.plain.Close)
	t.Cleanup(s.secure.Close)
	s.ca = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.secure.Certificate().Raw})
	if err := os.WriteFile(s.ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *webServer) address() string { return s.plain.Listener.Addr().String() }
func (s *webServer) grpc() string    { return s.address() }

// trusted lets a check trust the server's certificate, which is for example.com.
func (s *webServer) trusted(c config.Check) config.Check {
	c.CA, c.ServerName = s.ca, "example.com"
	return c
}

// answerHealth is a server of grpc.health.v1 that knows three services.
func answerHealth(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || len(body) < 5 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
	service := ""
	if len(body) > 7 {
		service = string(body[7:])
	}
	status, known := map[string]byte{"": 1, "shop": 1, "down": 2}[service]
	if !known {
		w.Header().Set("Grpc-Status", "5")
		w.Header().Set("Grpc-Message", "unknown service")
		return
	}
	message := []byte{1 << 3, status}
	frame := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	_, _ = w.Write(frame) // the check may have gone
	w.Header().Set("Grpc-Status", "0")
}

func TestHTTP(t *testing.T) {
	s := newWebServer(t)
	for _, row := range []struct {
		name   string
		path   string
		change func(*config.Check)
		level  health.Level
		text   string
	}{
		{"answers", "/", nil, health.OK, "status 200"},
		{"an error", "/error", nil, health.Leave, "status 503"},
		{"an error that is expected", "/error", func(c *config.Check) {
			c.Status = []config.StatusRange{{First: 200, Last: 200}, {First: 500, Last: 599}}
		}, health.OK, "status 503"},
		{"a redirection is not followed", "/moved", nil, health.OK, "status 302"},
		{"a redirection that is not expected", "/moved", func(c *config.Check) { c.Status = []config.StatusRange{{First: 200, Last: 299}} }, health.Leave, "status 302"},
		{"the body has it", "/", func(c *config.Check) { c.Body = regexp.MustCompile(`host 127\.0`) }, health.OK, ""},
		{"the body has it not", "/", func(c *config.Check) { c.Body = regexp.MustCompile("ready") }, health.Leave, `the answer has no "ready" in it: host 127`},
		{"only so much of the body is looked at", "/large", func(c *config.Check) { c.Body = regexp.MustCompile("end$") }, health.Leave, "no \"end$\""},
		{"headers are sent", "/", func(c *config.Check) {
			c.Headers = []config.Header{{Name: "host", Value: "www.example.com"}, {Name: "X-Token", Value: "7"}}
			c.Body = regexp.MustCompile("^host www.example.com, token 7, connection close$")
		}, health.OK, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := of("http", s.plain.URL+row.path)
			if row.change != nil {
				row.change(&c)
			}
			expect(t, probe(t, c), row.level, row.text)
		})
	}
}

func TestTLS(t *testing.T) {
	s := newWebServer(t)
	address := s.secure.Listener.Addr().String()
	left := int(time.Until(s.secure.Certificate().NotAfter).Hours() / 24)
	for _, kind := range []string{"https", "tls"} {
		target := map[string]string{"https": "https://" + address + "/", "tls": address}[kind]
		expect(t, probe(t, s.trusted(of(kind, target))), health.OK, "")
		expect(t, probe(t, of(kind, target)), health.Leave, "certificate")
		other := s.trusted(of(kind, target))
		other.ServerName = "other.test"
		expect(t, probe(t, other), health.Leave, "not other.test")
		soon := s.trusted(of(kind, target))
		soon.Days = left + 2
		expect(t, probe(t, soon), health.Warn, fmt.Sprintf("good for %d days (warns below %d)", left, left+2))
	}
	broken := s.trusted(of("https", "https://"+address+"/error"))
	broken.Days = left + 2
	expect(t, probe(t, broken), health.Leave, "status 503")
}

func TestCAThatIsNone(t *testing.T) {
	none := of("tls", "127.0.0.1:1")
	none.CA = filepath.Join(t.TempDir(), "none.pem")
	if _, err := New([]config.Check{none}, env, nil); err == nil || !strings.Contains(err.Error(), "check tls: ca: stat") {
		t.Errorf("got %v", err)
	}
	none.CA = filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(none.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New([]config.Check{none}, env, nil); err == nil || !strings.Contains(err.Error(), "fifo: not a regular file") {
		t.Errorf("got %v", err)
	}
	none.CA = filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(none.CA, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New([]config.Check{none}, env, nil); err == nil || !strings.Contains(err.Error(), "holds no certificate") {
		t.Errorf("got %v", err)
	}
}

func TestGRPC(t *testing.T) {
	s := newWebServer(t)
	service := func(c config.Check, name string) config.Check {
		c.Service = name
		return c
	}
	plain := of("grpc", s.grpc())
	expect(t, probe(t, plain), health.OK, "SERVING")
	expect(t, probe(t, service(plain, "shop")), health.OK, "SERVING")
	expect(t, probe(t, service(plain, "down")), health.Leave, "NOT_SERVING")
	expect(t, probe(t, service(plain, "none")), health.Leave, "gRPC status 5 unknown service")
	secure := s.trusted(of("grpc", s.secure.Listener.Addr().String()))
	expect(t, probe(t, secure), health.OK, "SERVING")
	secure.ServerName = "other.test"
	expect(t, probe(t, secure), health.Leave, "not other.test")
}

func TestAgent(t *testing.T) {
	for _, row := range []struct {
		line    string
		level   health.Level
		percent int
		text    string
	}{
		{"75%\n", health.OK, 75, "says 75%"},
		{"up 150%\r\n", health.OK, 100, ""},
		{"ready, 30%\n", health.OK, 30, ""},
		{"0%\n", health.Leave, 0, ""},
		{"drain\n", health.Leave, 100, "says drain"},
		{"down # disk is full\n", health.Leave, 100, "says down: disk is full"},
		{"maint\n", health.Leave, 100, ""},
		{"up maxconn:30", health.OK, 100, ""},
		{"maxconn:30\r\n", health.OK, 100, "says maxconn:30"},
		{"maxconn:many\n", health.Leave, 100, "no weight and no state"},
		{"READY Up\t50%\n", health.OK, 50, ""},
		{"Drain\r\n", health.Leave, 100, "says Drain"},
		{"ready,up,70%,40%\n", health.OK, 40, "says ready,up,70%,40%"},
		{"up drain\n", health.Leave, 100, ""},
		{"ready down\n", health.Leave, 100, ""},
		{"STOPPED #\t for the night \r\nup\n", health.Leave, 100, "says STOPPED: for the night"},
		{"fail#no disk\n", health.Leave, 100, "says fail: no disk"},
		{"up # 0% down\n", health.OK, 100, "says up: 0% down"},
		{"75% sunny\n", health.OK, 75, "says 75% sunny"},
		{"\n", health.Leave, 100, `says ""`},
		{"down up\n", health.OK, 100, ""},
		{"hello\n", health.Leave, 100, `says "hello", which is no weight and no state`},
		{"", health.Leave, 100, "EOF"},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
				_, _ = io.WriteString(conn, row.line) // judged by what the check says
				conn.Close()
			}
		}()
		got := probe(t, of("agent", l.Addr().String()))
		l.Close()
		if expect(t, got, row.level, row.text); got.Percent != row.percent {
			t.Errorf("%q: %d %%, want %d %%", row.line, got.Percent, row.percent)
		}
	}
}

// What an agent does not mention stays as it said before.
func TestAnAgentsWordStays(t *testing.T) {
	a := agentSaid{Percent: 100}
	for _, row := range []struct {
		line    string
		level   health.Level
		percent int
		text    string
	}{
		{"50% drain", health.Leave, 50, "says 50% drain"},
		{"60% up", health.Leave, 60, "says 60% up, and has said drain"},
		{"maxconn:9", health.Leave, 60, "says maxconn:9, and has said drain"},
		{"ready", health.OK, 60, "says ready"},
		{"down # disk", health.Leave, 60, "says down: disk"},
		{"ready 0%", health.Leave, 0, "says ready 0%, and has said down"},
		{"what", health.Leave, 100, "no state"},
		{"up", health.Leave, 0, "says up"},
		{"80%", health.OK, 80, "says 80%"},
	} {
		got := a.judge(row.line)
		if expect(t, got, row.level, row.text); got.Percent != row.percent {
			t.Errorf("%q: %d %%, want %d %%", row.line, got.Percent, row.percent)
		}
	}
}

// It stays also for who asks next, after a reload or a restart.
func TestTheNextAskerKnowsAnAgentsWord(t *testing.T) {
	var says atomic.Value
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			_, _ = io.WriteString(conn, says.Load().(string)) // judged by what the check says
			conn.Close()
		}
	}()
	var last Report
	for _, row := range []struct {
		line    string
		level   health.Level
		percent int
		text    string
	}{
		{"40% drain\n", health.Leave, 40, "says 40% drain"},
		{"60% up\n", health.Leave, 60, "says 60% up, and has said drain"},
		{"up\n", health.Leave, 60, "says up, and has said drain"},
		{"ready\n", health.OK, 60, "says ready"},
		{"up\n", health.OK, 60, "says up"},
	} {
		says.Store(row.line)
		var got Report
		r, err := New([]config.Check{of("agent", l.Addr().String())}, env, func(r Report) { got = r })
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Recall(0, last); err != nil {
			t.Fatal(err)
		}
		r.Once(t.Context())
		if expect(t, got.Outcome, row.level, row.text); got.Percent != row.percent {
			t.Errorf("%q: %d %%, want %d %%", row.line, got.Percent, row.percent)
		}
		last = got
	}
	r, err := New([]config.Check{of("agent", l.Addr().String()), of("tcp", l.Addr().String())}, env, func(Report) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Recall(0, Report{Memory: json.RawMessage("[]")}); err == nil {
		t.Error("takes nonsense for a memory")
	}
	if err := r.Recall(1, last); err != nil {
		t.Errorf("a check that keeps nothing: %v", err)
	}
}
