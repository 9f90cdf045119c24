package check

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
)

// maxBody is how much of an answer is looked at for a pattern.
const maxBody = 64 << 10

// web judges an answer of HTTP/1.1.
type web struct {
	config  config.Check
	address string
}

// newHTTP is a talk, over TLS for https. The request is the same each time, and only what is
// needed of the answer is read: a client made for browsing costs two goroutines and a multiple of the time.
func newHTTP(c config.Check, now func() time.Time) (prober, error) {
	u, err := url.Parse(c.Target[0])
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[c.Kind]
	}
	w := web{config: c, address: net.JoinHostPort(u.Hostname(), port)}
	says, err := request(u, c.Headers)
	if err != nil {
		return nil, err
	}
	t := talk{address: w.address, says: says, judge: w.judge}
	if c.Kind == "http" {
		return t, nil
	}
	s, err := newSecure(c, u.Hostname(), now)
	return secureTalk{t, s}, err
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

// secureTalk is a talk over TLS.
type secureTalk struct {
	talk   talk
	secure secure
}

func (t secureTalk) probe(ctx context.Context) Outcome {
	conn, err := dial(ctx, "tcp", t.talk.address)
	if err != nil {
		return failedBy(ctx, "connect to "+t.talk.address, err)
	}
	defer conn.Close()
	secured, certificate := t.secure.shake(ctx, conn)
	if secured == nil {
		return certificate
	}
	answer := t.talk.on(secured)
	if answer.Level == health.OK && certificate.Level == health.Warn {
		return certificate
	}
	return answer
}

// judge reads what there is of an answer from its beginning.
func (w web) judge(answer []byte, end error) (Outcome, bool) {
	headed := bytes.Contains(answer, []byte("\n\r\n")) || bytes.Contains(answer, []byte("\n\n"))
	switch {
	case headed || errors.Is(end, io.EOF):
	case end != nil:
		return failure("answer of "+w.address, end), true
	default:
		return Outcome{}, false
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(bytes.NewReader(answer), 512), nil)
	if err != nil {
		return failure("answer of "+w.address, err), true
	}
	defer resp.Body.Close()
	text := fmt.Sprintf("status %d", resp.StatusCode)
	fits := slices.ContainsFunc(w.config.Status, func(s config.StatusRange) bool { return s.First <= resp.StatusCode && resp.StatusCode <= s.Last })
	switch {
	case !fits:
		return failed("%s", text), true
	case w.config.Body == nil:
		return passed(text), true
	}
	return w.judgeBody(resp, end, text)
}

// judgeBody looks for the pattern when all of the body has come, or as much as is looked at.
func (w web) judgeBody(resp *http.Response, end error, text string) (Outcome, bool) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	endless := resp.ContentLength < 0 && len(resp.TransferEncoding) == 0 // until the connection ends
	whole := err == nil && (!endless || len(body) == maxBody || errors.Is(end, io.EOF))
	switch {
	case !whole && end == nil:
		return Outcome{}, false
	case w.config.Body.Match(body):
		return passed(text), true
	case !whole && !errors.Is(end, io.EOF):
		return failure("answer of "+w.address, end), true
	case !whole:
		return failure("answer of "+w.address, err), true
	}
	return failed("%s, but the answer has no %q in it: %s", text, w.config.Body, oneLine(string(body))), true
}
