package sign

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rota-cluster/rota/internal/health"
)

func TestKindOf(t *testing.T) {
	for text, want := range map[string]kernelKind{
		"I/O error, dev sda, sector 123456 op 0x0:(READ) flags 0x80700 phys_seg 4 prio class 2":               kindIOError,
		"print_req_error: critical medium error, dev nvme0n1, sector 8":                                       kindIOError,
		"blk_update_request: timeout error, dev sdb, sector 0":                                                kindIOError,
		"nvme nvme0: I/O tag 12 (100c) opcode 0x2 (I/O Cmd) QID 3 timeout, aborting req_op:READ(0) size:4096": kindIOError,
		"EXT4-fs error (device dm-0) in ext4_reserve_inode_write:5764: IO failure":                            kindFSError,
		"JBD2: Detected IO errors while flushing file data on sda1-8":                                         kindFSError,
		"JBD2: Error -5 detected when updating journal superblock for dm-0-8.":                                kindFSError,
		"Aborting journal on device dm-0-8.":                                                                  kindFSError,
		"XFS (sda1): Metadata corruption detected at xfs_agf_verify+0x10/0x20 [xfs], xfs_agf block 0x1":       kindFSError,
		`XFS (dm-1): metadata I/O error in "xfs_read_agi+0x8d/0x140" at daddr 0x2 len 1 error 5`:              kindFSError,
		"XFS (dm-1): Filesystem has been shut down due to log error (0x2).":                                   kindFSError,
		"BTRFS error (device sda1 state EA): bdev /dev/sda1 errs: wr 0, rd 1, flush 0, corrupt 0, gen 0":      kindFSError,
		"BTRFS: error (device sda1) in btrfs_commit_transaction:2418: errno=-5 IO failure":                    kindFSError,
		"F2FS-fs (sda1): inconsistent node block, nid:5, node_footer[nid:7,ino:3]":                            kindFSError,
		"INFO: task kworker/u8:2+flush-8:0:123 blocked for more than 120 seconds.":                            kindHungTask,
		"INFO: task dd:99 blocked in I/O wait for more than 122 seconds.":                                     kindHungTask,
		"NMI watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [dd:99]":                                       kindLockup,
		"watchdog: CPU3: Watchdog detected hard LOCKUP on cpu 3":                                              kindLockup,
		"rcu: INFO: rcu_sched self-detected stall on CPU":                                                     kindLockup,
		"{1}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 0":                      kindMachineCheck,
		"[Hardware Error]: Corrected error, no action required.":                                              kindMachineCheck,
		"mce: [Hardware Error]: CPU 1: Machine Check Exception: 5 Bank 6: be00000000800400":                   kindMachineCheck,
		"blk_update_request: I/O error, dev sr0, sector 0 op 0x0:(READ)":                                      kindNone,
		"EXT4-fs (sda1): mounted filesystem with ordered data mode":                                           kindNone,
	} {
		if got := kindOf(text); got != want {
			t.Errorf("%q is of kind %d, want %d", text, got, want)
		}
	}
}

