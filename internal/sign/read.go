package sign

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/health"
)

func measured(value float64, format string, args ...any) health.Reading {
	return health.Reading{Value: value, Text: fmt.Sprintf(format, args...)}
}

func cannotTell(format string, args ...any) health.Reading {
	return health.Reading{Answer: health.CannotTell, Text: fmt.Sprintf(format, args...)}
}

func broken(err error) health.Reading {
	return health.Reading{Answer: health.Broken, Text: err.Error()}
}

// unreadable says which of the three answers an error is. What the kernel does
// not have is named by missing.
func unreadable(err error, missing string) health.Reading {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return cannotTell("%s", missing)
	case errors.Is(err, unix.EOPNOTSUPP):
		return health.Reading{Answer: health.SwitchedOff, Text: "switched off in the kernel"}
	}
	return broken(err)
}

// readUint reads a file that holds one number.
func readUint(path string) (uint64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 0, 64)
	if err != nil {
		return 0, fmt.Errorf("%s holds %q, which is no number", path, strings.TrimSpace(string(text)))
	}
	return n, nil
}

// recent tells how much a counter has risen within a span of time. The first
// value that it is given is where it begins.
type recent struct {
	span  time.Duration
	rises []rise // oldest first
	last  uint64
	begun bool
}

type rise struct {
	at time.Time
	by uint64
}

func (r *recent) add(now time.Time, total uint64) uint64 {
	if r.begun && total > r.last {
		r.rises = append(r.rises, rise{now, total - r.last})
	}
	r.last, r.begun = total, true
	sum := uint64(0)
	for len(r.rises) > 0 && now.Sub(r.rises[0].at) >= r.span {
		r.rises = r.rises[1:]
	}
	for _, x := range r.rises {
		sum += x.by
	}
	return sum
}

// memory is how long an event counts. Long enough for a second one to be seen
// with it, short enough to be forgotten when it was the only one.
const memory = 10 * time.Minute
