package check

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
)

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
	if answer.Level == health.OK && answer.Answer == health.Measured && certificate.Level == health.Warn {
		return certificate
	}
	return answer
}
