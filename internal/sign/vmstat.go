package sign

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rota-cluster/rota/internal/health"
)

// vmstat reads counters of /proc/vmstat; one that is missing is 0 and not found.
func vmstat(proc string, names ...string) (sum uint64, found bool, err error) {
	text, err := readFile(filepath.Join(proc, "vmstat"))
	if err != nil {
		return 0, false, err
	}
	counters := 0
	for line := range strings.Lines(string(text)) {
		name, value, two := strings.Cut(strings.TrimSpace(line), " ")
		if two {
			counters++
		}
		for _, want := range names {
			if name != want {
				continue
			}
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				return 0, false, fmt.Errorf("vmstat: %s is %q, which is no number", name, value)
			}
			sum, found = sum+n, true
		}
	}
	if counters == 0 {
		return 0, false, errors.New("vmstat holds no counters")
	}
	return sum, found, nil
}

// swap is how much is moved between memory and swap space, both ways.
type swap struct {
	proc string
	now  func() time.Time
	past pagesAt
}

type pagesAt struct {
	Pages uint64
	At    time.Time // zero: nobody has looked
}

func (s *swap) memory() any { return &s.past }

func (s *swap) read() health.Reading {
	pages, found, err := vmstat(s.proc, "pswpin", "pswpout")
	if err == nil && !found {
		return cannotTell("this kernel has no swap (CONFIG_SWAP)")
	}
	if err != nil {
		return unreadable(err, "this kernel has no vmstat")
	}
	now := s.now()
	before := s.past
	s.past = pagesAt{pages, now}
	since, moved := now.Sub(before.At), pages-before.Pages
	if !within(now, before.At, memory) || since == 0 || pages < before.Pages {
		return measured(0, "first look")
	}
	rate := float64(moved) * float64(os.Getpagesize()) / (1 << 20) / since.Seconds()
	return measured(rate, "%.1f MiB/s to and from swap", rate)
}

// oomKills are the processes that the kernel killed for want of memory, lately.
type oomKills struct {
	proc  string
	now   func() time.Time
	kills recent
}

func newOOMKills(e Env) sensor {
	return &oomKills{proc: e.Roots.Proc, now: e.Now, kills: recent{span: memory}}
}

func (o *oomKills) memory() any { return &o.kills }

func (o *oomKills) read() health.Reading {
	total, found, err := vmstat(o.proc, "oom_kill")
	if err == nil && !found {
		return cannotTell("this kernel does not count OOM kills (needs Linux 4.13)")
	}
	if err != nil {
		return unreadable(err, "this kernel has no vmstat")
	}
	n := o.kills.add(o.now(), total)
	return measured(float64(n), "%d killed for want of memory in %v", n, memory)
}