// The kernel itself quotes names that any user can choose: of a process in front, and of files and control groups
// behind. None makes a record of it that counts.
func TestNamesAreNoRecords(t *testing.T) {
	texts := []string{
		"I/O error, dev sda, sector 1", "timeout error, dev sda, sector 1", "Buffer I/O error on dev sda", "nvme nvme0: controller is down",
		"EXT4-fs error (device sda1): x", "EXT4-fs (a): Remounting filesystem read-only", "JBD2: Error -5 detected", "JBD2: IO error 5 recovering",
		"JBD2: error", "Aborting journal on device sda", "XFS (a): Corruption", "XFS (a): I/O error", "BTRFS error (device sda): x", "BTRFS: error (device sda)",
		"F2FS-fs (a): inconsistent", "INFO: task a:1 blocked for more than 120 seconds", "watchdog: BUG: soft lockup - CPU#1",
		"soft lockup - CPU", "hard LOCKUP on cpu 1", "rcu: INFO: rcu_sched detected stalls", "[Hardware Error]: x", "mce: [Hardware Error]", "Machine check events logged",
	}
	for _, text := range texts {
		for split := range min(len(text), 15) + 1 { // TASK_COMM_LEN, with the 0 behind it
			process, file := text[:split], strings.ReplaceAll(text[split:], "/", "-")
			for _, record := range []string{
				fmt.Sprintf("%s[123]: segfault at 0 ip 000055d0c0de1139 sp 00007ffc5a3e0f10 error 4 in %s[139,55d0c0de1000+1000] likely on CPU 0 (core 0, socket 0)", process, file),
				fmt.Sprintf("%s[123] bad frame in rt_sigreturn frame:00007ffc ip:55d0 sp:7ffc orax:f in %s[139,55d0+1000]", process, file),
				fmt.Sprintf("traps: %s[123] trap divide error ip:55d0 sp:7ffc error:0 in %s[139,55d0+1000]", process, file),
				fmt.Sprintf("%s invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0", process),
				fmt.Sprintf("oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg=/user.slice/%s,task_memcg=/,task=%s,pid=1,uid=1000", file, process),
				fmt.Sprintf("process '%s' started with executable stack", file),
			} {
				if kind := kindOf(record); kind != kindNone {
					t.Errorf("%q is of kind %d", record, kind)
				}
			}
		}
	}
}

// What a file system says a thousand times hides no error of the disk.
func TestAFullLogHidesNoOtherKind(t *testing.T) {
	root := t.TempDir()
	write := writer(t, root)
	write("uptime", "100.00 1.00\n")
	var text strings.Builder
	for n := range maxEvents + 100 {
		fmt.Fprintf(&text, "2,%d,%d,-;BTRFS error (device sda1): number %d\n", n, 1_000_000+n, n)
	}
	text.WriteString("3,5000,2000000,-;I/O error, dev sda, sector 8\n")
	write("kmsg", text.String())
	log := newKernelLog(Roots{Proc: root, Dev: root})
	for _, kind := range []kernelKind{kindFSError, kindIOError} {
		defer log.records(log.recent, kind).close()
	}
	expect(t, "I/O", log.records(log.recent, kindIOError).read(), health.Measured, 1, "sector 8")
	expect(t, "btrfs", log.records(log.recent, kindFSError).read(), health.Measured, maxEvents, fmt.Sprint("number ", maxEvents+99))
	write("uptime", "10000.00 1.00\n")
	expect(t, "later", log.records(log.recent, kindFSError).read(), health.Measured, 0, "")
	if n := log.kept[kindFSError] + log.kept[kindIOError]; n != 0 {
		t.Errorf("%d are said to be kept", n)
	}
}

// The clock of the records goes wrong as the months pass; the daemon sees for itself when they come.
func TestTheClockOfTheRecordsMayBeWrong(t *testing.T) {
	root := t.TempDir()
	write := writer(t, root)
	write("uptime", "100000.00 1.00\n")
	write("kmsg", fmt.Sprintf("3,1,%d,-;I/O error, dev sda, sector 8\n", 90_000_000_000))
	log := newKernelLog(Roots{Proc: root, Dev: root})
	records := log.records(log.recent, kindIOError)
	defer records.close()
	expect(t, "long before", records.read(), health.Measured, 0, "")
	write("uptime", "100100.00 1.00\n")
	write("kmsg", fmt.Sprintf("3,1,%d,-;I/O error, dev sda, sector 8\n3,2,%d,-;I/O error, dev sda, sector 9\n", 90_000_000_000, 90_100_000_000))
	expect(t, "by a clock that is slow", records.read(), health.Measured, 1, "sector 9")
	write("uptime", "100701.00 1.00\n")
	expect(t, "ten minutes later", records.read(), health.Measured, 0, "")
}
