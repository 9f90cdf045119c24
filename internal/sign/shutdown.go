package sign

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/health"
	"github.com/rota-cluster/rota/internal/systembus"
)

// shutdown is 1 from the moment logind says that the host goes down. While it
// looks it holds an inhibitor of the mode "delay", so that logind waits: until
// this sign lets go, holdFor after the announcement, or for its own
// InhibitDelayMaxSec, 5 s by default. https://systemd.io/INHIBITOR_LOCKS.
type shutdown struct {
	bus      string
	now      func() time.Time
	conn     *dbus.Conn
	heard    atomic.Bool   // an announcement that has not been looked at
	call     chan struct{} // there is something to look at
	lock     int           // descriptor of the inhibitor, -1 if there is none
	goesDown bool
	since    time.Time
	failure  error     // of the last attempt to connect,
	failed   time.Time // then
}

// holdFor is time enough to hand everything over, which takes milliseconds, and
// for clients' packets on the way.
const holdFor = 2 * time.Second

const (
	logind       = "org.freedesktop.login1"
	logindPath   = "/org/freedesktop/login1"
	logindManage = logind + ".Manager"
)

func newShutdown(e Env) sensor {
	return &shutdown{bus: cmp.Or(e.Bus, systembus.Address()), now: e.Now, lock: -1, call: make(chan struct{}, 1)}
}

func (s *shutdown) called() <-chan struct{} { return s.call }

func (s *shutdown) callNow() {
	select {
	case s.call <- struct{}{}:
	default:
	}
}

// DeliverSignal is called by the connection. Any user of the bus can send such a signal, so
// logind is asked what there is to it.
func (s *shutdown) DeliverSignal(_, _ string, signal *dbus.Signal) {
	if signal.Name == logindManage+".PrepareForShutdown" {
		s.heard.Store(true)
		s.callNow()
	}
}

func (s *shutdown) read() health.Reading {
	if s.conn != nil && !s.conn.Connected() {
		s.close()
	}
	if s.conn == nil {
		if err := s.connectAgain(); err != nil {
			return s.unreachable(err)
		}
	}
	if s.heard.Swap(false) {
		if err := s.ask(); err != nil {
			s.close()
			return s.unreachable(err)
		}
	}
	if !s.goesDown && s.lock < 0 { // it was called off: look from anew, with a new inhibitor
		s.close()
	}
	if !s.goesDown {
		return measured(0, "logind has announced no shutdown")
	}
	if s.now().Sub(s.since) >= holdFor {
		s.release()
	}
	return measured(1, "the host is going down")
}

// unreachable: a host that goes down closes the bus too; what it announced stays.
func (s *shutdown) unreachable(err error) health.Reading {
	if s.goesDown {
		return measured(1, "the host is going down")
	}
	var answer dbus.Error
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return cannotTell("there is no system bus here")
	case errors.As(err, &answer) && answer.Name == "org.freedesktop.DBus.Error.ServiceUnknown":
		return cannotTell("there is no logind here")
	}
	return broken(err)
}

// retry is how often a bus that is not there is looked for.
const retry = time.Second

func (s *shutdown) connectAgain() error {
	if now := s.now(); s.failure == nil || now.Sub(s.failed) >= retry {
		s.failure, s.failed = s.connect(), now
	}
	return s.failure
}

// busPatience is how long the bus or logind may take to answer.
const busPatience = patience / 2

func (s *shutdown) connect() error {
	ctx, cancel := context.WithTimeout(context.Background(), busPatience)
	defer cancel()
	lasting, end := context.WithCancel(context.Background())
	defer context.AfterFunc(ctx, end)() // in time if it does not get so far
	conn, err := systembus.Connect(lasting, s.bus, dbus.WithSignalHandler(s))
	if err != nil {
		end()
		return err
	}
	s.conn = conn
	if err = s.subscribe(ctx); err != nil {
		s.close()
	}
	return err
}

func (s *shutdown) subscribe(ctx context.Context) error {
	match := []dbus.MatchOption{dbus.WithMatchInterface(logindManage), dbus.WithMatchMember("PrepareForShutdown")}
	if err := s.conn.AddMatchSignalContext(ctx, match...); err != nil {
		return err
	}
	var err error
	if s.lock, err = inhibit(ctx, s.bus); err != nil {
		return err
	}
	return s.ask()
}

// inhibit takes an inhibitor, which is a descriptor, by a connection that lasts no longer than that.
func inhibit(ctx context.Context, bus string) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := dbus.Connect(bus, dbus.WithContext(ctx))
	if err != nil {
		return -1, err
	}
	defer conn.Close()
	var lock dbus.UnixFD
	call := conn.Object(logind, logindPath).CallWithContext(ctx, logindManage+".Inhibit", 0, "shutdown", "rota", "hands its share over to other nodes", "delay")
	if err := call.Store(&lock); err != nil {
		return -1, err
	}
	return int(lock), nil
}

// ask asks logind whether the host goes down.
func (s *shutdown) ask() error {
	ctx, cancel := context.WithTimeout(context.Background(), busPatience)
	defer cancel()
	var preparing dbus.Variant
	const get = "org.freedesktop.DBus.Properties.Get"
	err := s.conn.Object(logind, logindPath).CallWithContext(ctx, get, 0, logindManage, "PreparingForShutdown").Store(&preparing)
	if err == nil {
		s.announced(preparing.Value() == true)
	}
	return err
}

func (s *shutdown) announced(down bool) {
	if down && !s.goesDown {
		s.since = s.now()
		time.AfterFunc(holdFor, s.callNow)
	}
	s.goesDown = down
}

func (s *shutdown) release() {
	if s.lock >= 0 {
		_ = unix.Close(s.lock) // logind notices
		s.lock = -1
	}
}

func (s *shutdown) close() {
	s.release()
	if s.conn != nil {
		_ = s.conn.Close() // nothing is waited for
		s.conn = nil
	}
}
