package datapath

import (
	"fmt"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/netcfg"
)

// A daemon with other options begins to replace what an earlier one left, and
// dies on the way, at every step.
func TestAttachThatWasCutShortIsCompletedOrRemoved(t *testing.T) {
	steps := []func(a *Attachment, before []standing) error{
		func(a *Attachment, before []standing) error {
			return a.tc.put(a.service.Index, atIngress, a.programs.TC, named(on(a.service.Index, before), atIngress, NameTC, NameAdopt))
		},
		func(a *Attachment, before []standing) error {
			return a.tc.put(a.service.Index, atEgress, a.programs.Announce, named(on(a.service.Index, before), atEgress, NameAnnounce))
		},
		func(a *Attachment, before []standing) error { return a.startGuards(before) },
		func(a *Attachment, _ []standing) error { return a.enter(ModeGeneric) },
	}
	for cut := range len(steps) + 1 {
		for _, earlier := range []bool{true, false} {
			for _, remove := range []bool{true, false} {
				t.Run(fmt.Sprintf("after %d steps, replacing %v, removed %v", cut, earlier, remove), func(t *testing.T) {
					h, _ := segment(t)
					secondSegment(t, h, "second0")
					if earlier {
						h.attach(config.DatapathXDP, false)
					}
					dead := &host{Space: h.Space, t: t, link: h.link, reception: unicastReception}
					dead.Do(dead.adopt)
					dead.Do(func() error {
						all, err := surveyNamespace()
						if err != nil {
							return err
						}
						a := &Attachment{service: dead.link, datapath: dead.datapath, programs: dead.datapath.Programs()}
						defer func() { _ = a.Close() }() // as its end does, what stands by a link goes
						if err := a.prepareBehind(); err != nil {
							return err
						}
						for _, step := range steps[:cut] {
							if err := step(a, ownedBy(dead.link.Index, all)); err != nil {
								return err
							}
						}
						return nil
					})
					var want []string
					if !remove {
						h.attach(config.DatapathTC, false)
						want = append(slices.Clone(ways[4].stand), "second0 tc egress rota_guard tcx")
					} else {
						h.Do(func() error { return Remove(h.link) })
					}
					if got := h.standing(); !slices.Equal(got, want) {
						t.Errorf("there stand %q, want %q", got, want)
					}
				})
			}
		}
	}
}

func TestServicesAboveEachOtherLeaveEachOtherAlone(t *testing.T) {
	h, _ := segment(t)
	upper := &host{Space: h.Space, t: t, reception: unicastReception}
	h.Do(func() error {
		below, err := netlink.LinkByName("node0")
		if err != nil {
			return err
		}
		if err := netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: netlink.LinkAttrs{Name: "upper0", ParentIndex: below.Attrs().Index}, Mode: netlink.MACVLAN_MODE_BRIDGE}); err != nil {
			return err
		}
		upper.link, err = netcfg.LinkByName("upper0")
		return err
	})
	h.attach(config.DatapathTC, false)
	alone := h.standing()
	upper.attach(config.DatapathTC, false)
	both := h.standing()
	want := []string{
		"node0 tc egress rota_announce tcx", "node0 tc egress rota_announce tcx", "node0 tc ingress rota_tc tcx",
		"upper0 tc egress rota_announce tcx", "upper0 tc egress rota_guard tcx", "upper0 tc ingress rota_tc tcx",
	}
	if !slices.Equal(both, want) {
		t.Errorf("there stand %q, want %q", both, want)
	}
	for range 2 { // each starts anew
		h.attach(config.DatapathTC, false)
		upper.attach(config.DatapathTC, false)
		if got := h.standing(); !slices.Equal(got, both) {
			t.Errorf("after a restart there stand %q, want %q", got, both)
		}
	}
	upper.Do(func() error { return Remove(upper.link) })
	if got := h.standing(); !slices.Equal(got, alone) {
		t.Errorf("after one left there stand %q, want %q", got, alone)
	}
	h.Do(func() error { return Remove(h.link) })
	if got := h.standing(); len(got) > 0 {
		t.Errorf("left behind: %q", got)
	}
}
