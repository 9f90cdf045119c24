package check

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/rota-cluster/rota/internal/config"
)

// grpc asks grpc.health.v1.Health/Check: one HTTP/2 request, whose message and
// answer have one field each, so that no gRPC library is needed.
type grpc struct {
	target string
	secure *secure // nil for plain HTTP/2
	body   []byte
}

func newGRPC(c config.Check, now func() time.Time) (prober, error) {
	host, _, err := net.SplitHostPort(c.Target[0])
	if err != nil {
		return nil, err
	}
	p := grpc{target: c.Target[0], body: healthRequest(c.Service)}
	if c.ServerName == "" && c.CA == "" {
		return p, nil
	}
	s, err := newSecure(c, host, now)
	s.config.NextProtos = []string{"h2"}
	p.secure = &s
	return p, err
}

// healthRequest is HealthCheckRequest{service} in a gRPC frame: not
// compressed, four bytes of length, field 1 as bytes.
func healthRequest(service string) []byte {
	var message []byte
	if service != "" {
		message = append(binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(service))), service...)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

func (p grpc) probe(ctx context.Context) Outcome {
	conn, err := dial(ctx, "tcp", p.target)
	if err != nil {
		return failedBy(ctx, "connect to "+p.target, err)
	}
	defer conn.Close()
	scheme := "http"
	if p.secure != nil {
		c, out := p.secure.shake(ctx, conn)
		if c == nil {
			return out
		}
		conn, scheme = c, "https"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, scheme+"://"+p.target+"/grpc.health.v1.Health/Check", bytes.NewReader(p.body))
	if err != nil {
		return failedBy(ctx, "ask", err)
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("TE", "trailers")
	r.Header.Set("User-Agent", "rota")
	resp, err := overHTTP2(conn).RoundTrip(r)
	if err != nil {
		return failedBy(ctx, "ask "+p.target, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	if err != nil {
		return failedBy(ctx, "answer of "+p.target, err)
	}
	return judgeHealth(resp, answer)
}

// overHTTP2 is a client of one connection. What belongs to it ends when the
// connection is closed, which is the caller's to do: a client that opens its
// own keeps one for later when a request is given up while it is opened.
func overHTTP2(conn net.Conn) *http.Transport {
	given := func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	t := &http.Transport{DialContext: given, DialTLSContext: given, DisableCompression: true, Protocols: new(http.Protocols)}
	t.Protocols.SetHTTP2(true)
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}

// The statuses of HealthCheckResponse, grpc/health/v1/health.proto.
var servingStatus = map[uint64]string{0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}

func judgeHealth(resp *http.Response, answer []byte) Outcome {
	if resp.StatusCode != http.StatusOK {
		return failed("status %d", resp.StatusCode)
	}
	// An answer without a body has its trailers in the header.
	code, why := resp.Trailer.Get("Grpc-Status"), resp.Trailer.Get("Grpc-Message")
	if code == "" {
		code, why = resp.Header.Get("Grpc-Status"), resp.Header.Get("Grpc-Message")
	}
	if code != "0" {
		return failed("gRPC status %s %s", oneLine(code), oneLine(why))
	}
	status, err := healthResponse(answer)
	if err != nil {
		return failed("%v", err)
	}
	name, known := servingStatus[status]
	if !known {
		name = fmt.Sprint("status ", status)
	}
	if name != "SERVING" {
		return failed("%s", name)
	}
	return passed(name)
}

// healthResponse finds field 1, a varint. Other fields would be later additions.
func healthResponse(frame []byte) (uint64, error) {
	if len(frame) < 5 || frame[0] != 0 || uint64(binary.BigEndian.Uint32(frame[1:])) != uint64(len(frame)-5) {
		return 0, fmt.Errorf("answers with something that is no gRPC message")
	}
	message := frame[5:]
	if len(message) == 0 {
		return 0, nil // protobuf leaves out zeros
	}
	if message[0] == 1<<3 {
		if status, n := binary.Uvarint(message[1:]); n > 0 {
			return status, nil
		}
	}
	return 0, fmt.Errorf("answers with a message that is no HealthCheckResponse")
}
