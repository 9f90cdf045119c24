package test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/lab/segment"
)

// snapshot is everything about a host's network that a daemon could change and
// that does not change by itself, a line each.
type snapshot []string

// snap takes a snapshot of the host.
func snap(t *testing.T, h *segment.Host) snapshot {
	t.Helper()
	waitFor(t, "IPv6 addresses that are local", func() (all bool) {
		must(t, h.Run(func() (err error) { all, err = addressesAreLocal(); return err }))
		return all
	})
	var s snapshot
	must(t, h.Run(func() error {
		for _, part := range []func() ([]string, error){
			links, addresses, routes, packetFilters, programs, received, sockets, sysctls,
		} {
			lines, err := part()
			if err != nil {
				return err
			}
			s = append(s, lines...)
		}
		return nil
	}))
	slices.Sort(s)
	return s
}

// addressesAreLocal: a moment after it gets an IPv6 address, the kernel makes
// the route by which it is local (addrconf_dad_work, net/ipv6/addrconf.c).
func addressesAreLocal() (bool, error) {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{Table: unix.RT_TABLE_LOCAL}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return false, err
	}
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_V6)
	return !slices.ContainsFunc(addresses, func(a netlink.Addr) bool {
		isLocal := slices.ContainsFunc(routes, func(r netlink.Route) bool { return r.Dst != nil && r.Dst.IP.Equal(a.IP) })
		return !isLocal && a.Flags&unix.IFA_F_TENTATIVE == 0
	}), err
}

// changes since an earlier snapshot: "+" what came, "-" what went.
func (s snapshot) changes(since snapshot) []string {
	var all []string
	for _, line := range s {
		if _, there := slices.BinarySearch(since, line); !there {
			all = append(all, "+ "+line)
		}
	}
	for _, line := range since {
		if _, there := slices.BinarySearch(s, line); !there {
			all = append(all, "- "+line)
		}
	}
	return all
}

// expectUnchanged fails if the host is not as it was.
func expectUnchanged(t *testing.T, h *segment.Host, before snapshot, after string) {
	t.Helper()
	if left := snap(t, h).changes(before); len(left) > 0 {
		t.Errorf("%s the host is not as it was:\n%s", after, strings.Join(left, "\n"))
	}
}

func links() ([]string, error) {
	all, err := netlink.LinkList()
	var lines []string
	for _, l := range all {
		a := l.Attrs()
		xdp := "none"
		if a.Xdp != nil && a.Xdp.Attached {
			xdp = fmt.Sprintf("program %d, mode %d", a.Xdp.ProgId, a.Xdp.AttachMode)
		}
		lines = append(lines, fmt.Sprintf("link %s %s flags %x promiscuity %d allmulti %d mtu %d master %d MAC %s XDP %s",
			a.Name, l.Type(), a.RawFlags, a.Promisc, a.Allmulti, a.MTU, a.MasterIndex, a.HardwareAddr, xdp))
	}
	return lines, err
}

// addresses without what the kernel itself changes: whether they were tried yet.
func addresses() ([]string, error) {
	all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	var lines []string
	for _, a := range all {
		lines = append(lines, fmt.Sprintf("address %s label %q scope %d flags %x on %d",
			a.IPNet, a.Label, a.Scope, a.Flags&^unix.IFA_F_TENTATIVE, a.LinkIndex))
	}
	return lines, err
}

func routes() ([]string, error) {
	all, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{}, netlink.RT_FILTER_TABLE)
	var lines []string
	for _, r := range all {
		lines = append(lines, fmt.Sprintf("route %s type %d via %s dev %d source %s table %d protocol %d scope %d priority %d",
			r.Dst, r.Type, r.Gw, r.LinkIndex, r.Src, r.Table, r.Protocol, r.Scope, r.Priority))
	}
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	rules, err := netlink.RuleList(netlink.FAMILY_ALL)
	for _, r := range rules {
		lines = append(lines, "rule "+r.String())
	}
	return lines, err
}

func packetFilters() ([]string, error) {
	out, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("nft list ruleset: %w: %s", err, out)
	}
	return []string{"nft " + strings.Join(strings.Fields(string(out)), " ")}, nil
}

