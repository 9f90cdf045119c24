package check

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/config"
)

// process passes while a process runs: one whose number stands in a file, if
// target is a path, or one of that name.
type process struct {
	proc   string
	target string
	pid    string // the one found last, looked at first
}

func (p *process) look() Outcome {
	if !strings.Contains(p.target, "/") {
		return p.byName()
	}
	text, err := config.ReadFile(p.target)
	if err != nil {
		return failure("read the pid file "+p.target, err)
	}
	pid := strings.TrimSpace(string(text))
	if _, err := strconv.ParseUint(pid, 10, 31); err != nil {
		return failed("%s holds no process number", p.target)
	}
	switch _, state, err := p.stat(pid); {
	case err != nil:
		return failure("look at process "+pid, err)
	case !runs(state):
		return failed("process %s of %s does not run", pid, p.target)
	}
	return passed("process " + pid + " runs")
}

func (p *process) byName() Outcome {
	if name, state, err := p.stat(p.pid); err == nil && p.named(name) && runs(state) {
		return passed("process " + p.pid + " runs")
	}
	entries, err := os.ReadDir(p.proc)
	if err != nil {
		return failure("list processes", err)
	}
	for _, e := range entries {
		if _, err := strconv.ParseUint(e.Name(), 10, 31); err != nil {
			continue
		}
		name, state, err := p.stat(e.Name())
		if err != nil {
			return failure("look at process "+e.Name(), err)
		}
		if p.named(name) && runs(state) {
			p.pid = e.Name()
			return passed("process " + p.pid + " runs")
		}
	}
	return failed("no process %s runs", p.target)
}

// named: the kernel keeps the first 15 bytes of a name (TASK_COMM_LEN).
func (p *process) named(name string) bool {
	return name != "" && name == p.target[:min(len(p.target), 15)]
}

// stat gives name and state of a process, proc_pid_stat(5); "" and 0 if there is none.
func (p *process) stat(pid string) (name string, state byte, err error) {
	if pid == "" {
		return "", 0, nil
	}
	text, err := os.ReadFile(filepath.Join(p.proc, pid, "stat"))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH): // ESRCH: it ended before it was read
		return "", 0, nil
	case err != nil:
		return "", 0, err
	}
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open || end+2 >= len(text) {
		return "", 0, nil
	}
	return string(text[open+1 : end]), text[end+2], nil
}

// runs: a zombie has ended, and nobody has looked after it.
func runs(state byte) bool { return state != 0 && state != 'Z' && state != 'X' }
