// Package service is what the lab's nodes serve: over HTTP and line by line,
// and always with the node's name, so that a client knows who answered.
//
// It listens on the wildcard address, as a service that knows nothing of the
// cluster does.
package service

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/rota-cluster/rota/internal/lab/segment"
)

// Ports that a node serves on.
const (
	HTTPPort = 80 // GET / answers with the node's name and a newline
	LinePort = 7  // each line is answered with the node's name, a space and the line
)

const (
	maxLine     = 256
	lineTimeout = 2 * time.Minute // a client silent for as long is gone
	// webTimeout lets a client's request come through where a third of all frames
	// is lost: TCP sends it again after 0.2, 0.6, 1.4, 3, 6.2 and 12.6 s.
	webTimeout = 30 * time.Second
	maxLines   = 20_000 // connections at a time
)

// Service of one node.
type Service struct {
	name string
	web  net.Listener
	line net.Listener

	mu   sync.Mutex
	open map[net.Conn]struct{}
}

// Listen takes the ports inside the host. Nothing is answered before Run.
func Listen(ctx context.Context, h *segment.Host) (*Service, error) {
	web, err := h.Listen(ctx, "tcp", fmt.Sprintf(":%d", HTTPPort))
	if err != nil {
		return nil, err
	}
	line, err := h.Listen(ctx, "tcp", fmt.Sprintf(":%d", LinePort))
	if err != nil {
		return nil, errors.Join(err, web.Close())
	}
	return &Service{name: h.Name(), web: web, line: line, open: make(map[net.Conn]struct{})}, nil
}

// Run serves until ctx ends, then closes every connection.
func (s *Service) Run(ctx context.Context) error {
	server := &http.Server{
		Handler:           http.HandlerFunc(s.tellName),
		ReadHeaderTimeout: webTimeout,
		WriteTimeout:      webTimeout,
		ErrorLog:          log.New(io.Discard, "", 0), // clients that reset are no news here
	}
	server.SetKeepAlivesEnabled(false)
	var running sync.WaitGroup
	var webErr, lineErr error
	running.Go(func() { webErr = server.Serve(s.web) })
	running.Go(func() { lineErr = s.acceptLines(&running) })
	<-ctx.Done()
	err := errors.Join(server.Close(), s.line.Close())
	s.closeLines()
	running.Wait()
	if errors.Is(webErr, http.ErrServerClosed) {
		webErr = nil
	}
	if errors.Is(lineErr, net.ErrClosed) {
		lineErr = nil
	}
	return errors.Join(err, webErr, lineErr)
}

func (s *Service) tellName(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, s.name+"\n") // the client's loss
}

func (s *Service) acceptLines(running *sync.WaitGroup) error {
	for {
		c, err := s.line.Accept()
		if err != nil {
			return err
		}
		if !s.admit(c) {
			_ = c.Close()
			continue
		}
		running.Go(func() {
			defer s.dismiss(c)
			s.answerLines(c)
		})
	}
}

func (s *Service) answerLines(c net.Conn) {
	in := bufio.NewScanner(c)
	in.Buffer(make([]byte, 0, maxLine), maxLine)
	var out []byte
	for {
		if c.SetReadDeadline(time.Now().Add(lineTimeout)) != nil || !in.Scan() {
			return
		}
		out = append(out[:0], s.name...)
		out = append(out, ' ')
		out = append(out, in.Bytes()...)
		out = append(out, '\n')
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

func (s *Service) admit(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil || len(s.open) >= maxLines {
		return false
	}
	s.open[c] = struct{}{}
	return true
}

func (s *Service) dismiss(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	_ = c.Close() // nothing is buffered
}

func (s *Service) closeLines() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		_ = c.Close() // their goroutines end by it
	}
	s.open = nil
}
