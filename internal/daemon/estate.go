package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/datapath"
	"github.com/rota-cluster/rota/internal/netcfg"
	"github.com/rota-cluster/rota/internal/ownership"
)

const estateFile = "restart"

// estateVersion numbers the meaning of what the daemon itself leaves.
const estateVersion = 1

// EstateFormat is the same for two versions of rota of which each can carry on
// what the other leaves when it restarts.
func EstateFormat() string {
	return fmt.Sprintf("%d/%s/%d", estateVersion, ownership.SnapshotFormat(), datapath.ABI)
}

// estate is what a daemon that restarts leaves to the next. It is used once, by
// one daemon: whoever reads it has the interface's lock, and takes it away before its first
// beat. So one that dies before that may be followed by another that carries on.
type estate struct {
	Format string
	// Boot and Asleep tell whether the clock has run on since, and has told all the time.
	Boot      string
	Asleep    time.Duration
	Cluster   string
	Interface int

	Node      *ownership.Snapshot // nil: the next daemon starts anew
	Lingering []map[uint32]ownership.Time
	Beats     uint64
	Since     time.Time // of the state
	Degraded  time.Time // since when it goes on although it would leave; zero if it does not

	// What the next daemon goes by even if it cannot carry on.
	Orders standing
	Events []api.Event
}

// asleep is for how long the host has been suspended since its boot.
func asleep() (time.Duration, error) {
	var boot, running unix.Timespec
	if err := errors.Join(unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot), unix.ClockGettime(unix.CLOCK_MONOTONIC, &running)); err != nil {
		return 0, err
	}
	return time.Duration(boot.Nano() - running.Nano()).Round(time.Millisecond), nil
}

// leave writes down what the next daemon needs to carry on. Nothing may change after it.
func (d *daemon) leave() error {
	l := d.loop
	return d.leaveTo(estate{Node: l.node.Snapshot(), Lingering: l.lingering.since, Beats: l.sent, Since: l.stateSince, Degraded: d.ward.Load().degradedSince()})
}

// leaveWord writes down what the next daemon, which starts anew, needs to know. The loop has ended.
func (d *daemon) leaveWord() {
	if err := d.leaveTo(estate{}); err != nil {
		d.log.Warn("the next daemon will not know what was ordered of this one, and what happened", "error", err)
	}
}

func (d *daemon) leaveTo(e estate) error {
	slept, err := asleep()
	if err != nil {
		return err
	}
	e.Format, e.Boot, e.Asleep, e.Cluster, e.Interface = EstateFormat(), bootID(), slept, d.file().Cluster, d.host.link.Index
	e.Orders, e.Events = d.loop.standing(d.file().Node.Weight), d.events.all()
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return replaceFile(estatePath(d.file()), string(text))
}

func estatePath(cfg *config.Config) string { return filepath.Join(cfg.StateDir, estateFile) }

var (
	// errNothingLeft: the daemon before did not restart, it ended.
	errNothingLeft = errors.New("nothing is left")
	// errStartsAnew: it restarted, and meant the next one to start anew.
	errStartsAnew = errors.New("starts anew")
)

// findEstate reads what the daemon before has left; the error tells why it cannot be
// carried on, and beside it is what counts all the same. The caller has the interface's lock.
func findEstate(cfg *config.Config, link netcfg.Link) (*estate, error) {
	path := estatePath(cfg)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNothingLeft
	}
	if err != nil {
		return nil, err
	}
	var l estate
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if l.Boot == "" || l.Boot != bootID() || l.Cluster != cfg.Cluster {
		l.Orders, l.Events = standing{}, nil // of another life
	}
	return &l, l.check(cfg, link)
}

// takeEstate takes it away, whether or not it is carried on.
func takeEstate(cfg *config.Config) error { return os.Remove(estatePath(cfg)) }

// check tells why it cannot be carried on here and now.
func (l *estate) check(cfg *config.Config, link netcfg.Link) error {
	slept, err := asleep()
	switch {
	case err != nil:
		return err
	case l.Node == nil:
		return errStartsAnew
	case l.Format != EstateFormat():
		return fmt.Errorf("it was left in format %s, this version of rota has %s", l.Format, EstateFormat())
	case l.Boot == "" || l.Boot != bootID():
		return errors.New("the host was booted since")
	case slept-l.Asleep > 5*time.Millisecond:
		return errors.New("the host was suspended since")
	case l.Cluster != cfg.Cluster:
		return fmt.Errorf("the cluster was %s before", l.Cluster)
	case l.Interface != link.Index:
		return errors.New("the interface is another one")
	case len(l.Lingering) != len(cfg.Pools) || now() >= l.Node.LeaseUntil:
		return errors.New("it comes too late: the lease is over")
	}
	return nil
}
