package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/netcfg"
)

// keepAddresses puts a shared address back that somebody else removes, or that
// the kernel drops with the link (it does so with IPv6), until ctx is done. The
// programs outlive that, so there is no moment unfiltered.
func (h *host) keepAddresses(ctx context.Context, log *slog.Logger) error {
	watcher, err := netcfg.NewWatcher()
	if err != nil {
		return err
	}
	err = watcher.Run(ctx, func(c netcfg.Change) {
		lost := c.Kind == netcfg.AddressGone && slices.Contains(h.addresses(), c.Address.Addr())
		up := c.Kind == netcfg.LinkChanged && c.Index == h.link.Index && c.Up
		if !lost && !up && c.Kind != netcfg.Missed {
			return
		}
		if err := h.restoreAddresses(log); err != nil {
			log.Error("cannot put back what is missing", "error", err)
		}
	})
	return errors.Join(err, watcher.Close())
}

// restoreAddresses adds what is missing, if the link is up: a later change
// brings it here again if it is not.
func (h *host) restoreAddresses(log *slog.Logger) error {
	link, err := netcfg.LinkByIndex(h.link.Index)
	if errors.Is(err, netcfg.ErrNoInterface) {
		return nil // told and ended elsewhere
	}
	if err != nil || !link.Up {
		return err
	}
	var errs []error
	for _, p := range h.cfg.Pools {
		for _, a := range p.Addresses {
			if !slices.Contains(link.Shared, a) {
				errs = append(errs, h.restoreAddress(link, p, a, log))
			}
		}
	}
	return errors.Join(errs...)
}

func (h *host) restoreAddress(link netcfg.Link, p config.Pool, a netip.Addr, log *slog.Logger) error {
	if err := netcfg.AddAddress(link, a); err != nil {
		return fmt.Errorf("pool %s: %w", p.Name, err)
	}
	log.Warn("a shared address was missing: put back", "pool", p.Name, "address", a.String(), "interface", link.Name)
	if err := netcfg.Announce(link, a, p.ClusterMAC(h.cfg.Cluster)); err != nil {
		return fmt.Errorf("pool %s: announce %s: %w", p.Name, a, err)
	}
	return nil
}
