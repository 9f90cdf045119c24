package sign

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rota-cluster/rota/internal/health"
)

// readOnly counts file systems that can be written no longer. One that was
// mounted read-only from the beginning is meant to be so.
type readOnly struct {
	proc    string
	paths   []string
	mounts  string // the namespace that it looks at
	past    writable
	text    []byte         // of the last look,
	reading health.Reading // and what it said
}

// writable are the paths that could be written once, as a namespace of mounts has them; in another one, as of a
// service that is kept from writing, they may be meant otherwise.
type writable struct {
	Namespace string
	Paths     map[string]bool
}

func newReadOnly(proc string, paths []string) sensor {
	// A kernel that does not tell has no other namespaces.
	namespace, _ := os.Readlink(filepath.Join(proc, "self", "ns", "mnt"))
	return &readOnly{proc: proc, paths: paths, mounts: namespace}
}

func (r *readOnly) memory() any { return &r.past }

func (r *readOnly) read() health.Reading {
	text, err := readFile(filepath.Join(r.proc, "self", "mountinfo"))
	if err != nil {
		return unreadable(err, "this kernel has no mountinfo")
	}
	if r.text == nil || !bytes.Equal(text, r.text) {
		r.text, r.reading = text, r.judge(mountsOf(string(text)))
	}
	return r.reading
}

func (r *readOnly) judge(mounts mounts) health.Reading {
	if r.past.Paths == nil || r.past.Namespace != r.mounts {
		r.past = writable{r.mounts, map[string]bool{}}
	}
	maps.DeleteFunc(r.past.Paths, func(path string, _ bool) bool { return !slices.Contains(r.paths, path) })
	var gone, held []string
	var unread []error
	for _, path := range r.paths {
		m, ok := mounts.holding(path)
		if !ok {
			unread = append(unread, fmt.Errorf("%s: on no file system that is mounted", path))
			continue
		}
		held = append(held, path)
		switch {
		case !m.readOnly():
			r.past.Paths[path] = true
		case r.past.Paths[path], m.byKernel():
			gone = append(gone, path)
		}
	}
	switch {
	case len(gone) > 0:
		return beside(measured(float64(len(gone)), "%s gone read-only", strings.Join(gone, ", ")), unread)
	case len(held) == 0 && len(unread) > 0:
		return beside(cannotTell("nothing is mounted"), unread)
	}
	return beside(measured(0, "%s as mounted", strings.Join(held, ", ")), unread)
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
