package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab"
)

// TestNoThreadIsBelowTheOthers: one that the host keeps waiting may hold what all others wait
// for, and a daemon that hands over or takes over would stand still.
func TestNoThreadIsBelowTheOthers(t *testing.T) {
	c := started(t, lab.Options{Nodes: 2})
	n := c.Node(0)
	order(t, "drain", "--socket", n.Socket())
	c.until(n, "a drain", func(s *api.Status) bool { return s.State == api.Draining && s.Pools[0].Owned == "" })
	order(t, "resume", "--socket", n.Socket())
	c.even()
	for _, n := range c.Nodes() {
		pid, err := n.Pid()
		must(t, err)
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		must(t, err)
		kinds := make(map[string]int)
		for _, file := range threads {
			text, err := os.ReadFile(file)
			if os.IsNotExist(err) {
				continue // it has ended
			}
			must(t, err)
			// Behind the name, which is in brackets, the state is field 3, the nice value 19, the policy 41 (proc_pid_stat(5)).
			f := strings.Fields(string(text)[strings.LastIndexByte(string(text), ')')+1:])
			kinds[fmt.Sprintf("policy %s, nice %s", f[41-3], f[19-3])]++
		}
		if len(kinds) != 1 {
			t.Errorf("%s has threads of %v", n.Name(), kinds)
		}
	}
}
