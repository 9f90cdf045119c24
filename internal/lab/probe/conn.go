package probe

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Conn is a connection on which somebody asks only when told to.
type Conn struct {
	// Node that answered on it first.
	Node string

	tcp     net.Conn
	answers *bufio.Reader
}

// Dial opens a connection and asks on it once. The service answers as with Held.
func (c *Client) Dial(to netip.AddrPort, patience time.Duration) (*Conn, error) {
	from, err := c.next(to)
	if err != nil {
		return nil, err
	}
	var tcp net.Conn
	if err := c.host.Run(func() error {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(from), Timeout: patience}
		tcp, err = d.Dial("tcp", to.String())
		return err
	}); err != nil {
		return nil, err
	}
	conn := &Conn{tcp: tcp, answers: bufio.NewReader(tcp)}
	if err := conn.Ask(patience); err != nil {
		return nil, errors.Join(fmt.Errorf("ask %s from %s: %w", to, from, err), tcp.Close())
	}
	return conn, nil
}

// Ask sends a line and waits for its answer.
func (c *Conn) Ask(patience time.Duration) error {
	if err := c.tcp.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(c.tcp, "hello"); err != nil {
		return err
	}
	answer, err := c.answers.ReadString('\n')
	if err != nil {
		return err
	}
	node, _, _ := strings.Cut(answer, " ")
	if c.Node == "" {
		c.Node = node
	}
	if node != c.Node {
		return fmt.Errorf("%s answers on a connection with %s", node, c.Node)
	}
	return nil
}

// Close ends it.
func (c *Conn) Close() error { return c.tcp.Close() }
