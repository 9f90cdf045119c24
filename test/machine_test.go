package test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/lab"
	"github.com/rota-cluster/rota/internal/lab/probe"
	"github.com/rota-cluster/rota/internal/lab/segment"
)

// machine is one host on a segment with a client, on which tests configure and
// run rota themselves, and where nothing may ever bind a shared address to
// another MAC than a cluster's. It has eth0 on the segment and eth1, whose other end is
// eth1-far of the same host.
type machine struct {
	lab    *lab.Lab
	host   *segment.Host
	client *probe.Client
	dir    string // readable by everybody

	bindings *probe.Bindings
	macs     []net.HardwareAddr // of the clusters that daemons were started for
}

// otherShared is an address that only some configurations share.
var otherShared = netip.MustParseAddr("192.0.2.99")

const (
	first  = "eth0"
	second = "eth1"
)

// newMachine makes one. Its test runs beside those of other machines: they
// share nothing, and mostly wait.
func newMachine(t *testing.T) *machine {
	t.Helper()
	t.Parallel()
	l, err := lab.New(lab.Options{Nodes: 1, Idle: true, Binary: binary})
	must(t, err)
	must(t, l.Start(soon(t)))
	t.Cleanup(func() { must(t, l.Close()) })
	m := &machine{lab: l, host: l.Node(0).Host(), client: l.Client()}
	m.bindings, err = probe.OpenBindings(l.Segment(), append(l.Shared(), otherShared))
	must(t, err)
	listener := probe.Start(context.Background(), func(ctx context.Context) (struct{}, error) { return struct{}{}, m.bindings.Run(ctx) })
	t.Cleanup(func() {
		must(t, m.bindings.Check(m.macs...))
		_, err := listener.Stop()
		must(t, err)
	})
	m.dir, err = os.MkdirTemp("", "rota")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(m.dir)) })
	must(t, os.Chmod(m.dir, 0o755))
	m.write(t, "key", order(t, "key", "generate"), 0o600)
	// On the interfaces to come an address is usable at once.
	m.do(t, func() error { return os.WriteFile("/proc/sys/net/ipv6/conf/default/dad_transmits", []byte("0"), 0) })
	m.addInterface(t, second)
	return m
}

// addInterface makes another interface, up, with its other end in the same host.
func (m *machine) addInterface(t *testing.T, name string) {
	t.Helper()
	m.do(t, func() error {
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "-far"}); err != nil {
			return err
		}
		return setLink(name+"-far", netlink.LinkSetUp)
	})
	m.setUp(t, name)
}

// setUp sets an interface up and waits until its addresses are tried, after
// which nothing changes by itself any more.
func (m *machine) setUp(t *testing.T, name string) {
	t.Helper()
	m.do(t, func() error { return setLink(name, netlink.LinkSetUp) })
	waitFor(t, "an IPv6 address of its own", func() (has bool) {
		m.do(t, func() error {
			l, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			own, err := netlink.AddrList(l, netlink.FAMILY_V6)
			has = len(own) > 0
			return err
		})
		return has
	})
	tried(t, m.host)
}

// tried waits until the kernel has tried all of a host's IPv6 addresses.
func tried(t *testing.T, h *segment.Host) {
	t.Helper()
	waitFor(t, "addresses that have been tried", func() (all bool) {
		must(t, h.Run(func() error {
			addresses, err := netlink.AddrList(nil, netlink.FAMILY_V6)
			all = !slices.ContainsFunc(addresses, func(a netlink.Addr) bool { return a.Flags&unix.IFA_F_TENTATIVE != 0 })
			return err
		}))
		return all
	})
}

// do runs f inside the host.
func (m *machine) do(t *testing.T, f func() error) {
	t.Helper()
	must(t, m.host.Run(f))
}

// undo runs f inside the host when the test ends.
func (m *machine) undo(t *testing.T, f func() error) {
	t.Helper()
	t.Cleanup(func() { m.do(t, f) })
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

func (m *machine) write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	must(t, os.WriteFile(m.path(name), []byte(text), mode))
	must(t, os.Chmod(m.path(name), mode))
}

// settings of a daemon, in the configuration's own words; what is empty is left out.
type settings struct {
	cluster, iface, key, socket, datapath, interval, lease, mac string

	addresses []string
	more      []string // lines
}

// usual settings of the machine.
func (m *machine) usual() settings {
	return settings{
		cluster: m.lab.Name(), iface: first, key: m.path("key"), socket: m.path("rota.sock"),
		addresses: []string{lab.Shared4.String(), lab.Shared6.String()},
	}
}

