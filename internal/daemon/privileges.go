package daemon

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// needed are the capabilities without which the daemon cannot do its work, or
// could not undo it. BPF programs of an earlier start, and its own, are found
// by number, for which CAP_BPF is not enough (kernel/bpf/syscall.c,
// bpf_prog_get_fd_by_id).
var needed = []struct {
	bit  int // linux/capability.h
	name string
}{
	{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}, // holds CAP_BPF and CAP_PERFMON too
	{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"},
	{unix.CAP_NET_RAW, "CAP_NET_RAW"},
}

// initialUserNamespace is the inode of the host's own user namespace
// (linux/nsfs.h, USER_NS_INIT_INO).
const initialUserNamespace = 0xEFFFFFFD

// checkPrivileges refuses to begin what could not be finished or undone.
func checkPrivileges() error {
	if os.Geteuid() != 0 {
		return errors.New("rota changes network interfaces and loads BPF programs: run it as root")
	}
	var here unix.Stat_t
	if unix.Stat("/proc/self/ns/user", &here) == nil && here.Ino != initialUserNamespace {
		return errors.New("this is root of a user namespace only (a rootless container), for which the kernel loads no BPF programs: run rota as root of the host")
	}
	var held [2]unix.CapUserData // 32 capabilities each
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &held[0]); err != nil {
		return fmt.Errorf("ask for this process's capabilities: %w", err)
	}
	var missing []string
	for _, c := range needed {
		if held[c.bit/32].Effective&(1<<(c.bit%32)) == 0 {
			missing = append(missing, c.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("root without %s cannot attach BPF programs and take them off again: allow it (systemd: CapabilityBoundingSet, containers: cap-add)",
			strings.Join(missing, " and "))
	}
	return checkBPF()
}

// checkBPF asks for a command of bpf(2) that there is not: EINVAL, where there is BPF.
func checkBPF() error {
	switch _, _, errno := unix.Syscall(unix.SYS_BPF, ^uintptr(0), 0, 0); errno {
	case unix.ENOSYS:
		return errors.New("this kernel has no BPF: rota needs Linux 5.15 or newer with CONFIG_BPF_SYSCALL")
	case unix.EPERM, unix.EACCES:
		return errors.New("this process may not use BPF, though it is root: allow bpf(2) in the seccomp filter (systemd: SystemCallFilter, containers: security-opt) or security module that forbids it")
	}
	return nil
}
