package sign

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/health"
	"github.com/rota-cluster/rota/internal/lab/stress"
)

func itoa(n int) string { return strconv.Itoa(n) }

// What a user process writes into the kernel's log is ignored, however it is spelt.
func TestRecordsOfUsersDoNotCount(t *testing.T) {
	roots := HostRoots()
	log := newKernelLog(roots)
	defer log.close()
	before := log.records(log.recent, kindIOError).read()
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
	if after := log.records(log.recent, kindIOError).read(); after.Value != before.Value {
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
	gone := filepath.Join(dir, "gone")
	expectPartly(t, "space beside a path that is not there", disk{paths: []string{gone, dir}}.read(), 100, dir+": 100.0 %", "; "+gone+": no such file")
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
	group, err := stress.NewGroup("rota-test-" + itoa(os.Getpid()))
	if err != nil {
		t.Fatalf("%v (this test needs root)", err)
	}
	defer func() {
		if err := group.Close(); err != nil {
			t.Error(err)
		}
	}()
	proc := t.TempDir()
	if err := os.Mkdir(proc+"/pressure", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(group.Pressure(), proc+"/pressure/memory"); err != nil {
		t.Fatal(err)
	}
	sign := pressure{proc, "memory", "full"}
	expect(t, "before", sign.read(), health.Measured, 0, "")

	cmd := group.Command()
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
