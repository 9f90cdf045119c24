package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Backend is the daemon as the socket sees it. All methods are called from
// several goroutines at once. Orders return when they are accepted: a Status
// taken after that shows them. Errors made by BadRequest, NotFound and Refused
// keep their kind on the way to the client; all others have failed.
type Backend interface {
	Status() Status
	Explain(ExplainQuery) (Explanation, error)
	Drain(context.Context, DrainRequest) error
	Resume(context.Context, ResumeRequest) error
	SetWeight(context.Context, WeightRequest) error
	// Reload returns when the files are acted on as they are now.
	Reload(context.Context) (Reloaded, error)
	// Restart returns when the next daemon is on its way.
	Restart(context.Context) error
	Pins(context.Context, PinsRequest) (PinsDone, error)
	// Events are those after since that are still kept, oldest first, and a
	// channel that is closed when there is another.
	Events(since uint64) ([]Event, <-chan struct{})
}

// Server answers for a Backend.
type Server struct {
	backend Backend
	log     *slog.Logger
}

// NewServer makes a server; Run does the work.
func NewServer(b Backend, log *slog.Logger) *Server { return &Server{backend: b, log: log} }

// Times after which a client that stalls is let go, and that a client has to
// read its answer when the daemon stops.
const (
	stallTimeout = 10 * time.Second
	stopTimeout  = time.Second
)

// maxBody bounds an order's text in bytes.
const maxBody = 64 << 10

// Run answers on l until the context ends, and closes l.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	hs := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: stallTimeout,
		ReadTimeout:       stallTimeout,
		IdleTimeout:       stallTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if hs.Shutdown(grace) != nil {
			hs.Close()
		}
	}()
	err := hs.Serve(l)
	if ctx.Err() != nil {
		<-stopped
		return nil
	}
	return err
}

// Handler is the tree of paths.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", s.status)
	mux.HandleFunc("GET /v1/explain", s.explain)
	mux.HandleFunc("GET /v1/events", s.events)
	mux.HandleFunc("POST /v1/drain", order(func(ctx context.Context, r DrainRequest) error { return s.backend.Drain(ctx, r) }))
	mux.HandleFunc("POST /v1/resume", order(func(ctx context.Context, r ResumeRequest) error { return s.backend.Resume(ctx, r) }))
	mux.HandleFunc("POST /v1/restart", order(func(ctx context.Context, _ struct{}) error { return s.backend.Restart(ctx) }))
	mux.HandleFunc("POST /v1/weight", order(func(ctx context.Context, r WeightRequest) error {
		if err := r.check(); err != nil {
			return err
		}
		return s.backend.SetWeight(ctx, r)
	}))
	mux.HandleFunc("POST /v1/pins", orderAnswered(func(ctx context.Context, r PinsRequest) (PinsDone, error) { return s.backend.Pins(ctx, r) }))
	mux.HandleFunc("POST /v1/reload", orderAnswered(func(ctx context.Context, _ struct{}) (Reloaded, error) {
		done, err := s.backend.Reload(ctx)
		notNil(&done.Changed)
		return done, err
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, NotFound("this daemon does not know %s %s; is it older than the command?", r.Method, r.URL.Path))
	})
	return mux
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	st := s.backend.Status()
	st.complete()
	answer(w, http.StatusOK, st)
}

func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	src, err := ParseEndpoint(r.FormValue("src"))
	if err != nil {
		refuse(w, err)
		return
	}
	dst, err := ParseEndpoint(r.FormValue("dst"))
	if err != nil {
		refuse(w, err)
		return
	}
	e, err := s.backend.Explain(ExplainQuery{Src: src, Dst: dst})
	if err != nil {
		refuse(w, err)
		return
	}
	notNil(&e.Lingering)
	answer(w, http.StatusOK, e)
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	since, err := strconv.ParseUint(r.FormValue("since"), 10, 63)
	if err != nil && r.FormValue("since") != "" {
		refuse(w, BadRequest("since=%q is not the number of an event", r.FormValue("since")))
		return
	}
	w.Header().Set("Content-Type", "application/jsonl")
	enc, flush := json.NewEncoder(w), http.NewResponseController(w)
	for {
		events, more := s.backend.Events(since)
		for _, e := range events {
			since = e.Seq
			if enc.Encode(e) != nil {
				return
			}
		}
		if r.FormValue("follow") == "" || flush.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-more:
		}
	}
}

// order reads an order strictly (what this daemon does not know, it must not
// seem to obey), carries it out and says so.
func order[T any](do func(context.Context, T) error) http.HandlerFunc {
	return orderAnswered(func(ctx context.Context, what T) (struct{}, error) { return struct{}{}, do(ctx, what) })
}

// orderAnswered is order for those that have something to tell.
func orderAnswered[T, A any](do func(context.Context, T) (A, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var what T
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&what); err != nil && !errors.Is(err, io.EOF) {
			refuse(w, BadRequest("the order cannot be read: %v", err))
			return
		}
		done, err := do(r.Context(), what)
		if err != nil {
			refuse(w, err)
			return
		}
		answer(w, http.StatusOK, done)
	}
}

func refuse(w http.ResponseWriter, err error) {
	e := asError(err)
	status, ok := httpStatus[e.Code]
	if !ok {
		status = http.StatusInternalServerError
	}
	answer(w, status, errorBody{e})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	// A client that went away is its own affair.
	_ = enc.Encode(body)
}
