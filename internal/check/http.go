package check

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
)

// maxBody is how much of an answer is looked at for a pattern.
const maxBody = 64 << 10

// web is an HTTP/1.1 check, over TLS if secure is not nil. It writes the same
// request each time and reads what it needs: a client made for browsing costs
// two goroutines and a multiple of the time for it.
type web struct {
	config  config.Check
	address string
	request []byte
	secure  *secure
	reader  *bufio.Reader // a slot runs one probe at a time
}

func newHTTP(c config.Check, now func() time.Time) (prober, error) {
	u, err := url.Parse(c.Target[0])
	if err != nil {
		return nil, err
	}
	w := &web{config: c, reader: bufio.NewReader(nil)}
	port := u.Port()
	if c.Kind == "https" {
		s, err := newSecure(c, u.Hostname(), now)
		if err != nil {
			return nil, err
		}
		w.secure = &s
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[c.Kind]
	}
	w.address = net.JoinHostPort(u.Hostname(), port)
	w.request, err = request(u, c.Headers)
	return w, err
}

func request(u *url.URL, headers []config.Header) ([]byte, error) {
	r, err := http.NewRequest(http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "rota")
	for _, h := range headers {
		if http.CanonicalHeaderKey(h.Name) == "Host" {
			r.Host = h.Value
			continue
		}
		r.Header.Add(h.Name, h.Value)
	}
	r.Close = true
	var b bytes.Buffer
	err = r.Write(&b)
	return b.Bytes(), err
}

func (w *web) probe(ctx context.Context) Outcome {
	conn, err := dial(ctx, "tcp", w.address)
	if err != nil {
		return failedBy(ctx, "connect to "+w.address, err)
	}
	defer conn.Close()
	certificate := passed("")
	if w.secure != nil {
		var out Outcome
		if conn, out = w.secured(ctx, conn); out.Level == health.Leave {
			return out
		}
		certificate = out
	}
	answer := w.ask(ctx, conn)
	if answer.Level == health.OK && certificate.Level == health.Warn {
		return certificate
	}
	return answer
}

func (w *web) secured(ctx context.Context, conn net.Conn) (net.Conn, Outcome) {
	c, out := w.secure.shake(ctx, conn)
	if c == nil {
		return conn, out
	}
	return c, out
}

func (w *web) ask(ctx context.Context, conn net.Conn) Outcome {
	if _, err := conn.Write(w.request); err != nil {
		return failedBy(ctx, "ask "+w.address, err)
	}
	w.reader.Reset(conn)
	resp, err := http.ReadResponse(w.reader, nil)
	if err != nil {
		return failedBy(ctx, "answer of "+w.address, err)
	}
	defer resp.Body.Close()
	text := fmt.Sprintf("status %d", resp.StatusCode)
	fits := false
	for _, s := range w.config.Status {
		fits = fits || s.First <= resp.StatusCode && resp.StatusCode <= s.Last
	}
	if !fits {
		return failed("%s", text)
	}
	if w.config.Body == nil {
		return passed(text)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	switch {
	case w.config.Body.Match(body):
		return passed(text)
	case err != nil:
		return failedBy(ctx, "answer of "+w.address, err)
	}
	return failed("%s, but the answer has no %q in it: %s", text, w.config.Body, oneLine(string(body)))
}
