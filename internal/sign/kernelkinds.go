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
var patterns = []struct {
	kind kernelKind
	text *regexp.Regexp
}{
	// block/blk-core.c, blk_errors[]; a "critical target error" is a command that the drive does not know.
	{kindIOError, regexp.MustCompile(`\b(I/O|timeout|recoverable transport|critical medium|protection|critical space allocation|critical nexus) error, dev `)},
	{kindIOError, regexp.MustCompile(`^Buffer I/O error on dev`)},                                     // fs/buffer.c
	{kindIOError, regexp.MustCompile(`^nvme nvme\d+: (I/O (tag )?\d+ .*timeout|controller is down)`)}, // drivers/nvme/host/pci.c
	{kindFSError, regexp.MustCompile(`^EXT4-fs (error|.*Remounting filesystem read-only)`)},           // fs/ext4/super.c
	{kindFSError, regexp.MustCompile(`^(JBD2: .*[Ee]rror|Aborting journal on device)`)},               // fs/jbd2
	{kindFSError, regexp.MustCompile(`^XFS \(.*\): (.*[Cc]orruption|.*Internal error|.*I/O [Ee]rror|Filesystem has been shut down)`)},
	{kindFSError, regexp.MustCompile(`^BTRFS (error|critical)`)},
	{kindFSError, regexp.MustCompile(`^F2FS-fs \(.*\): .*([Cc]orrupt|[Ii]nconsistent)`)},
	{kindHungTask, regexp.MustCompile(`^INFO: task .* blocked for more than \d+ seconds`)}, // kernel/hung_task.c
	{kindLockup, regexp.MustCompile(`\b(soft lockup - CPU|hard LOCKUP on cpu|rcu_\w+ (self-)?detected (expedited )?stalls?)`)},
	{kindMachineCheck, regexp.MustCompile(`\[Hardware Error\]|Machine check events logged`)}, // arch/x86/kernel/cpu/mce, drivers/firmware/efi/cper.c
}

func kindOf(message string) kernelKind {
	for _, p := range patterns {
		if p.text.MatchString(message) && !(p.kind == kindIOError && noDisk.MatchString(message)) {
			return p.kind
		}
	}
	return kindNone
}