// programs at tc, with their numbers. Those at XDP are told by links.
func programs() ([]string, error) {
	all, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, l := range all {
		index, name := l.Attrs().Index, l.Attrs().Name
		for place, at := range map[string]ebpf.AttachType{"ingress": ebpf.AttachTCXIngress, "egress": ebpf.AttachTCXEgress} {
			found, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: at})
			if err != nil && !errors.Is(err, link.ErrNotSupported) {
				return nil, fmt.Errorf("query TCX %s of %s: %w", place, name, err)
			}
			if err == nil {
				for _, p := range found.Programs {
					lines = append(lines, fmt.Sprintf("program %d at TCX %s of %s", p.ID, place, name))
				}
			}
		}
		qdiscs, err := netlink.QdiscList(l)
		if err != nil {
			return nil, fmt.Errorf("list qdiscs of %s: %w", name, err)
		}
		for _, q := range qdiscs {
			lines = append(lines, fmt.Sprintf("qdisc %s on %s", q.Type(), name))
		}
		for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
			filters, err := netlink.FilterList(l, parent)
			if err != nil {
				return nil, fmt.Errorf("list filters of %s: %w", name, err)
			}
			for _, f := range filters {
				lines = append(lines, fmt.Sprintf("filter %s at %x of %s", f, parent, name))
			}
		}
	}
	return lines, nil
}

// received are the MACs and groups that interfaces take in.
func received() ([]string, error) {
	lines, err := procLines("dev_mcast", "receives", func(f []string) string {
		return strings.Join(f[1:], " ") // name, users, global, MAC
	})
	if err != nil {
		return nil, err
	}
	more, err := procLines("igmp6", "IPv6 group", func(f []string) string { return strings.Join(f[1:4], " ") })
	if err != nil {
		return nil, err
	}
	lines = append(lines, more...)
	entries, err := netlink.NeighList(0, unix.AF_BRIDGE)
	for _, e := range entries {
		lines = append(lines, fmt.Sprintf("fdb %s on %d flags %x state %x", e.HardwareAddr, e.LinkIndex, e.Flags, e.State))
	}
	return lines, err
}

// sockets that outlive the one who looks: packet sockets, raw and datagram
// ones, listeners, and those with a name.
func sockets() ([]string, error) {
	var lines []string
	for file, describe := range map[string]func(f []string) string{
		"packet": func(f []string) string { return strings.Join(f[2:6], " ") },
		"raw":    func(f []string) string { return f[1] },
		"raw6":   func(f []string) string { return f[1] },
		"udp":    func(f []string) string { return f[1] },
		"udp6":   func(f []string) string { return f[1] },
		"tcp":    listening,
		"tcp6":   listening,
		"unix": func(f []string) string {
			if len(f) < 8 {
				return ""
			}
			return f[7]
		},
	} {
		found, err := procLines(file, "socket "+file, describe)
		if err != nil {
			return nil, err
		}
		lines = append(lines, found...)
	}
	return lines, nil
}

func listening(f []string) string {
	const tcpListen = "0A" // include/net/tcp_states.h
	if f[3] != tcpListen {
		return ""
	}
	return f[1]
}

// procLines reads a table of /proc/net of the calling thread's namespace; lines
// that are described by nothing are left out.
func procLines(file, what string, describe func(fields []string) string) ([]string, error) {
	text, err := os.ReadFile("/proc/thread-self/net/" + file)
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 4 || strings.HasPrefix(f[0], "sl") || f[0] == "Num" || f[0] == "sk" {
			continue
		}
		if d := describe(f); d != "" {
			lines = append(lines, what+" "+d)
		}
	}
	return lines, nil
}

// sysctls of the namespace. Those that cannot be read say nothing about it.
func sysctls() ([]string, error) {
	var lines []string
	for _, root := range []string{"/proc/sys/net/ipv4", "/proc/sys/net/ipv6"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if value, err := os.ReadFile(path); err == nil {
				lines = append(lines, fmt.Sprintf("sysctl %s = %s", path, strings.TrimSpace(string(value))))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return lines, nil
}
