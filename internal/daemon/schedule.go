package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	// realtimePriority is the lowest: it stands above everything that is not
	// real-time, and below what a host's owner has made real-time himself.
	realtimePriority = 1
	urgentNice       = -20
	// seldom is Go's GOGC: a collection when the heap has grown to three times what is in use. A
	// collection stops all threads twice and waits until each has stopped; if the host keeps one of
	// them from its processor, all wait. docs/architecture.md has the measurement.
	seldom = 200
)

// hurry lets the daemon's threads run before the services of the host, however
// busy those keep it: real-time if the kernel allows it, else with the best nice
// value; keeps its memory from being swapped out, and collects garbage seldom. A beat that comes late
// looks like a node that is dying. Threads made later inherit it.
func hurry(log *slog.Logger) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(seldom)
	}
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

// startUnhurried starts a command at the normal priority: it would have that of the daemon.
// No thread of the daemon itself ever runs at less than the others: when the host is busy it is
// kept waiting wherever it is, with a lock of the runtime for which all others spin, or while
// all others have stopped for a collection and wait for it.
func startUnhurried(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and starts no other
		if attr, err := unix.SchedGetAttr(0, 0); err == nil {
			attr.Flags |= unix.SCHED_FLAG_RESET_ON_FORK
			// If it fails the command runs at the daemon's priority, which is no fault.
			_ = unix.SchedSetAttr(0, attr, 0)
		}
		started <- cmd.Start()
	}()
	return <-started
}

// eachThread calls do once for every thread of this process, also for those that
// others began before it came to them.
func eachThread(do func(tid int) error) error {
	for done := make(map[int]bool); ; {
		entries, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("list threads: %w", err)
		}
		before := len(done)
		for _, e := range entries {
			tid, err := strconv.Atoi(e.Name())
			if err != nil {
				return fmt.Errorf("list threads: %w", err)
			}
			if done[tid] {
				continue
			}
			if err := do(tid); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
			done[tid] = true
		}
		if len(done) == before {
			return nil
		}
	}
}
