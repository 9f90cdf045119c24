package datapath

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

// missing asks what is missing.
func (h *host) missing() (names []string) {
	h.t.Helper()
	h.Do(func() (err error) {
		names, err = h.attached.Missing()
		return err
	})
	return names
}

func (h *host) covered() (yes bool) {
	h.t.Helper()
	h.Do(func() error { yes = h.attached.Covered(); return nil })
	return yes
}

// takeOff detaches those of rota's programs that fit, as somebody else's tool does.
func (h *host) takeOff(fits func(standing) bool) {
	h.t.Helper()
	h.Do(func() error {
		all, err := surveyNamespace()
		if err != nil {
			return err
		}
		return detachAll(slices.DeleteFunc(all, func(s standing) bool { return !fits(s) }))
	})
}

// TestWhatIsTakenOffIsPutBack: each program alone, all at once, and the qdisc
// that holds them. Connections live through it, and no message names another MAC.
func TestWhatIsTakenOffIsPutBack(t *testing.T) {
	for i, way := range ways {
		if way.wish == config.DatapathAuto {
			continue // one of the others
		}
		t.Run(wayName(i), func(t *testing.T) {
			h, client := segment(t)
			second := secondSegment(t, h, "second0")
			h.attach(way.wish, way.clsact)
			h.share()
			h.own()
			h.echo()
			complete := h.standing()
			wire, elsewhere := client.Capture("client0"), second.Capture("other0")
			conn, err := connect(client, shared4, netnstest.Patience)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for _, loss := range []struct {
				what, said string
				lose       func()
			}{
				{"the program at tc ingress", "the program at tc ingress of node0", func() { h.takeOff(func(s standing) bool { return s.place == atIngress }) }},
				{"the announcer", "the program at tc egress of node0", func() { h.takeOff(func(s standing) bool { return s.name == NameAnnounce }) }},
				{"the guard", "the guard of second0", func() { h.takeOff(func(s standing) bool { return s.name == NameGuard }) }},
				{"the program at XDP", "the program at XDP of node0", func() { h.takeOff(func(s standing) bool { return s.place == atXDP }) }},
				{"all of them", "the guard of second0", func() { h.takeOff(func(standing) bool { return true }) }},
				{"the qdisc", "the program at tc egress of node0", func() {
					h.Do(func() error { return netlink.QdiscDel(clsact(h.link.Index)) })
				}},
			} {
				if loss.what == "the program at XDP" && way.mode == ModeTC || loss.what == "the qdisc" && !way.clsact {
					continue
				}
				loss.lose()
				if got := h.missing(); !slices.Contains(got, loss.said) {
					t.Errorf("%s: missing are %q", loss.what, got)
				}
				if !way.clsact && way.mode == ModeTC {
					// What stands behind goes on: nothing is lost, and nothing announced.
					talk(t, h, client, shared4)
					talk(t, h, client, shared6)
				}
				if !way.clsact {
					provoke(t, h, "second0", second, second.Capture("other0"))
					if leaks := wrong(elsewhere.Frames(), nil); !way.clsact && len(leaks) > 0 {
						t.Errorf("said on another interface: %v", leaks)
					}
				}
				h.Do(h.attached.Mend)
				if got := h.standing(); !slices.Equal(got, complete) {
					t.Errorf("%s: there stand %q, before it were %q", loss.what, got, complete)
				}
				if got := h.missing(); len(got) > 0 {
					t.Errorf("%s: still missing %q", loss.what, got)
				}
				if err := exchange(conn); err != nil {
					t.Errorf("%s: a connection that was open: %v", loss.what, err)
				}
				talk(t, h, client, shared6)
			}
			if leaks := wrong(wire.Frames(), h.reception.MAC); len(leaks) > 0 {
				t.Errorf("bound to another MAC: %v", leaks)
			}
			provoke(t, h, "second0", second, second.Capture("other0"))
			h.leave()
			if left := h.standing(); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestCovered: whether something still judges and rewrites, so that the shared
// addresses may stay.
func TestCovered(t *testing.T) {
	for _, row := range []struct {
		what        string
		wish        config.Datapath
		clsact      bool
		off         func(standing) bool
		want        bool
		thenUnheard bool // and indeed a client that is not accepted gets no answer
	}{
		{"nothing is missing", config.DatapathTC, false, func(standing) bool { return false }, true, true},
		{"all at tc, where links stand behind", config.DatapathTC, false, func(standing) bool { return true }, true, true},
		{"XDP alone", config.DatapathXDP, false, func(s standing) bool { return s.place == atXDP }, true, true},
		{"XDP and what stands behind it", config.DatapathXDP, false, func(s standing) bool { return s.filters() }, false, false},
		{"the filter, by clsact", config.DatapathTC, true, func(s standing) bool { return s.place == atIngress }, false, false},
		{"the announcer, by clsact", config.DatapathXDP, true, func(s standing) bool { return s.place == atEgress }, false, false},
		{"the adopter, by clsact, behind XDP", config.DatapathXDP, true, func(s standing) bool { return s.place == atIngress }, true, true},
	} {
		t.Run(row.what, func(t *testing.T) {
			h, client := segment(t)
			h.attach(row.wish, row.clsact)
			h.share()
			h.echo() // and no bucket is this node's
			h.takeOff(row.off)
			if got := h.covered(); got != row.want {
				t.Errorf("covered: %v", got)
			}
			if row.thenUnheard {
				if conn, err := connect(client, shared4, 100*time.Millisecond); err == nil {
					_ = conn.Close()
					t.Error("a client was answered")
				}
				if pingWithin(client, shared4, 100*time.Millisecond) == nil {
					t.Error("a ping was answered")
				}
			}
			h.leave()
		})
	}
}

// TestWhatStandsBehindEndsWithTheAttachment, and not before.
func TestWhatStandsBehindEndsWithTheAttachment(t *testing.T) {
	h, _ := segment(t)
	before := h.tcState()
	h.attach(config.DatapathTC, false)
	h.takeOff(func(standing) bool { return true })
	if after := h.tcState(); after == before {
		t.Error("nothing stands behind")
	}
	if err := h.attached.Close(); err != nil {
		t.Fatal(err)
	}
	if after := h.tcState(); after != before {
		t.Errorf("left behind:\n%s", after)
	}
}

// TestAnotherXDPProgramInOurPlace: auto gives way to it, an explicit wish says what to do.
func TestAnotherXDPProgramInOurPlace(t *testing.T) {
	h, _ := segment(t)
	h.attach(config.DatapathXDP, false)
	p := stranger(t, ebpf.XDP)
	h.Do(func() error {
		l, err := netlink.LinkByName("node0")
		if err != nil {
			return err
		}
		return netlink.LinkSetXdpFdWithFlags(l, p.FD(), xdpNative)
	})
	err := h.Try(h.attached.Mend)
	if err == nil || !strings.Contains(err.Error(), `"stranger"`) {
		t.Errorf("with datapath xdp: %v", err)
	}
	if !h.covered() {
		t.Error("what stands behind XDP does not count")
	}
	h.attached.wish = config.DatapathAuto
	h.Do(h.attached.Mend)
	if h.attached.Mode() != ModeTC || len(h.missing()) > 0 {
		t.Errorf("with datapath auto: %s, missing %q", h.attached.Mode(), h.missing())
	}
	h.leave()
}
