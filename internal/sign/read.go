package sign

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
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
// value that it is given is where it begins, and so is one after nobody has looked for so long.
type recent struct {
	span  time.Duration
	Rises []rise // oldest first
	Last  uint64
	At    time.Time // of Last; zero: there is none
}

type rise struct {
	At time.Time
	By uint64
}

func (r *recent) add(now time.Time, total uint64) uint64 {
	if total > r.Last && within(now, r.At, r.span) {
		r.Rises = append(r.Rises, rise{now, total - r.Last})
	}
	r.Last, r.At = total, now
	r.Rises = slices.DeleteFunc(r.Rises, func(x rise) bool { return !within(now, x.At, r.span) })
	sum := uint64(0)
	for _, x := range r.Rises {
		sum += x.By
	}
	return sum
}

// within tells whether a moment is of the last span of time. If a clock that was set makes it one to come, it is not.
func within(now, at time.Time, span time.Duration) bool {
	age := now.Sub(at)
	return !at.IsZero() && age >= 0 && age < span
}

// memory is how long an event counts. Long enough for a second one to be seen
// with it, short enough to be forgotten when it was the only one.
const memory = 10 * time.Minute
