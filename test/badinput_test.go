package test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/lab"
)

// refusal is a start of the daemon that must fail.
type refusal struct {
	what    string
	change  func(*settings)
	prepare func(*testing.T, *machine, *settings) // what is wrong with the host; undone by t.Cleanup
	confine func() error                          // what the process may not
	attr    *syscall.SysProcAttr
	code    int
	says    []string // all of these, in one line
}

// TestWhatTheHostDoesNotAllow: one line that says what to do, exit code 1, and
// a host as it was.
func TestWhatTheHostDoesNotAllow(t *testing.T) {
	nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	rootless := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
	}
	m := newMachine(t)
	for _, r := range []refusal{
		{what: "not root", attr: nobody, says: []string{"as root"}},
		{what: "no right to BPF", confine: without(unix.CAP_BPF, unix.CAP_SYS_ADMIN), says: []string{"CAP_SYS_ADMIN"}},
		{what: "no right to find programs", confine: without(unix.CAP_SYS_ADMIN), says: []string{"CAP_SYS_ADMIN"}},
		{what: "no right to change interfaces", confine: without(unix.CAP_NET_ADMIN), says: []string{"CAP_NET_ADMIN"}},
		{what: "no right to packet sockets", confine: without(unix.CAP_NET_RAW), says: []string{"CAP_NET_RAW"}},
		{what: "a kernel without BPF", confine: refusing(unix.SYS_BPF, unix.ENOSYS), says: []string{"no BPF", "Linux 5.15", "CONFIG_BPF_SYSCALL"}},
		{what: "a filter that forbids BPF", confine: refusing(unix.SYS_BPF, unix.EPERM), says: []string{"may not use BPF", "seccomp"}},
		{what: "root of a user namespace only", attr: rootless, says: []string{"user namespace"}},

		{what: "no such interface", change: func(s *settings) { s.iface = "eth7" }, says: []string{"eth7", "no such interface", first, second}},
		{what: "an interface that is down", prepare: anotherDown, says: []string{"eth2 is down", "ip link set eth2 up"}},
		{what: "an interface that is not Ethernet", change: func(s *settings) { s.iface = "lo" }, says: []string{"lo", "not Ethernet"}},
		{what: "the port of a bridge", prepare: portOfBridge, says: []string{"eth1", "port of bridge", "br0"}},
		{what: "an MTU too small for IPv6", prepare: mtu(1200), says: []string{"MTU", "1280"}},
		{what: "an MTU too small for beats", change: only4, prepare: mtu(120), says: []string{"MTU", "too small"}},
		{what: "IPv6 switched off", prepare: sysctl("net/ipv6/conf/eth0/disable_ipv6", "1", "0"), change: other6, says: []string{"disable_ipv6"}},

		{what: "no key", change: func(s *settings) { s.key += "-none" }, says: []string{"key-none does not exist", "rota key generate"}},
		{what: "a key that others may read", prepare: key("open", "", 0o640), says: []string{"0640", "chmod 600"}},
		{what: "a key that is none", prepare: key("bad", "secret\n", 0o600), says: []string{"base64", "rota key generate"}},
		{what: "a key that is too short", prepare: key("short", "c2VjcmV0\n", 0o600), says: []string{"6 bytes", "rota key generate"}},
		{what: "a key that is empty", prepare: key("empty", "\n", 0o600), says: []string{"empty", "rota key generate"}},
		{what: "a key that is a folder", change: func(s *settings) { s.key = "/tmp" }, says: []string{"not a regular file"}},

		{what: "somebody else's program at XDP", prepare: foreignXDP, change: func(s *settings) { s.datapath = "xdp" },
			says: []string{"not rota's", "take it off", "datapath: tc"}},
		{what: "a shared address that is there", prepare: present(first, "192.0.2.10/24"),
			says: []string{"192.0.2.10", "not from rota", "ip addr del 192.0.2.10/24 dev eth0"}},
		{what: "a shared address elsewhere", prepare: present(second, "2001:db8::10/64"),
			says: []string{"2001:db8::10", "not from rota", "ip addr del 2001:db8::10/64 dev eth1"}},

		{what: "a socket that another daemon uses", prepare: daemonOn(second, "same.sock"),
			change: func(s *settings) { s.socket = strings.Replace(s.socket, "rota.sock", "same.sock", 1) },
			says:   []string{"same.sock", "in use by another rota", "api.socket"}},
		{what: "an interface that another daemon uses", prepare: daemonOn(first, "other.sock"),
			says: []string{first, "another rota runs on it", "process"}},
		{what: "a socket's place that is taken", prepare: file("file", ""), change: func(s *settings) { s.socket = strings.Replace(s.socket, "rota.sock", "file", 1) },
			says: []string{"no socket", "api.socket"}},
		{what: "a socket in a folder that cannot be", change: func(s *settings) { s.socket = "/proc/rota/rota.sock" }, says: []string{"/proc/rota"}},
	} {
		r.code = 1
		t.Run(r.what, func(t *testing.T) { m.refuse(t, r) })
	}
}

