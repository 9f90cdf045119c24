package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	// realtimePriority is the lowest: it stands above everything that is not
	// real-time, and below what a host's owner has made real-time himself.
	realtimePriority = 1
	urgentNice       = -20
)

// hurry lets the daemon's threads run before the services of the host, however
// busy those keep it: real-time if the kernel allows it, else with the best nice
// value; and keeps its memory from being swapped out. A beat that comes late
// looks like a node that is dying. Threads made later inherit it.
func hurry(log *slog.Logger) {
	if err := eachThread(func(tid int) error {
		return unix.SchedSetAttr(tid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: realtimePriority}, 0)
	}); err != nil {
		log.Warn("no real-time scheduling, uses nice instead: beats may be late when the host is very busy", "error", err)
		if err := eachThread(func(tid int) error { return unix.Setpriority(unix.PRIO_PROCESS, tid, urgentNice) }); err != nil {
			log.Warn("no priority either", "error", err)
		}
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		log.Warn("cannot lock memory: swapping may delay beats", "error", err)
	}
}

// unhurried runs do on a thread of its own at the normal priority, for work
// that may take long.
func unhurried(do func()) {
	go func() {
		// Never unlocked: the thread ends with the goroutine, and its priority with it.
		runtime.LockOSThread()
		tid := unix.Gettid()
		// If it fails the work is done at the daemon's priority, which is no fault.
		_ = unix.SchedSetAttr(tid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL}, 0)
		_ = unix.Setpriority(unix.PRIO_PROCESS, tid, 0)
		do()
	}()
}

// startUnhurried starts a command at the normal priority: it has that of the thread that starts it.
func startUnhurried(cmd *exec.Cmd) error {
	started := make(chan error, 1)
	unhurried(func() { started <- cmd.Start() })
	return <-started
}

// eachThread calls do for every thread of this process.
func eachThread(do func(tid int) error) error {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("list threads: %w", err)
	}
	for _, e := range entries {
		tid, err := strconv.Atoi(e.Name())
		if err != nil {
			return fmt.Errorf("list threads: %w", err)
		}
		if err := do(tid); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}
