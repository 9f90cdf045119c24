package sign

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/health"
)

// kernelLog reads /dev/kmsg for several signs. Only what the kernel itself
// wrote counts: its facility is 0, and the kernel lets no process use that
// (devkmsg_write, kernel/printk/printk.c).
type kernelLog struct {
	roots Roots

	mu     sync.Mutex
	users  int // who will still close it
	fd     int
	open   bool
	caught bool    // all that was kept before has been read
	events []event // of the last memory, oldest first
	kept   map[kernelKind]int
}

type event struct {
	kind kernelKind
	at   time.Duration // since boot
	text string
}

func newKernelLog(roots Roots) *kernelLog {
	return &kernelLog{roots: roots, kept: map[kernelKind]int{}}
}

func (l *kernelLog) records(recent func() ([]event, error), kind kernelKind) kernelRecords {
	l.users++
	return kernelRecords{log: l, recent: recent, kind: kind}
}

// kernelRecords counts the records of one kind.
type kernelRecords struct {
	log    *kernelLog
	recent func() ([]event, error) // of the log
	kind   kernelKind
}

func (k kernelRecords) read() health.Reading {
	events, err := k.recent()
	if err != nil {
		return unreadable(err, "there is no /dev/kmsg here")
	}
	n, last := 0, ""
	for _, e := range events {
		if e.kind == k.kind {
			n, last = n+1, e.text
		}
	}
	if n == 0 {
		return measured(0, "none in the kernel's log in %v", memory)
	}
	return measured(float64(n), "%d in the kernel's log in %v, last: %s", n, memory, last)
}

func (k kernelRecords) close() { k.log.close() }

func (l *kernelLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users--; l.users == 0 && l.open {
		_ = unix.Close(l.fd) // it was only read
		l.open = false
	}
}

// recent reads what is new and returns the events that count. The first time it
// reads all that the kernel has kept: the trouble may be older than this process.
func (l *kernelLog) recent() ([]event, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, err := uptime(l.roots.Proc)
	if err != nil {
		return nil, err
	}
	if !l.open {
		path := filepath.Join(l.roots.Dev, "kmsg")
		if l.fd, err = unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		l.open = true
	}
	if err := l.readNew(now); err != nil {
		return nil, err
	}
	l.caught = true
	first := 0
	for first < len(l.events) && now-l.events[first].at >= memory {
		l.kept[l.events[first].kind]--
		first++
	}
	l.events = l.events[first:]
	return l.events, nil
}

// maxEvents bounds what is kept of each kind, of a log that is full of errors: of the newest.
const maxEvents = 1000

func (l *kernelLog) readNew(now time.Duration) error {
	buffer := make([]byte, 8192) // more than a record can have
	for {
		n, err := unix.Read(l.fd, buffer)
		switch {
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.EINTR): // EPIPE: some were overwritten before they were read
		case errors.Is(err, unix.EAGAIN), err == nil && n <= 0:
			return nil
		case err != nil:
			return &fs.PathError{Op: "read", Path: "kmsg", Err: err}
		default:
			l.take(now, string(buffer[:n]))
		}
	}
}

// take judges records: "6,1234,5678901,-;text", and lines of properties that
// begin with a space. /Documentation/ABI/testing/dev-kmsg.
//
// Their time is of a clock that nobody disciplines and that may stand while the host sleeps: after months it is minutes off.
// So it tells the age only of what the daemon was not there to see.
func (l *kernelLog) take(now time.Duration, text string) {
	for line := range strings.Lines(text) {
		head, message, ok := strings.Cut(strings.TrimRight(line, "\n"), ";")
		if !ok || strings.HasPrefix(line, " ") {
			continue
		}
		fields := strings.SplitN(head, ",", 4)
		if len(fields) < 3 {
			continue
		}
		priority, err1 := strconv.ParseUint(fields[0], 10, 32)
		microseconds, err2 := strconv.ParseInt(fields[2], 10, 64)
		if err1 != nil || err2 != nil || priority>>3 != 0 {
			continue
		}
		at := now
		if !l.caught {
			at = min(now, time.Duration(microseconds)*time.Microsecond)
		}
		if kind := kindOf(message); kind != kindNone {
			l.keep(event{kind: kind, at: at, text: message})
		}
	}
}

// keep takes an event, if need be for the oldest of its kind: errors of one kind hide none of another.
func (l *kernelLog) keep(e event) {
	ofKind := func(other event) bool { return other.kind == e.kind }
	if l.kept[e.kind] == maxEvents {
		oldest := slices.IndexFunc(l.events, ofKind)
		l.events = slices.Delete(l.events, oldest, oldest+1)
		l.kept[e.kind]--
	}
	l.events = append(l.events, e)
	l.kept[e.kind]++
}

// uptime is the time since boot, as the records count it.
func uptime(proc string) (time.Duration, error) {
	text, err := readFile(filepath.Join(proc, "uptime"))
	if err != nil {
		return 0, err
	}
	word, _, _ := strings.Cut(string(text), " ")
	seconds, err := strconv.ParseFloat(word, 64)
	if err != nil || !(0 <= seconds && seconds <= math.MaxInt64/float64(time.Second)) { // NaN is not either
		return 0, fmt.Errorf("uptime is %q, which is no time", word)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}