func (s settings) text(state string) string {
	var b strings.Builder
	line := func(format, value string) {
		if value != "" {
			fmt.Fprintf(&b, format+"\n", value)
		}
	}
	line("cluster: %s", s.cluster)
	line("node: {name: %s}", "node-a")
	line("interface: %s", s.iface)
	line("key_file: %s", s.key)
	line("datapath: %s", s.datapath)
	line("api: {socket: %s}", s.socket)
	line("state_dir: %s", state)
	if s.interval+s.lease != "" {
		line("%s", "heartbeat:")
		line("  interval: %s", s.interval)
		line("  lease: %s", s.lease)
	}
	line("%s", "pools:\n  - name: web")
	line("    addresses: [%s]", `"`+strings.Join(s.addresses, `", "`)+`"`)
	line("    mac: %s", s.mac)
	for _, l := range s.more {
		line("%s", l)
	}
	return b.String()
}

// configure writes the settings and tells the file's name.
func (m *machine) configure(t *testing.T, name string, s settings) string {
	t.Helper()
	m.write(t, name, s.text(m.path("state")), 0o644)
	return m.path(name)
}

// attempt runs a command inside the host to its end. confine, if there is one,
// prepares the thread that starts it, and attr the process.
func (m *machine) attempt(t *testing.T, confine func() error, attr *syscall.SysProcAttr, args ...string) outcome {
	t.Helper()
	cmd := exec.CommandContext(soon(t), binary, args...)
	cmd.SysProcAttr = attr
	return finish(t, cmd, func(cmd *exec.Cmd) error {
		return m.host.Run(func() error {
			if confine != nil {
				if err := confine(); err != nil {
					return err
				}
			}
			return cmd.Run()
		})
	})
}

// running is a daemon that a test has started.
type running struct {
	t      *testing.T
	cmd    *exec.Cmd
	log    string // file
	socket string
	ended  chan struct{}
}

// start starts the daemon in the host and does not wait for anything.
func (m *machine) start(t *testing.T, s settings) *running {
	t.Helper()
	file := m.configure(t, "rota.yaml", s)
	c, err := config.Load(file)
	must(t, err)
	m.macs = append(m.macs, c.Pools[0].ClusterMAC(c.Cluster))
	log, err := os.CreateTemp(m.dir, "log")
	must(t, err)
	defer log.Close() // the child has its own
	r := &running{t: t, cmd: exec.Command(binary, "run", "--config", file), log: log.Name(), socket: s.socket, ended: make(chan struct{})}
	r.cmd.Stdout, r.cmd.Stderr = log, log
	must(t, m.host.Start(r.cmd))
	go func() {
		_ = r.cmd.Wait() // its ProcessState tells
		close(r.ended)
	}()
	t.Cleanup(func() {
		if !r.over() {
			_ = r.cmd.Process.Kill()
			<-r.ended
		}
	})
	return r
}

func (r *running) over() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// status of the daemon; nil while it does not answer.
func (r *running) status() *api.Status {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s, err := api.NewClient(r.socket).Status(ctx)
	if err != nil {
		return nil
	}
	return s
}

// serving waits until the daemon serves alone.
func (r *running) serving() *running {
	r.t.Helper()
	waitFor(r.t, "a daemon that serves", func() bool {
		if r.over() {
			r.t.Fatalf("the daemon ended, %s:\n%s", r.cmd.ProcessState, r.output())
		}
		s := r.status()
		return s != nil && s.State == api.Serving && s.View.Agreed
	})
	return r
}

// output is what the daemon has said.
func (r *running) output() string {
	r.t.Helper()
	text, err := os.ReadFile(r.log)
	must(r.t, err)
	return string(text)
}

// end sends a signal and waits for the daemon's end.
func (r *running) end(s syscall.Signal) outcome {
	r.t.Helper()
	must(r.t, r.cmd.Process.Signal(s))
	return r.wait()
}

// wait for the daemon to end by itself.
func (r *running) wait() outcome {
	r.t.Helper()
	waitFor(r.t, "the end of the daemon", r.over)
	return outcome{code: r.cmd.ProcessState.ExitCode(), stderr: r.output()}
}

// stop ends the daemon as an operator does; it must succeed.
func (r *running) stop() {
	r.t.Helper()
	if o := r.end(syscall.SIGTERM); o.code != 0 {
		r.t.Fatalf("exit %d after SIGTERM:\n%s", o.code, o.stderr)
	}
}

func setLink(name string, set func(netlink.Link) error) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return set(l)
}

func addAddress(name, prefix string) error {
	a, err := netlink.ParseAddr(prefix)
	if err != nil {
		return err
	}
	if a.IP.To4() == nil {
		a.Flags = unix.IFA_F_NODAD
	}
	return setLink(name, func(l netlink.Link) error { return netlink.AddrAdd(l, a) })
}

func deleteAddress(name, prefix string) error {
	a, err := netlink.ParseAddr(prefix)
	if err != nil {
		return err
	}
	return setLink(name, func(l netlink.Link) error { return netlink.AddrDel(l, a) })
}
