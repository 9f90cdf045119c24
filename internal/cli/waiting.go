package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rota-cluster/rota/internal/api"
)

// tellWaiting is how often a command that waits for a drain says what for.
const tellWaiting = 10 * time.Second

// waitedFor is what keeps the node from being drained, "" if that is not known. Of another node only the
// buckets are.
func waitedFor(st *api.Status, node string) string {
	if node != "" {
		for _, n := range st.Nodes {
			if n.Name == node && n.Lingering > 0 {
				return fmt.Sprintf("%s has connections open in %s (there rota status tells how many)", node, plural(n.Lingering, "bucket"))
			}
		}
		return ""
	}
	buckets, connections, left := 0, 0, int64(0)
	var sources []string
	for _, p := range st.Pools {
		n, err := api.Count(p.Lingering)
		if p.Lingering == "" || err != nil {
			continue
		}
		buckets, connections, left = buckets+n, connections+p.LingeringConnections, max(left, p.LingeringMS)
		for _, a := range p.Addresses {
			if strings.Contains(a, ":") {
				a = "[" + a + "]"
			}
			sources = append(sources, "src "+a)
		}
	}
	if buckets == 0 {
		return ""
	}
	return fmt.Sprintf("%s open here in %s%s; they are listed by: ss -Htn state connected exclude time-wait '( %s )'",
		plural(connections, "connection"), plural(buckets, "bucket"), atMost(left), strings.Join(sources, " or "))
}

// waiting says now and then what is waited for.
type waiting struct {
	to   io.Writer
	node string
	told time.Time
	last string // what there was at the last look
}

func (w *waiting) look(st *api.Status, now time.Time) {
	w.last = waitedFor(st, w.node)
	if w.last != "" && now.Sub(w.told) >= tellWaiting {
		fmt.Fprintln(w.to, "waits:", w.last)
		w.told = now
	}
}

// and is what there was at the last look, to end an error with.
func (w *waiting) and() string {
	if w.last == "" {
		return "; rota status tells what is left"
	}
	return ": " + w.last
}
