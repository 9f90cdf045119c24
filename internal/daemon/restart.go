package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/ownership"
)

// A restart puts another program, perhaps a newer one, in the place of this one: the
// same process, the same arguments. Where it can, the datapath serves on meanwhile
// (ownership, "Hold"); else the node drains first.

var (
	// errHeld ends the loop: the peers hold what this node owns, the next daemon carries on.
	errHeld = errors.New("restarts, held by its peers")
	// errReplaced ends the loop with a goodbye, and the next daemon starts anew.
	errReplaced = errors.New("restarts")
)

// successorAnswers is how long the program that is to take over may take to say who it is.
const successorAnswers = 10 * time.Second

// obeyRestarts restarts at a signal, as the order does.
func (d *daemon) obeyRestarts(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
			// Why not stands in the log.
			_ = d.Restart(ctx)
		}
	}
}

// Restart returns when the next daemon is on its way, or why it is not.
func (d *daemon) Restart(ctx context.Context) error {
	if !d.leaving.CompareAndSwap(false, true) {
		return api.Refused("this daemon is about to stop or restart")
	}
	err := d.restart(ctx)
	if err != nil {
		d.leaving.Store(false)
		d.log.Error("does not restart, goes on as before", "error", err)
	}
	return err
}

func (d *daemon) restart(ctx context.Context) error {
	stranger, err := d.judgeSuccessor(ctx)
	if err != nil {
		return api.Refused("%v; this daemon goes on", err)
	}
	d.noteHealth()
	var refused error
	if stranger == "" {
		if refused = d.hold(ctx); refused == nil {
			return nil
		}
	}
	own, err := d.ownStatus(ctx)
	if err != nil {
		return err
	}
	switch owned, lingering := left(own); {
	case owned+lingering == 0: // nothing breaks
		d.end(errReplaced)
	case refused != nil:
		return refused
	case !takesOver(own):
		return api.Refused("%s, and nobody else can take over meanwhile: connections would break; if they may, stop the service and start it again", stranger)
	default:
		d.log.Warn("drains before it restarts", "because", stranger)
		d.rest.Go(func() {
			d.handOver(d.inner, "the daemon restarts", nil)
			d.end(errReplaced)
		})
	}
	return nil
}

// hold waits until the peers hold what this node owns.
func (d *daemon) hold(ctx context.Context) error {
	answer := make(chan error, 1)
	err := d.loop.ask(ctx, func() error {
		d.loop.holding = func(err error) error {
			d.loop.holding = nil
			if err == nil {
				err = d.leave()
			}
			answer <- err
			if err == nil {
				return errHeld
			}
			return d.loop.step(ownership.Unhold{})
		}
		return d.loop.step(ownership.Hold{})
	})
	if err != nil && !errors.Is(err, errHeld) {
		return err
	}
	if err := <-answer; err != nil {
		return api.Refused("%v; this daemon goes on", err)
	}
	return nil
}

// held is the answer to Hold; why is "" if the peers do.
func (l *loop) held(why string) error {
	switch {
	case l.holding == nil:
		return nil // of an order that is over
	case why != "":
		return l.holding(errors.New(why))
	default:
		return l.holding(nil)
	}
}

// remember notes a promise, beside the loop, and tells the state machine then.
func (l *loop) remember(until ownership.Time) {
	go func() {
		if l.promised.keep(until, now()) {
			// A loop that has ended promises nothing any more.
			_ = l.ask(context.Background(), func() error { return l.step(ownership.Remembered{Until: until}) })
		}
	}()
}

// program is what restarts: where this one was found, which need not be the file that
// it was read from.
func program() (string, error) {
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		return os.Executable()
	}
	return filepath.Abs(path)
}

// judgeSuccessor asks the program on the disk whether it would run with the configuration
// on the disk, and tells why it could not carry on what this daemon has; "" if it can.
func (d *daemon) judgeSuccessor(ctx context.Context) (stranger string, err error) {
	ctx, cancel := context.WithTimeout(ctx, successorAnswers)
	defer cancel()
	path, err := program()
	if err != nil {
		return "", err
	}
	text, err := answerOf(ctx, path, "version", "--json")
	if err != nil {
		return "", err
	}
	var next struct{ Version, Estate string }
	if err := json.Unmarshal(text, &next); err != nil || next.Version == "" {
		return "", fmt.Errorf("%s does not tell its version: it is not rota", path)
	}
	if _, err := answerOf(ctx, path, "config", "validate", "--config", d.file().File); err != nil {
		return "", err
	}
	if _, err := config.LoadKeys(d.file().KeyFile); err != nil {
		return "", err
	}
	if next.Estate != EstateFormat() {
		return fmt.Sprintf("version %s cannot carry on what version %s leaves", next.Version, d.version), nil
	}
	cfg, err := config.Load(d.file().File)
	if err != nil {
		return "this version cannot read the new configuration", nil //nolint:nilerr // the next one can, and has said so
	}
	if err := d.unlike(cfg); err != nil {
		return "the configuration has changed in what cannot be carried on: " + err.Error(), nil
	}
	return "", nil
}

// answerOf runs a program and returns what it writes, or the first line of its complaint.
func answerOf(ctx context.Context, path string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	var out, complaint strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := startUnhurried(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		line, _, _ := strings.Cut(strings.TrimSpace(complaint.String()), "\n")
		return nil, fmt.Errorf("%s %s: %w%s", path, args[0], err, map[bool]string{false: ": " + line}[line == ""])
	}
	return []byte(out.String()), nil
}

// unlike tells what another configuration changes that a restart cannot carry on.
func (d *daemon) unlike(cfg *config.Config) error {
	keys, err := config.LoadKeys(cfg.KeyFile)
	if err != nil {
		return err
	}
	next := newPicture(cfg, keys.Hash)
	switch {
	case cfg.Cluster != d.file().Cluster:
		return errors.New("cluster")
	case cfg.Interface != d.file().Interface:
		return errors.New("interface")
	case next.options().Fingerprint() != d.host.data.Options().Fingerprint():
		return errors.New("pools or heartbeat.port")
	}
	h := &host{link: d.host.link}
	h.now.Store(next)
	own := ownershipConfig(cfg, h, ownership.Ref{Name: cfg.Node.Name}, netip.Addr{}, keys.Hash)
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	var differs error
	if err := d.loop.ask(ctx, func() error { differs = d.loop.node.CanCarryOn(own); return nil }); err != nil {
		return err
	}
	return differs
}

// waitShortly lets the rest end, the answer to whom ordered the restart above all. What
// takes longer ends with the process: the peers hold only for so long.
func (d *daemon) waitShortly() {
	ended := make(chan struct{})
	go func() {
		d.rest.Wait()
		close(ended)
	}()
	patience := time.NewTimer(restWithin)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
	}
}

const restWithin = 200 * time.Millisecond

// replace puts the next program in the place of this one.
func replace() error {
	path, err := program()
	if err != nil {
		return err
	}
	return fmt.Errorf("start %s anew: %w", path, unix.Exec(path, os.Args, os.Environ()))
}
