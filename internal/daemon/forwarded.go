package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/datapath"
)

// forwardedEvery is how often a host whose programs cannot ask conntrack is looked at.
const forwardedEvery = time.Minute

// forwarded looks, where the programs cannot ask the kernel's connection tracking,
// whether the host passes on what comes to a shared address (DNAT): such
// connections break in a handover, and that must not be a surprise.
type forwarded struct {
	log *slog.Logger
	// look tells one such address, if there is one.
	look func() (netip.Addr, error)
	why  func() error

	told atomic.Pointer[api.Warning]
}

func newForwarded(data *datapath.Datapath, log *slog.Logger) *forwarded {
	return &forwarded{log: log, look: data.Forwarded, why: data.WhyNoConntrack}
}

// run looks at each tick until it has found something.
func (f *forwarded) run(ctx context.Context, tick <-chan time.Time) {
	for failing := false; ; {
		at, err := f.look()
		if err != nil && !failing {
			f.log.Warn("cannot see whether this host passes connections on", "error", err)
		}
		failing = err != nil
		if at.IsValid() {
			w := api.Warning{Code: api.WarnForwarded, Text: fmt.Sprintf("this host passes on connections to %s (DNAT), and a handover breaks them: %v", at, f.why())}
			f.told.Store(&w)
			f.log.Warn(w.Text)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
	}
}

// watch runs where it has to.
func (f *forwarded) watch(ctx context.Context, data *datapath.Datapath) {
	if data.AsksConntrack() {
		return
	}
	tick := time.NewTicker(forwardedEvery)
	defer tick.Stop()
	f.run(ctx, tick.C)
}
