package netcfg

import (
	"bytes"
	"fmt"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// FrameCounter reads how many frames an interface has received, as often as one
// likes: it waits for nobody. RxFrames, and whatever else asks netlink, may wait: the
// kernel answers those one after the other (rtnl_mutex), and while a host makes or
// removes interfaces, in whatever namespace, that takes tens of milliseconds.
type FrameCounter struct {
	file  int // /proc/net/dev, which the kernel reads under RCU (net/core/net-procfs.c)
	index int
	start []byte // of the interface's line
	text  []byte
	last  uint64
}

// OpenFrameCounter is for an interface of this thread's network namespace.
func OpenFrameCounter(l Link) (*FrameCounter, error) {
	f, err := unix.Open("/proc/thread-self/net/dev", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("count frames of interface %s: %w", l.Name, err)
	}
	return &FrameCounter{file: f, index: l.Index, start: []byte(l.Name + ":"), text: make([]byte, 4096)}, nil
}

// Close releases the file.
func (c *FrameCounter) Close() error { return unix.Close(c.file) }

// Count is the number of frames received since the interface exists. If no interface has its
// name, or another has it, RxFrames tells.
func (c *FrameCounter) Count() (uint64, error) {
	frames, found, err := c.look()
	if err == nil && (!found || frames < c.last) {
		frames, err = RxFrames(c.index)
	}
	if err != nil {
		return 0, fmt.Errorf("count frames: %w", err)
	}
	c.last = frames
	return frames, nil
}

// look reads only as far as the interface's line, which the kernel writes as a whole. The
// kernel waits for nobody meanwhile, so the Go scheduler is not told: it would wake its
// monitor thread each time.
func (c *FrameCounter) look() (frames uint64, found bool, err error) {
	for have := 0; ; {
		n, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, uintptr(c.file),
			uintptr(unsafe.Pointer(&c.text[have])), uintptr(len(c.text)-have), uintptr(have), 0, 0)
		if errno != 0 {
			return 0, false, errno
		}
		if n == 0 {
			return 0, false, nil
		}
		have += int(n)
		if frames, found, err = c.find(c.text[:have]); found || err != nil {
			return frames, found, err
		}
		if have == len(c.text) {
			c.text = append(c.text, make([]byte, len(c.text))...)
		}
	}
}

// find is the count in the interface's line, if the text holds the whole of that.
func (c *FrameCounter) find(text []byte) (frames uint64, found bool, err error) {
	for line := range bytes.Lines(text) {
		numbers, found := bytes.CutPrefix(bytes.TrimLeft(line, " "), c.start)
		if !found || !bytes.HasSuffix(line, []byte("\n")) {
			continue
		}
		fields := bytes.Fields(numbers) // bytes, packets, errors, …
		if len(fields) < 2 {
			return 0, false, fmt.Errorf("%q in /proc/net/dev", line)
		}
		frames, err = strconv.ParseUint(string(fields[1]), 10, 64)
		return frames, true, err
	}
	return 0, false, nil
}
