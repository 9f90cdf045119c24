package sign

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/health"
)

func itoa(n int) string { return strconv.Itoa(n) }

// What a user process writes into the kernel's log is ignored, however it is spelt.
func TestRecordsOfUsersDoNotCount(t *testing.T) {
	roots := HostRoots()
	log := newKernelLog(roots)
	defer log.close()
	before := kernelRecords{log, kindIOError}.read()
	if before.Answer != health.Measured {
		t.Fatalf("%+v", before)
	}
	kmsg, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer kmsg.Close()
	for _, prefix := range []string{"", "<3>", "<0>", "<11>"} {
		if _, err := kmsg.WriteString(prefix + "I/O error, dev rota-test, sector 1\n"); err != nil {
			t.Fatal(err)
		}
	}
	if after := (kernelRecords{log, kindIOError}).read(); after.Value != before.Value {
		t.Errorf("counts %v after, %v before: %s", after.Value, before.Value, after.Text)
	}
	// They have been read all the same.
	text, err := exec.Command("dmesg").Output()
	if err == nil && !strings.Contains(string(text), "dev rota-test, sector 1") {
		t.Error("the records were not written")
	}
}

// mountTmpfs makes a small file system of its own for a test.
func mountTmpfs(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatalf("mount: %v (this test needs root)", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	dir := mountTmpfs(t, "size=1m,nr_inodes=10")
	space, inodes := disk{paths: []string{"/", dir}}, disk{paths: []string{dir}, inodes: true}
	if r := (disk{paths: []string{dir}}).read(); r.Value > 1 || r.Answer != health.Measured {
		t.Errorf("empty: %+v", r)
	}
	if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, "space", space.read(), health.Measured, 100, dir+": 100.0 % of the space in use")
	for i := 0; ; i++ {
		if err := os.WriteFile(filepath.Join(dir, itoa(i)), nil, 0o600); err != nil {
			break // no inode is left
		}
	}
	expect(t, "inodes", inodes.read(), health.Measured, 100, "of the inodes in use")
}

func TestRemountedReadOnly(t *testing.T) {
	dir := mountTmpfs(t, "size=1m")
	s := newReadOnly("/proc", []string{dir})
	expect(t, "writable", s.read(), health.Measured, 0, "as mounted")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	expect(t, "remounted", s.read(), health.Measured, 1, dir+" gone read-only")
}

// A process that needs more memory than its group may have stalls, and the
// kernel tells the pressure of the group in the format of the host's.
func TestMemoryPressure(t *testing.T) {
	unified, limit := pressureGroup(t)
	proc := t.TempDir()
	if err := os.Mkdir(proc+"/pressure", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(unified+"/memory.pressure", proc+"/pressure/memory"); err != nil {
		t.Fatal(err)
	}
	sign := pressure{proc, "memory", "full"}
	expect(t, "before", sign.read(), health.Measured, 0, "")

	// It reads a file that does not fit, over and over, so that the kernel
	// always takes away what is needed next.
	file := filepath.Join(t.TempDir(), "big")
	script := fmt.Sprintf("echo $$ >%s/cgroup.procs; for g in %s; do echo $$ >$g/cgroup.procs; done; "+
		"dd if=/dev/zero of=%s bs=1M count=64 2>/dev/null; while :; do cat %s >/dev/null; done", unified, limit, file, file)
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		_ = cmd.Wait() // it was killed
	}()
	for deadline := time.Now().Add(40 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		r := sign.read()
		if r.Answer == health.Measured && r.Value > 1 {
			t.Log(r.Text)
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no pressure within 40 s: %+v", r)
		}
	}
}

// pressureGroup makes a group of the unified hierarchy, which tells pressure,
// with 16 MiB of memory; where memory is still managed by the older hierarchy,
// limit is a second group there.
func pressureGroup(t *testing.T) (unified, limit string) {
	t.Helper()
	name := "rota-test-" + itoa(os.Getpid())
	const limitBytes = "16777216"
	make := func(dir string) string {
		t.Helper()
		dir = filepath.Join(dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatalf("%v (this test needs root)", err)
		}
		t.Cleanup(func() {
			var err error
			for range 100 { // until the processes of the test are gone
				if err = os.Remove(dir); err == nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
			t.Error(err)
		})
		return dir
	}
	set := func(file string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(limitBytes), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		if err := os.WriteFile("/sys/fs/cgroup/cgroup.subtree_control", []byte("+memory"), 0o600); err != nil {
			t.Fatal(err)
		}
		unified = make("/sys/fs/cgroup")
		set(unified + "/memory.max")
		return unified, ""
	}
	unified = make("/sys/fs/cgroup/unified")
	limit = make("/sys/fs/cgroup/memory")
	set(limit + "/memory.limit_in_bytes")
	return unified, limit
}
