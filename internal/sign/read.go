package sign

import (
	"errors"
	"fmt"
	"io/fs"
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

// beside is what a reading comes to when other things that the sign is about could not be read.
func beside(r health.Reading, unread []error) health.Reading {
	if len(unread) == 0 {
		return r
	}
	var texts []string
	if r.Answer == health.Measured {
		texts, r.Unread = []string{r.Text}, len(unread)
	}
	for _, err := range unread {
		texts = append(texts, err.Error())
	}
	r.Answer, r.Text = health.Broken, strings.Join(texts, "; ")
	return r
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

// readFile reads a file of the kernel's, which is ready at once. os.ReadFile would have the
// runtime's poller watch such files: twice as many system calls, and a thread that wakes up for each.
func readFile(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd) // it is only read
	text := make([]byte, 0, 4096)
	for {
		text = slices.Grow(text, 512)
		n, err := unix.Read(fd, text[len(text):cap(text)])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, &fs.PathError{Op: "read", Path: path, Err: err}
		case n == 0:
			return text, nil
		default:
			text = text[:len(text)+n]
		}
	}
}

var errNoNumber = errors.New("which is no number")

// readUint reads a file that holds one number.
func readUint(path string) (uint64, error) {
	return readNumber(path, strconv.ParseUint)
}

// readInt reads one that may be below zero.
func readInt(path string) (int64, error) {
	return readNumber(path, strconv.ParseInt)
}

func readNumber[T any](path string, parse func(string, int, int) (T, error)) (n T, err error) {
	text, err := readFile(path)
	if err != nil {
		return n, err
	}
	word := strings.TrimSpace(string(text))
	if n, err = parse(word, 0, 64); err != nil {
		return n, fmt.Errorf("%s holds %q, %w", path, word, errNoNumber)
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