// TestWhatTheConfigurationSaysWrong: exit code 2, and the place.
func TestWhatTheConfigurationSaysWrong(t *testing.T) {
	m := newMachine(t)
	for _, r := range []refusal{
		{what: "an unknown key", change: more("hartbeat: {interval: 1s}"), says: []string{"hartbeat", "heartbeat"}},
		{what: "a wrong address", change: func(s *settings) { s.addresses = []string{"192.0.2.256"} },
			says: []string{"pools[0].addresses[0]", "192.0.2.256"}},
		{what: "a lease of less than three intervals", change: func(s *settings) { s.lease = "100ms" }, says: []string{"heartbeat.lease"}},
		{what: "a majority of an unknown number", change: more("quorum: majority"), says: []string{"expected_nodes"}},
		{what: "no cluster", change: func(s *settings) { s.cluster = "" }, says: []string{"cluster"}},
		{what: "a wrong way in", change: func(s *settings) { s.datapath = "ebpf" }, says: []string{"datapath", "auto", "xdp-generic"}},
		{what: "a MAC that is none", change: func(s *settings) { s.mac = "broadcast" }, says: []string{"mac", "multicast", "igmp", "unicast"}},
		{what: "no YAML", change: more("\tx: ["), says: nil},
		{what: "three errors at once", change: func(s *settings) { s.datapath, s.mac, s.lease = "x", "y", "z" }, says: []string{"2 more", "rota config validate"}},
	} {
		r.code = 2
		t.Run(r.what, func(t *testing.T) { m.refuse(t, r) })
	}
	t.Run("a file that never ends", func(t *testing.T) {
		fifo := m.path("fifo.yaml")
		must(t, unix.Mkfifo(fifo, 0o600))
		expectRefusal(t, m.attempt(t, nil, nil, "run", "--config", fifo), 2, []string{fifo, "not a regular file"})
	})
	t.Run("no file", func(t *testing.T) {
		o := m.attempt(t, nil, nil, "run", "--config", m.path("none.yaml"))
		expectRefusal(t, o, 2, []string{m.path("none.yaml")})
	})
	t.Run("arguments that make no sense", func(t *testing.T) {
		for _, args := range [][]string{{"run", "now"}, {"run", "--fast"}, {"run", "--log-level", "loud"}, {"rum"}, {"--socket"}} {
			expectRefusal(t, m.attempt(t, nil, nil, args...), 2, nil)
		}
	})
}

// refuse makes the attempt and judges it.
func (m *machine) refuse(t *testing.T, r refusal) {
	s := m.usual()
	if r.change != nil {
		r.change(&s)
	}
	if r.prepare != nil {
		r.prepare(t, m, &s)
	}
	config := m.configure(t, "refused.yaml", s)
	before := snap(t, m.host)
	o := m.attempt(t, r.confine, r.attr, "run", "--config", config)
	t.Log(strings.ReplaceAll(o.stderr, m.dir, "…"))
	expectRefusal(t, o, r.code, r.says)
	if place := regexp.MustCompile(`^` + regexp.QuoteMeta(config) + `:\d+:\d+: `); r.code == 2 && !place.MatchString(o.stderr) {
		t.Errorf("says %q, which does not begin with file:line:column", o.stderr)
	}
	expectUnchanged(t, m.host, before, "after a refusal")
	if _, err := os.Stat(s.socket); err == nil && r.prepare == nil {
		t.Errorf("%s is left", s.socket)
	}
}

func expectRefusal(t *testing.T, o outcome, code int, says []string) {
	t.Helper()
	line, isLine := strings.CutSuffix(o.stderr, "\n")
	if o.code != code || !isLine || line == "" || strings.Contains(line, "\n") || o.stdout != "" {
		t.Errorf("exit %d, want %d and one line of error; standard output %q, standard error:\n%s", o.code, code, o.stdout, o.stderr)
	}
	for _, word := range says {
		if !strings.Contains(line, word) {
			t.Errorf("says %q, without %q", line, word)
		}
	}
	for _, noise := range []string{"goroutine ", "panic", "%!", "operation not permitted; operation"} {
		if strings.Contains(o.stderr, noise) {
			t.Errorf("not for people: %s", o.stderr)
		}
	}
	if len(line) > 400 {
		t.Errorf("a line of %d characters: %s", len(line), line)
	}
}

