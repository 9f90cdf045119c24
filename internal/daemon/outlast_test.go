package daemon

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/health"
)

// deadServer is a directory of a file system whose server answers nothing, until the test is over.
func deadServer(t *testing.T) (dir string) {
	t.Helper()
	fuse, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fuse.Close() }) // lets go of all who wait
	dir = t.TempDir()
	if err := unix.Mount("dead", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fuse.Fd())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// looking is how many goroutines are in a function.
func looking(t *testing.T, in string) (n int) {
	t.Helper()
	var all bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&all, 2); err != nil {
		t.Fatal(err)
	}
	for _, stack := range bytes.Split(all.Bytes(), []byte("\n\n")) {
		if bytes.Contains(stack, []byte(in)) {
			n++
		}
	}
	return n
}

// A look that a dead file server does not answer keeps its thread. However often another configuration
// comes, it keeps no other, unless it is to look elsewhere: nor if it is not to look, and the next one is.
func TestADeadFileServerKeepsOneThread(t *testing.T) {
	dir := deadServer(t)
	checks := fmt.Sprintf("checks: [{name: lever, file: %s/lever, timeout: 50ms, interval: 10ms}]", dir)
	var known knowledge
	for n, row := range []struct {
		signs string
		disk  int
		waits bool // for its turn until it says that the kernel does not answer
	}{
		{"disk_space: {paths: [" + dir + "]}", 1, false},
		{"disk_space: {paths: [" + dir + "], leave: 99%}", 1, true},
		{"disk_space: off", 1, false},
		{"disk_space: off, cpu_pressure: off", 1, false},
		{"disk_space: {paths: [" + dir + "]}", 1, true},
		{"disk_space: {paths: [" + dir + "/elsewhere]}", 2, false},
	} {
		w := wardOf(t, checks, row.signs)
		w.changed = make(chan struct{}, 1)
		w.learns(known)
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		began := time.Now()
		var all sync.WaitGroup
		all.Go(func() { w.checks.Run(ctx) })
		all.Go(func() { w.signs.Run(ctx) })
		if !w.saw(ctx, func() bool {
			disk := w.ofSigns[w.sign("disk_space")].Last
			told := disk.At.After(began)
			if off := strings.HasPrefix(row.signs, "disk_space: off"); off && (!told || disk.Answer != health.SwitchedOff) {
				return false
			} else if !off && (told && disk.Answer == health.Broken) != row.waits {
				return false
			}
			return w.ofChecks[0].Last.At.After(began) && looking(t, "sign.disk.") == row.disk
		}) {
			t.Errorf("configuration %d: the looks that hang are not told", n)
		}
		if disk, file := looking(t, "sign.disk."), looking(t, "check.file."); disk != row.disk || file != 1 {
			t.Errorf("configuration %d: %d threads look at the disk, %d at the file; want %d and 1", n, disk, file, row.disk)
		}
		stop()
		all.Wait()
		known = w.knows()
	}
}

// saw waits until what is known is so, and tells whether it was before ctx was over.
func (w *ward) saw(ctx context.Context, so func() bool) bool {
	for {
		w.mu.Lock()
		ok := so()
		w.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
}
