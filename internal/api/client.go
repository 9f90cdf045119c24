package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// answerTimeout is how long a client waits for a daemon, which answers in milliseconds if it is well.
const answerTimeout = 5 * time.Second

// orderTimeout is longer: another node may have to answer first, and with the
// longest interval between beats that takes its time.
const orderTimeout = time.Minute

// maxAnswer bounds what a client reads: a status of 64 pools of 65536 scattered buckets.
const maxAnswer = 64 << 20

// Client asks a daemon over its socket.
type Client struct {
	socket string
	http   *http.Client
	node   string // that orders are for, "": the one that answers on the socket
}

// NewClient makes a client; nothing is opened before the first question.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableCompression: true}}}
}

// On is a client whose orders are for another node; "" is the one it asks.
func (c *Client) On(node string) *Client { return &Client{c.socket, c.http, node} }

// Status asks for a snapshot.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	s := new(Status)
	return s, c.ask(ctx, http.MethodGet, "/v1/status", nil, s)
}

// StatusJSON asks for a snapshot as the daemon words it, so that a newer daemon's fields are kept.
func (c *Client) StatusJSON(ctx context.Context) (json.RawMessage, error) {
	return c.raw(ctx, "/v1/status")
}

// Explain asks where a packet goes.
func (c *Client) Explain(ctx context.Context, q ExplainQuery) (*Explanation, error) {
	e := new(Explanation)
	return e, c.ask(ctx, http.MethodGet, explainPath(q), nil, e)
}

// ExplainJSON asks where a packet goes, and keeps the daemon's wording.
func (c *Client) ExplainJSON(ctx context.Context, q ExplainQuery) (json.RawMessage, error) {
	return c.raw(ctx, explainPath(q))
}

func (c *Client) raw(ctx context.Context, path string) (json.RawMessage, error) {
	var raw json.RawMessage
	err := c.ask(ctx, http.MethodGet, path, nil, &raw)
	return raw, err
}

func explainPath(q ExplainQuery) string {
	return "/v1/explain?" + url.Values{"src": {q.Src.String()}, "dst": {q.Dst.String()}}.Encode()
}

// Drain orders the node to hand over everything.
func (c *Client) Drain(ctx context.Context, r DrainRequest) error {
	r.Node = cmp.Or(r.Node, c.node)
	return c.ask(ctx, http.MethodPost, "/v1/drain", r, nil)
}

// Resume ends or cancels a drain.
func (c *Client) Resume(ctx context.Context) error {
	return c.ask(ctx, http.MethodPost, "/v1/resume", ResumeRequest{Node: c.node}, nil)
}

// restartTimeout: the program to come is asked, then the peers.
const restartTimeout = 20 * time.Second

// Restart orders the daemon to restart. It returns when the next one is on its way.
func (c *Client) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, restartTimeout)
	defer cancel()
	resp, err := c.send(ctx, http.MethodPost, "/v1/restart", struct{}{})
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// SetWeight orders what the node wants to carry.
func (c *Client) SetWeight(ctx context.Context, weight uint16) error {
	return c.ask(ctx, http.MethodPost, "/v1/weight", WeightRequest{Node: c.node, Weight: &weight}, nil)
}

// Pins orders that buckets belong to a node, or takes pins off.
func (c *Client) Pins(ctx context.Context, r PinsRequest) (*PinsDone, error) {
	done := new(PinsDone)
	return done, c.ask(ctx, http.MethodPost, "/v1/pins", r, done)
}

// Reload orders the daemon to read its files again.
func (c *Client) Reload(ctx context.Context) (Reloaded, error) {
	var r Reloaded
	return r, c.ask(ctx, http.MethodPost, "/v1/reload", struct{}{}, &r)
}

// Events hands over the events after since, and with follow those to come
// until the context ends or each returns an error.
func (c *Client) Events(ctx context.Context, since uint64, follow bool, each func(Event) error) error {
	return c.EventsJSON(ctx, since, follow, func(raw json.RawMessage) error {
		var e Event
		if err := json.Unmarshal(raw, &e); err != nil {
			return fmt.Errorf("the answer on %s cannot be read: %w", c.socket, err)
		}
		return each(e)
	})
}

// EventsJSON hands over events as the daemon words them.
func (c *Client) EventsJSON(ctx context.Context, since uint64, follow bool, each func(json.RawMessage) error) error {
	path := fmt.Sprintf("/v1/events?since=%d", since)
	if follow {
		path += "&follow=1"
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	// Only the beginning must come soon: what follows may be read slowly, or happen late.
	late := time.AfterFunc(answerTimeout, func() { stop(context.DeadlineExceeded) })
	resp, err := c.send(ctx, http.MethodGet, path, nil)
	late.Stop()
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for dec := json.NewDecoder(resp.Body); ; {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			if errors.Is(err, io.EOF) && ctx.Err() == nil && !follow {
				return nil
			}
			return c.trouble(ctx, err)
		}
		if err := each(raw); err != nil {
			return err
		}
	}
}

func (c *Client) ask(ctx context.Context, method, path string, order, to any) error {
	timeout := answerTimeout
	if method == http.MethodPost {
		timeout = orderTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	resp, err := c.send(ctx, method, path, order)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return c.trouble(ctx, err)
	}
	if to == nil {
		return nil
	}
	if err := json.Unmarshal(body, to); err != nil {
		return fmt.Errorf("the answer on %s cannot be read: %w", c.socket, err)
	}
	return nil
}

// send returns a response with a status of 200; its caller closes the body.
func (c *Client) send(ctx context.Context, method, path string, order any) (*http.Response, error) {
	var body io.Reader
	if order != nil {
		text, err := json.Marshal(order)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://rota"+path, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.trouble(ctx, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var refusal errorBody
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&refusal); err != nil || refusal.Error == nil {
		return nil, fmt.Errorf("what answers on %s is not a rota daemon (HTTP %d)", c.socket, resp.StatusCode)
	}
	return nil, refusal.Error
}

// trouble says in one line why there is no answer, and what to do.
func (c *Client) trouble(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no rota daemon has its socket at %s; start one with rota run, or name its socket with --socket", c.socket)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("the rota daemon of %s no longer runs; start it with rota run", c.socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("socket %s is not open to this user; run as root", c.socket)
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return fmt.Errorf("the rota daemon of %s does not answer: is it stopped or frozen (SIGSTOP, a debugger), or its host overloaded? its log may tell", c.socket)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the rota daemon of %s stopped while it answered", c.socket)
	}
	return fmt.Errorf("ask the rota daemon of %s: %w", c.socket, cause(err))
}
