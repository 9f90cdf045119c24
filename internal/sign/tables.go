package sign

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rota-cluster/rota/internal/health"
)

// conntrack is how full the table of connections is. When it is full, the
// kernel drops packets of new ones.
type conntrack struct{ proc string }

func (c conntrack) read() health.Reading {
	dir := filepath.Join(c.proc, "sys/net/netfilter")
	count, err := readUint(filepath.Join(dir, "nf_conntrack_count"))
	if err != nil {
		return unreadable(err, "connection tracking is not loaded")
	}
	most, err := readUint(filepath.Join(dir, "nf_conntrack_max"))
	if err != nil {
		return unreadable(err, "connection tracking is not loaded")
	}
	return share(count, most, "tracked connections")
}

// descriptors is how near the host is to its limit of open files.
type descriptors struct{ proc string }

func (d descriptors) read() health.Reading {
	path := filepath.Join(d.proc, "sys/fs/file-nr")
	text, err := readFile(path)
	if err != nil {
		return unreadable(err, "this kernel does not count open files")
	}
	fields := strings.Fields(string(text))
	if len(fields) != 3 {
		return broken(fmt.Errorf("%s holds %q, not three numbers", path, strings.TrimSpace(string(text))))
	}
	count, err1 := strconv.ParseUint(fields[0], 10, 64)
	most, err2 := strconv.ParseUint(fields[2], 10, 64)
	if err1 != nil || err2 != nil {
		return broken(fmt.Errorf("%s holds %q, not three numbers", path, strings.TrimSpace(string(text))))
	}
	return share(count, most, "open files")
}

func share(count, most uint64, what string) health.Reading {
	if most == 0 { // of conntrack: no limit
		return measured(0, "%d %s, no limit", count, what)
	}
	percent := 100 * float64(count) / float64(most)
	return measured(percent, "%d of %d %s", count, most, what)
}
