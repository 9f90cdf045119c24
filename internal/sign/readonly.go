package sign

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rota-cluster/rota/internal/health"
)

// readOnly counts file systems that can be written no longer. One that was
// mounted read-only from the beginning is meant to be so.
type readOnly struct {
	proc     string
	paths    []string
	writable map[string]bool // paths that could be written once
	text     []byte          // of the last look,
	reading  health.Reading  // and what it said
}

func newReadOnly(proc string, paths []string) sensor {
	return &readOnly{proc: proc, paths: paths, writable: map[string]bool{}}
}

func (r *readOnly) read() health.Reading {
	text, err := os.ReadFile(filepath.Join(r.proc, "self", "mountinfo"))
	if err != nil {
		return unreadable(err, "this kernel has no mountinfo")
	}
	if r.text == nil || !bytes.Equal(text, r.text) {
		r.text, r.reading = text, r.judge(mountsOf(string(text)))
	}
	return r.reading
}

func (r *readOnly) judge(mounts mounts) health.Reading {
	var gone []string
	for _, path := range r.paths {
		m, ok := mounts.holding(path)
		if !ok {
			return broken(fmt.Errorf("%s: on no file system that is mounted", path))
		}
		switch {
		case !m.readOnly():
			r.writable[path] = true
		case r.writable[path], m.byKernel():
			gone = append(gone, path)
		}
	}
	if len(gone) > 0 {
		return measured(float64(len(gone)), "%s gone read-only", strings.Join(gone, ", "))
	}
	return measured(0, "%s as mounted", strings.Join(r.paths, ", "))
}

// mount is a line of mountinfo, proc_pid_mountinfo(5).
type mount struct {
	point          string
	options, super []string // of this mount, and of the file system
}

func (m mount) readOnly() bool {
	return slices.Contains(m.options, "ro") || slices.Contains(m.super, "ro") || m.emergency()
}

// byKernel: an error made the kernel refuse writing (errors=remount-ro changes
// the file system, not the mount), while an administrator changes the mount too.
func (m mount) byKernel() bool {
	return m.emergency() || slices.Contains(m.super, "ro") && slices.Contains(m.options, "rw")
}

// emergency: ext4 since Linux 6.15 leaves "rw" and says this.
func (m mount) emergency() bool {
	return slices.Contains(m.super, "emergency_ro") || slices.Contains(m.super, "shutdown")
}

type mounts []mount

func mountsOf(text string) (all mounts) {
	for line := range strings.Lines(text) {
		left, right, ok := strings.Cut(line, " - ")
		a, b := strings.Fields(left), strings.Fields(right)
		if !ok || len(a) < 6 || len(b) < 3 {
			continue
		}
		all = append(all, mount{point: unescape(a[4]), options: strings.Split(a[5], ","), super: strings.Split(b[2], ",")})
	}
	return all
}

// holding is the mount that a path is on: the longest, and of several on one
// point the last, which covers the others.
func (all mounts) holding(path string) (found mount, ok bool) {
	for _, m := range all {
		below := m.point == "/" || path == m.point || strings.HasPrefix(path, m.point+"/")
		if below && len(m.point) >= len(found.point) {
			found, ok = m, true
		}
	}
	return found, ok
}

// unescape: the kernel writes space, tab, newline and backslash as octal.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
