package sign

import "regexp"

// kernelKind says what a record of the kernel's log is about.
type kernelKind uint8

const (
	kindNone kernelKind = iota
	kindIOError
	kindFSError
	kindHungTask
	kindLockup
	kindMachineCheck
)

// kernelKinds are the signs that are records of the kernel's log.
var kernelKinds = map[string]kernelKind{
	"io_errors": kindIOError, "fs_errors": kindFSError, "hung_tasks": kindHungTask,
	"soft_lockups": kindLockup, "machine_checks": kindMachineCheck,
}

// noDisk are drives whose medium is expected to be missing or bad: floppy and CD.
var noDisk = regexp.MustCompile(`\bdev (fd|sr)\d`)

// patterns are the texts as the kernel's sources have them, with the file.
//
// The kernel quotes what users choose: the name of a process (15 bytes) at the beginning of a record, as in
// "NAME[123]: segfault at …", and names of files and control groups, of any length, behind it. So each pattern says
// how the record begins, in more words than a process can have as its name before a "[".
var patterns = []struct {
	kind kernelKind
	text *regexp.Regexp
}{
	// block/blk-core.c, blk_errors[]; older kernels begin with the function. A "critical target error" is a command
	// that the drive does not know.
	{kindIOError, regexp.MustCompile(`^(\w+: )?(I/O|timeout|recoverable transport|critical medium|protection|critical space allocation|critical nexus) error, dev [^ \[]+, sector \d`)},
	{kindIOError, regexp.MustCompile(`^Buffer I/O error on dev`)},                                                                              // fs/buffer.c
	{kindIOError, regexp.MustCompile(`^nvme nvme\d+: (I/O (tag )?\d+ .*timeout|controller is down)`)},                                          // drivers/nvme/host/pci.c
	{kindFSError, regexp.MustCompile(`^EXT4-fs (error \(device |\([^ \[]+\): Remounting filesystem read-only)`)},                               // fs/ext4/super.c
	{kindFSError, regexp.MustCompile(`^(JBD2: (Detected IO errors|(Error|IO error) -?\d+ (detected|recovering))|Aborting journal on device)`)}, // fs/jbd2
	{kindFSError, regexp.MustCompile(`^XFS \([^ \[]+\): [^\[]*([Cc]orruption|Internal error|I/O [Ee]rror|Filesystem has been shut down)`)},
	{kindFSError, regexp.MustCompile(`^BTRFS:? (error|critical) \(device `)},
	{kindFSError, regexp.MustCompile(`^F2FS-fs \([^ \[]+\): [^\[]*([Cc]orrupt|[Ii]nconsistent)`)},
	{kindHungTask, regexp.MustCompile(`^INFO: task [^\[]+:\d+ blocked [^\[]*for more than \d+ seconds`)},                              // kernel/hung_task.c
	{kindLockup, regexp.MustCompile(`^(NMI )?(watchdog: )?(CPU\d+: )?(BUG: soft lockup - CPU|Watchdog detected hard LOCKUP on cpu)`)}, // kernel/watchdog.c
	{kindLockup, regexp.MustCompile(`^(rcu: )?INFO: rcu_\w+ (self-)?detected (expedited )?stalls?`)},                                  // kernel/rcu/tree_stall.h
	{kindMachineCheck, regexp.MustCompile(`^(\w+: )?(\{\d+\})?(\[Hardware Error\]|Machine check events logged)`)},                     // arch/x86/kernel/cpu/mce, drivers/firmware/efi/cper.c
}

func kindOf(message string) kernelKind {
	for _, p := range patterns {
		if p.text.MatchString(message) && !(p.kind == kindIOError && noDisk.MatchString(message)) {
			return p.kind
		}
	}
	return kindNone
}