// without takes capabilities from the calling thread's bounding set, and so
// from root's processes that it starts (capabilities(7)).
func without(capabilities ...uintptr) func() error {
	return func() error {
		for _, c := range capabilities {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
				return fmt.Errorf("drop capability %d: %w", c, err)
			}
		}
		return nil
	}
}

// refusing has a system call fail on the calling thread and in all that it starts
// (seccomp(2)): as on a kernel that was built without it, or in a container.
func refusing(call uint32, errno syscall.Errno) func() error {
	return func() error {
		filter := []unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0 /* seccomp_data.nr */},
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: call},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		}
		program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
	}
}

func only4(s *settings) { s.addresses = []string{lab.Shared4.String()} }

// other6 leaves IPv6 alone in the pool.
func other6(s *settings) { s.addresses = []string{lab.Shared6.String()} }

func more(lines ...string) func(*settings) {
	return func(s *settings) { s.more = lines }
}

func anotherDown(t *testing.T, m *machine, s *settings) {
	m.do(t, func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth2"}, PeerName: "eth2-far"})
	})
	m.undo(t, func() error { return setLink("eth2", netlink.LinkDel) })
	s.iface = "eth2"
}

func portOfBridge(t *testing.T, m *machine, s *settings) {
	m.do(t, func() error {
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}); err != nil {
			return err
		}
		return setLink("br0", func(bridge netlink.Link) error {
			return setLink(second, func(l netlink.Link) error { return netlink.LinkSetMaster(l, bridge) })
		})
	})
	m.undo(t, func() error { return setLink("br0", netlink.LinkDel) })
	s.iface = second
}

func mtu(bytes int) func(*testing.T, *machine, *settings) {
	return func(t *testing.T, m *machine, s *settings) {
		m.do(t, func() error {
			if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth2", MTU: bytes}, PeerName: "eth2-far"}); err != nil {
				return err
			}
			return setLink("eth2", netlink.LinkSetUp)
		})
		m.undo(t, func() error { return setLink("eth2", netlink.LinkDel) })
		s.iface = "eth2"
	}
}

// sysctl sets a value on a new interface eth2 in place of eth0.
func sysctl(path, value, _ string) func(*testing.T, *machine, *settings) {
	return func(t *testing.T, m *machine, s *settings) {
		mtu(1500)(t, m, s)
		path := "/proc/sys/" + strings.Replace(path, first, s.iface, 1)
		m.do(t, func() error { return os.WriteFile(path, []byte(value), 0) })
	}
}

func key(name, text string, mode os.FileMode) func(*testing.T, *machine, *settings) {
	return func(t *testing.T, m *machine, s *settings) {
		if text == "" {
			good, err := os.ReadFile(m.path("key"))
			must(t, err)
			text = string(good)
		}
		file(name, text)(t, m, s)
		must(t, os.Chmod(m.path(name), mode))
		s.key = m.path(name)
	}
}

func file(name, text string) func(*testing.T, *machine, *settings) {
	return func(t *testing.T, m *machine, _ *settings) {
		m.write(t, name, text, 0o644)
		t.Cleanup(func() { must(t, os.Remove(m.path(name))) })
	}
}

func present(iface, prefix string) func(*testing.T, *machine, *settings) {
	return func(t *testing.T, m *machine, _ *settings) {
		m.do(t, func() error { return addAddress(iface, prefix) })
		m.undo(t, func() error { return deleteAddress(iface, prefix) })
	}
}

func foreignXDP(t *testing.T, m *machine, _ *settings) {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "somebody", Type: ebpf.XDP, License: "MIT",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2 /* XDP_PASS */), asm.Return()},
	})
	must(t, err)
	defer program.Close()
	set := func(fd int) error {
		return setLink(first, func(l netlink.Link) error { return netlink.LinkSetXdpFd(l, fd) })
	}
	m.do(t, func() error { return set(program.FD()) })
	m.undo(t, func() error { return set(-1) })
}

// daemonOn runs another daemon on an interface, which must not notice.
func daemonOn(iface, socket string) func(*testing.T, *machine, *settings) {
	return func(t *testing.T, m *machine, _ *settings) {
		s := m.usual()
		s.cluster += "-other"
		s.iface, s.socket = iface, m.path(socket)
		s.addresses = []string{otherShared.String()}
		if iface == first {
			s.cluster, s.addresses = m.usual().cluster, m.usual().addresses
		}
		other := m.start(t, s).serving()
		view := other.status().View.ID
		t.Cleanup(func() {
			if now := other.serving().status(); now.View.ID != view {
				t.Errorf("the other daemon's view was %s, is %s", view, now.View.ID)
			}
			other.stop()
		})
	}
}
