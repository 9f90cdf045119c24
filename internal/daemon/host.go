package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/datapath"
	"github.com/rota-cluster/rota/internal/netcfg"
)

// host is what the daemon has set up on this host.
type host struct {
	// setting is held by who changes what is set up here, or puts it back.
	setting sync.Mutex

	now        atomic.Pointer[picture]
	link       netcfg.Link
	frames     *netcfg.FrameCounter // of link
	data       *datapath.Datapath
	attachment *datapath.Attachment
	warnings   []string                 // of the preflight
	foreign    atomic.Pointer[[]string] // shared addresses that somebody else has added too, by the keeper; nil: it has not looked
	source     atomic.Pointer[string]   // that a shared address is the source of what this host opens, by the keeper; nil or "": it is not
}

// setUp brings the datapath, the reception of the cluster's MAC and the shared
// addresses up, in the order in which no moment is unfiltered or announces the
// node's own MAC. What an earlier start left is taken over or removed. If it
// fails, nothing is left. If carry is set, what is there stays in force, or else
// errors.Is(err, datapath.ErrIncompatible).
func setUp(cfg *config.Config, secret []byte, link netcfg.Link, carry bool, log *slog.Logger) (*host, error) {
	h := &host{link: link}
	first := newPicture(cfg, secret)
	h.now.Store(first)
	options := first.options()
	if err := cleanAbandoned(link, options, log); err != nil {
		return nil, err
	}
	var err error
	if h.warnings, err = netcfg.Preflight(link, h.addresses()); err != nil {
		return nil, err
	}
	var found datapath.Found
	if carry {
		h.data, err = datapath.CarryOn(options, link)
	} else {
		h.data, found, err = datapath.Adopt(options, link)
	}
	if err != nil {
		return nil, err
	}
	if found.Filters > 0 {
		log.Info("found what an earlier start left", "filters", found.Filters, "reused", found.Reused)
	}
	if err := h.install(found); err != nil {
		return nil, errors.Join(err, h.tearDown())
	}
	return h, nil
}

// cleanAbandoned takes away what a daemon left on other interfaces when it
// crashed, before its configuration named this one.
func cleanAbandoned(link netcfg.Link, options datapath.Options, log *slog.Logger) error {
	links, err := datapath.Abandoned(link)
	if err != nil {
		return fmt.Errorf("look for what an earlier start left on other interfaces: %w", err)
	}
	for _, l := range links {
		log.Info("takes away what an earlier start left on another interface", "interface", l.Name)
		if err := clean(l, options); err != nil {
			return fmt.Errorf("interface %s: %w", l.Name, err)
		}
	}
	return nil
}

// clean takes everything of rota's off an interface on which no daemon runs.
func clean(l netcfg.Link, options datapath.Options) error {
	// Adopting tells what the programs were loaded for; only they know the MACs.
	data, found, err := datapath.Adopt(options, l)
	if err != nil {
		return err
	}
	errs := []error{data.Close()}
	for _, a := range slices.Concat(found.Addresses, l.Shared) {
		errs = append(errs, removeOwn(l, a))
	}
	errs = append(errs, datapath.Remove(l))
	for _, m := range found.MACs {
		errs = append(errs, netcfg.StopReceiving(l, m))
	}
	return errors.Join(errs...)
}

// removeOwn removes an address that an earlier start added. One that somebody
// else has added since is not ours to touch.
func removeOwn(l netcfg.Link, a netip.Addr) error {
	if err := netcfg.RemoveAddress(l, a); !errors.Is(err, netcfg.ErrForeignAddress) {
		return err
	}
	return nil
}

func (h *host) install(found datapath.Found) error {
	if err := h.dropUnwanted(found); err != nil {
		return err
	}
	var err error
	if h.attachment, err = h.data.Attach(h.link, h.cfg().Datapath); err != nil {
		return err
	}
	for _, p := range h.cfg().Pools {
		if err := netcfg.Receive(h.link, netcfg.Reception{MAC: p.ClusterMAC(h.cfg().Cluster), Group: p.Group(h.cfg().Cluster)}); err != nil {
			return fmt.Errorf("pool %s: %w", p.Name, err)
		}
		for _, a := range p.Addresses {
			if err := netcfg.AddAddress(h.link, a); err != nil {
				return fmt.Errorf("pool %s: %w", p.Name, err)
			}
			if err := netcfg.Announce(h.link, a, p.ClusterMAC(h.cfg().Cluster)); err != nil {
				return fmt.Errorf("pool %s: announce %s: %w", p.Name, a, err)
			}
		}
	}
	return nil
}

// dropUnwanted removes addresses and MACs of an earlier start that this
// configuration does not have, before the programs that know them are replaced.
func (h *host) dropUnwanted(found datapath.Found) error {
	wanted := h.addresses()
	for _, a := range slices.Concat(found.Addresses, h.link.Shared) {
		if slices.Contains(wanted, a) {
			continue
		}
		if err := removeOwn(h.link, a); err != nil {
			return fmt.Errorf("address of an earlier start: %w", err)
		}
	}
	macs := h.macs()
	for _, m := range found.MACs {
		if slices.ContainsFunc(macs, func(w net.HardwareAddr) bool { return slices.Equal(w, m) }) {
			continue
		}
		if err := netcfg.StopReceiving(h.link, m); err != nil {
			return fmt.Errorf("MAC of an earlier start: %w", err)
		}
	}
	return nil
}

// addresses are all shared ones, pool by pool.
func (h *host) addresses() []netip.Addr { return addressesOf(h.cfg()) }

func (h *host) macs() []net.HardwareAddr { return macsOf(h.cfg()) }

func macsOf(cfg *config.Config) []net.HardwareAddr {
	var all []net.HardwareAddr
	for _, p := range cfg.Pools {
		m := p.ClusterMAC(cfg.Cluster)
		if !slices.ContainsFunc(all, func(o net.HardwareAddr) bool { return slices.Equal(o, m) }) {
			all = append(all, m)
		}
	}
	return all
}

// leaveAll leaves everything as it is.
func (h *host) leaveAll() error {
	var err error
	if h.attachment != nil {
		err = h.attachment.Close()
	}
	return errors.Join(err, h.data.Close())
}

// tearDown leaves the host as it was: addresses first, then the programs that
// kept them silent, then the MAC. It goes on past what fails.
func (h *host) tearDown() error {
	h.data.Expire()
	var errs []error
	link, err := netcfg.LinkByIndex(h.link.Index)
	if err == nil {
		h.link = link // it may have another name by now
	}
	for _, a := range h.addresses() {
		errs = append(errs, removeOwn(h.link, a))
	}
	if h.attachment != nil {
		errs = append(errs, h.attachment.Close())
	}
	errs = append(errs, datapath.Remove(h.link))
	for _, m := range h.macs() {
		if errors.Is(err, netcfg.ErrNoInterface) {
			break // its list has gone with it
		}
		errs = append(errs, netcfg.StopReceiving(h.link, m))
	}
	errs = append(errs, h.data.Close())
	return errors.Join(errs...)
}
