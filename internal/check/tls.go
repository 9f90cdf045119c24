package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"time"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
)

// secure is how a check speaks TLS.
type secure struct {
	config *tls.Config
	days   int
	now    func() time.Time
}

func newSecure(c config.Check, host string, now func() time.Time) (secure, error) {
	s := secure{config: &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}, days: c.Days, now: now}
	if c.ServerName != "" {
		s.config.ServerName = c.ServerName
	}
	if c.CA == "" {
		// Read once and kept, also if they cannot be: not by the first probe, which may lack descriptors.
		if _, err := x509.SystemCertPool(); err != nil {
			return s, fmt.Errorf("the host's certificates: %w", err)
		}
		return s, nil
	}
	pem, err := config.ReadFile(c.CA)
	if err != nil {
		return s, fmt.Errorf("ca: %w", err)
	}
	s.config.RootCAs = x509.NewCertPool()
	if !s.config.RootCAs.AppendCertsFromPEM(pem) {
		return s, fmt.Errorf("ca: %s holds no certificate in PEM", c.CA)
	}
	return s, nil
}

// shake opens TLS on conn and judges how long the certificate is good.
func (s secure) shake(ctx context.Context, conn net.Conn) (*tls.Conn, Outcome) {
	c := tls.Client(conn, s.config)
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, failedBy(ctx, "TLS with "+s.config.ServerName, err)
	}
	return c, s.expiry(c.ConnectionState().PeerCertificates)
}

const day = 24 * time.Hour

func (s secure) expiry(chain []*x509.Certificate) Outcome {
	end := chain[0].NotAfter
	for _, c := range chain[1:] {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	left := end.Sub(s.now())
	out := passed(fmt.Sprintf("certificate good for %d days", left/day))
	if left < time.Duration(s.days)*day {
		out.Level = health.Warn
		out.Text += fmt.Sprintf(" (warns below %d)", s.days)
	}
	return out
}

// tlsProbe passes when a handshake succeeds.
type tlsProbe struct {
	target string
	secure secure
}

func newTLS(c config.Check, now func() time.Time) (prober, error) {
	host, _, err := net.SplitHostPort(c.Target[0])
	if err != nil {
		return nil, err
	}
	s, err := newSecure(c, host, now)
	return tlsProbe{c.Target[0], s}, err
}

func (p tlsProbe) probe(ctx context.Context) Outcome {
	conn, err := dial(ctx, "tcp", p.target)
	if err != nil {
		return failedBy(ctx, "connect to "+p.target, err)
	}
	defer conn.Close()
	_, out := p.secure.shake(ctx, conn)
	return out
}
