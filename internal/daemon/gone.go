package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/netcfg"
)

// lookForInterface is how often an interface that has gone is looked for beside
// what the kernel tells.
const lookForInterface = time.Second

// interfaceGone tells whether the daemon ended because its interface did, as
// with a driver that is loaded anew.
func (d *daemon) interfaceGone(err error) bool {
	if err == nil || d.loop == nil { // it has never served: a mistake in the configuration
		return false
	}
	if errors.Is(err, errGone) {
		return true
	}
	_, missing := netcfg.LinkByName(d.file().Interface)
	return errors.Is(missing, netcfg.ErrNoInterface)
}

// awaitInterface waits for an interface of that name which can serve, until ctx
// is done. Meanwhile it answers who asks.
func (d *daemon) awaitInterface(ctx context.Context) (err error) {
	text := fmt.Sprintf("interface %s has gone: waits for it, and sets everything up anew", d.file().Interface)
	d.log.Warn(text, "event", config.HookDrift)
	d.loop.herald.gone(d.loop.node.Status(now()), text)
	d.events.add(api.Event{Time: time.Now(), Kind: config.HookDrift, Node: d.file().Node.Name, Text: text})

	socket, err := api.Listen(d.file().API.Socket)
	if err != nil {
		return err
	}
	d.absent.Store(true)
	defer d.absent.Store(false)
	waiting, stop := context.WithCancel(ctx)
	var rest sync.WaitGroup
	answered := make(chan error, 1)
	rest.Go(func() { answered <- api.NewServer(d, d.log).Run(waiting, socket) })
	defer func() {
		stop()
		rest.Wait()
		err = errors.Join(err, <-answered)
	}()

	watcher, err := netcfg.NewWatcher()
	if err != nil {
		return err
	}
	changed := make(chan struct{}, 1)
	rest.Go(func() {
		// Without it the tick finds the interface.
		_ = watcher.Run(waiting, func(netcfg.Change) {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
		_ = watcher.Close()
	})
	tick := time.NewTicker(lookForInterface)
	defer tick.Stop()
	for {
		if _, err := usableLink(d.file()); err == nil {
			d.log.Info("the interface is back", "interface", d.file().Interface)
			return nil
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
