package check

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// strays are what a command has started and what has left its process group (setsid(2), as daemons do). They are
// known by a mark in their environment; one that has emptied it is not found.
type strays struct {
	mark  string // NAME=value
	since uint64 // the command began then, in ticks since boot: nothing older is looked at
}

// markOf is a mark that no other command has.
func markOf(random func() float64) string {
	return "ROTA_CHECK=" + strconv.FormatUint(uint64(random()*(1<<53)), 36)
}

func (s strays) kill() {
	for found, round := true, 0; found && round < 3; round++ { // they may have started others meanwhile
		found = false
		paths, _ := filepath.Glob("/proc/[0-9]*") // fails only for a pattern that is none
		for _, path := range paths {
			pid, err := strconv.Atoi(filepath.Base(path))
			if err != nil || startOf(pid) < s.since || !s.marked(pid) {
				continue
			}
			fd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				continue // it has ended
			}
			if s.marked(pid) { // still: the number has not become another's before fd was of it
				found = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil || found
			}
			_ = unix.Close(fd) // nothing is lost
		}
	}
}

func (s strays) marked(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && bytes.Contains(append(text, 0), append([]byte(s.mark), 0))
}

// startOf is when a process began, field 22 of proc_pid_stat(5), in ticks since boot; 0 if there is none.
func startOf(pid int) (ticks uint64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:]) // from the third on
	if err == nil && len(fields) >= 20 {
		ticks, err = strconv.ParseUint(string(fields[19]), 10, 64)
	}
	if err != nil {
		return 0
	}
	return ticks
}
