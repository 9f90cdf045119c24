package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Usage of a daemon over some time.
type Usage struct {
	Resident int64   // bytes, at the end
	CPU      float64 // of one core: 1 is all of it
}

func (u Usage) String() string {
	return fmt.Sprintf("%.1f MiB resident, %.2f %% of a core", float64(u.Resident)/(1<<20), u.CPU*100)
}

// Usage measures the node's daemon over a window.
func (n *Node) Usage(ctx context.Context, window time.Duration) (Usage, error) {
	pid, err := n.Pid()
	if err != nil {
		return Usage{}, err
	}
	before, err := cpuTime(pid)
	if err != nil {
		return Usage{}, err
	}
	begin := time.Now()
	timer := time.NewTimer(window)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return Usage{}, context.Cause(ctx)
	case <-timer.C:
	}
	after, err := cpuTime(pid)
	if err != nil {
		return Usage{}, err
	}
	used := Usage{CPU: float64(after-before) / float64(time.Since(begin))}
	used.Resident, err = resident(pid)
	return used, err
}

// cpuTime is what all threads of a process have used, to the nanosecond.
func cpuTime(pid int) (time.Duration, error) {
	const schedClock = 2                         // CPUCLOCK_SCHED, include/linux/posix-timers.h
	clock := int32(^uint32(pid)<<3 | schedClock) // make_process_cpuclock, same file
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// resident memory of a process, in bytes (proc_pid_statm(5)).
func resident(pid int) (int64, error) {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	fields := bytes.Fields(statm)
	if len(fields) < 2 {
		return 0, fmt.Errorf("memory of process %d: unexpected %q", pid, statm)
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	return pages * int64(os.Getpagesize()), nil
}
