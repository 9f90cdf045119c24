package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/ownership"
	"github.com/rota-cluster/rota/internal/wire"
)

// ears are the Openers: one for the service path, one for all others, so that a
// beat that comes by both is told by both.
type ears struct{ service, second *ear }

func newEars(c wire.OpenerConfig, keys config.Keys) (ears, error) {
	var e ears
	for _, one := range []**ear{&e.service, &e.second} {
		opener, err := wire.NewOpener(c)
		if err != nil {
			return e, err
		}
		if *one, err = newEar(opener, keys); err != nil {
			return e, err
		}
	}
	return e, nil
}

// accept replaces the accepted keys.
func (e ears) accept(keys config.Keys) error {
	return errors.Join(e.service.accept(keys), e.second.accept(keys))
}

// keyOf is the id of the key that a sender's newest beat was sealed with, of
// those that came by the path by which it is heard now.
func (e ears) keyOf(n ownership.NodeStatus) (id string, known bool) {
	if n.Path == ownership.PathService {
		return e.service.keyOf(n.Ref)
	}
	return e.second.keyOf(n.Ref)
}

// ear is an Opener, which a receiving goroutine uses, with what others
// may do to it meanwhile.
type ear struct {
	mu     sync.Mutex
	opener *wire.Opener
	ids    []string // of the accepted keys; the first seals
}

func newEar(o *wire.Opener, keys config.Keys) (*ear, error) {
	ids, err := keyIDs(keys)
	return &ear{opener: o, ids: ids}, err
}

func (e *ear) open(payload []byte) (*ownership.Beat, wire.Reason) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.opener.Open(payload)
}

// counts tells how often open returned each Reason. It does not wait.
func (e *ear) counts() wire.Counts { return e.opener.Counts() }

// keysInUse are the ids of the keys accepted; the first seals.
func (e *ear) keysInUse() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ids
}

// accept replaces the accepted keys.
func (e *ear) accept(keys config.Keys) error {
	ids, err := keyIDs(keys)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.opener.SetKeys(keys.Accepted()); err != nil {
		return err
	}
	e.ids = ids
	return nil
}

// keyOf is the id of the key that a sender's newest beat was sealed with.
func (e *ear) keyOf(from ownership.Ref) (id string, known bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.opener.KeyOf(from)
}

func keyIDs(keys config.Keys) ([]string, error) {
	var ids []string
	for _, key := range keys.Accepted() {
		id, err := wire.KeyID(key)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// obey does what hangups (SIGHUP) ask for, until ctx is done: it reads its files
// again. What is wrong with them is told, and nothing changes.
func (d *daemon) obey(ctx context.Context, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			if _, err := d.Reload(ctx); err != nil {
				d.log.Error("keeps the keys in use, and the configuration", "error", err)
			}
		}
	}
}

// useKeys is for the loop, to which the sealer belongs.
func (d *daemon) useKeys(keys config.Keys) error {
	if err := d.ears.accept(keys); err != nil {
		return err
	}
	return d.loop.sealer.SetKey(keys.Seal)
}

// judgeKeys refuses keys of a file that would move flows, or make this node deaf to a
// peer that it hears.
func (d *daemon) judgeKeys(file string, keys config.Keys) error {
	for i, p := range d.host.cfg().Pools {
		if p.SeedFrom(keys.Hash) != d.host.seed(i) {
			return d.otherSeed(file, p.Name)
		}
	}
	ids, err := keyIDs(keys)
	if err != nil {
		return err
	}
	for _, n := range d.loop.node.Status(now()).Nodes {
		if n.Self || n.Silent || n.Left {
			continue
		}
		if id, known := d.ears.keyOf(n); known && !slices.Contains(ids, id) {
			return fmt.Errorf("key file %s lacks the key %s that %s still seals with: copy the file to %s and reload it there first, or stop that node; "+
				"if %s refuses it likewise, a step was taken too early: put the file of the step before back on all nodes, reload, and go on from there",
				file, id, n.Name, n.Name, n.Name)
		}
	}
	return nil
}

// otherSeed refuses a key file of which a pool would get another seed. What moves no
// connection, because the node has none, is still for a restart: the programs are loaded for a seed.
func (d *daemon) otherSeed(file, pool string) error {
	err := fmt.Errorf("key file %s would change the seed of pool %s", file, pool)
	s := d.loop.node.Status(now())
	owns := slices.ContainsFunc(s.Nodes, func(n ownership.NodeStatus) bool {
		return n.Self && (slices.Max(n.Claims) > 0 || slices.Max(n.Lingers) > 0)
	})
	if !owns {
		return fmt.Errorf("%w, which only a start does: this node owns nothing, so if the file is the right one: rota restart", err)
	}
	return fmt.Errorf("%w and move its connections: keep the line hash (rota key rotate writes it)", err)
}

// keysText tells a change of the keys, by their ids.
func keysText(ids []string) string {
	text := "key file: now seals with " + ids[0]
	if len(ids) > 1 {
		text += ", accepts also " + strings.Join(ids[1:], " ")
	}
	return text
}

// logKeys says which keys are in use, by their ids, never by themselves.
func (d *daemon) logKeys(what string) {
	ids := d.ears.service.keysInUse()
	d.log.Info(what, "seals_with", ids[0], "accepts", strings.Join(ids, " "))
}
